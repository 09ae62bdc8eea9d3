"""The scores of a run's model on the splits of its datasets."""

import math

from chestxray.data.official_test import is_official
from chestxray.images.splits import Split
from chestxray.models.adapting import merge_classes
from chestxray.models.inference import predict_logits
from chestxray.training.run import Run
from multilabel_auroc import auroc_report


def evaluate(run: Run, split: Split) -> dict:
    """AUROC per finding and its mean over every image of a split, as one flat dict; see `auroc_report`."""
    logits = predict_logits(
        run.model,
        split,
        None if run.settings.freeze else run.processor,
        run.accelerator,
        run.evaluation_batch,
        workers=run.workers,
        channels_last=run.channels_last,
    )
    if run.settings.classes > 1:
        logits = merge_classes(logits)
    return auroc_report(logits, split.targets, split.patients, label_names=run.data.findings)


def validate(run: Run) -> float:
    """The mean AUROC on validation, over the datasets for which it is defined; NaN if there are none."""
    aurocs = [evaluate(run, part["validation"])["auroc"] for part in run.data.parts]
    defined = [auroc for auroc in aurocs if not math.isnan(auroc)]
    return sum(defined) / len(defined) if defined else math.nan


def evaluate_datasets(run: Run) -> dict:
    """The scores of every dataset on validation and test. With several, each name begins with the dataset's."""
    data = run.data
    results: dict[str, object] = {}
    for name, opened, part in zip(data.names, data.datasets, data.parts, strict=True):
        official = is_official(part["test"].rows["image_file_path"]) if "test" in part else None
        scores = {"synthetic": opened.synthetic, "official_test": official}
        for split in ("validation", "test"):
            if split in part:
                scores |= {f"{split}_{key}": value for key, value in evaluate(run, part[split]).items()}
        results |= scores if len(data.names) == 1 else {f"{name}/{key}": value for key, value in scores.items()}
    return results
