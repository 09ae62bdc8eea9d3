"""What int8 costs: the AUROC on validation of two exported models, before and after."""

from collections.abc import Mapping

import numpy as np
from datasets import DatasetDict
from tqdm.auto import tqdm

from chestxray.data.opening import OpenDataset
from chestxray.exporting.onnx_file import OnnxModel
from chestxray.images import splits
from chestxray.training.settings import Settings
from multilabel_auroc import auroc


def mean_auroc(
    models: Mapping[str, OnnxModel], opened: OpenDataset, settings: Settings, batch_size: int
) -> dict[str, float]:
    """{name: mean AUROC on all validation images} of models with the same findings and input.

    The mean is over the findings that have both classes; NaN if none has.
    """
    one = next(iter(models.values()))
    wanted = DatasetDict({"validation": opened.splits["validation"]})
    split = splits.make_splits(
        wanted,
        one.findings,
        one.size,
        settings.policy,
        seed=settings.seed,
        equalize=settings.equalize,
        cache=settings.cache,
        num_proc=settings.num_proc,
    )["validation"]
    logits = {name: np.empty((len(split), len(one.findings)), np.float32) for name in models}
    for batch in tqdm(split.evaluation_loader(batch_size), unit="batch", desc="Validation"):
        pixels, rows = batch["pixels"][:, 0].numpy(), batch["index"].numpy()
        for name, model in models.items():
            logits[name][rows] = model.logits(pixels)
    return {name: mean_of_defined(auroc(table, split.targets)) for name, table in logits.items()}


def mean_of_defined(values: np.ndarray) -> float:
    """The mean of what is not NaN, NaN if all is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
