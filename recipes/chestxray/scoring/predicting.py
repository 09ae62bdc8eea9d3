"""From a checkpoint and a dataset to predictions, by all processes together, each image once."""

import hashlib
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import InitProcessGroupKwargs
from datasets import ClassLabel
from tqdm.auto import tqdm
from transformers import AutoImageProcessor, AutoModelForImageClassification

from chestxray import batches, models, pixels, sources
from chestxray.scoring import predictions
from chestxray.scoring.views import side_to_shrink_to, views

COLUMNS = {  # ours: those of datasets
    "study": ("study_id", "study"),
    "sex": ("patient_sex",),
    "age": ("patient_age",),
    "view": ("view_position",),
}


def predict(checkpoint, source, split, path, tta="none", batch_size=64, num_proc=None, allow_missing=False):
    """Write the predictions of `split` and of validation to `path`, unless they are there already.

    Args:
        checkpoint: a folder as finetune.py leaves it.
        source: see `sources.load`.
        tta: one of `views.VIEWS`.

    Raises:
        ValueError: `path` holds other predictions; the model has a finding that the dataset does not know; the
            checkpoint's processor names no size; the dataset has no such split.
    """
    made_by = {"checkpoint": str(checkpoint), "sha256": digest(Path(checkpoint)), "tta": tta}
    if path.exists():
        return refuse_others(path, made_by, source, split)
    accelerator = Accelerator(
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        # the other processes wait while the first one decodes the archive, which can take hours
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],
    )
    num_proc = num_proc or pixels.processes()
    model, processor, findings = load(checkpoint)
    with accelerator.main_process_first():
        dataset = sources.with_validation(sources.load(source, allow_missing, num_proc))
        refuse_unknown(findings, split, dataset, checkpoint, source)
        whole = side_to_shrink_to(processor.size["height"], tta)
        shrunk = {name: pixels.shrink(dataset[name], findings, whole, num_proc) for name in ("validation", split)}
    model = accelerator.prepare(model)
    loaders = {name: accelerator.prepare(batches.loader(rows, whole, batch_size)) for name, rows in shrunk.items()}
    steps = sum(len(loader) for loader in loaders.values())
    with tqdm(total=steps, unit="batch", desc="Predicting", disable=not accelerator.is_main_process) as progress:
        parts = {
            name: score(model, loader, shrunk[name], processor, tta, accelerator, progress)
            for name, loader in loaders.items()
        }
    if accelerator.is_main_process:
        rows = pd.concat([describe(shrunk[name], name) for name in shrunk], ignore_index=True)
        logits, targets = (np.concatenate([part[number] for part in parts.values()]) for number in (0, 1))
        about = {
            "dataset": dataset_name(dataset, source),
            "source": source,
            "synthetic": sources.is_synthetic(dataset, source),
            "models": [made_by],
        }
        predictions.write(predictions.Predictions(rows, logits, targets, findings, about), path)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def load(checkpoint):
    """(model, processor, findings) of a folder. Raises ValueError where the processor is not of finetune.py's kind."""
    model = AutoModelForImageClassification.from_pretrained(checkpoint).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    if not (getattr(processor, "size", None) or {}).get("height"):
        raise ValueError(f"{checkpoint}/preprocessor_config.json names no height, as finetune.py's does")
    return model, processor, [model.config.id2label[number] for number in range(model.config.num_labels)]


def digest(checkpoint):
    """SHA-256 of a folder's weights, by which predictions know their model."""
    files = sorted(checkpoint.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{checkpoint} holds no *.safetensors, so no checkpoint as finetune.py leaves it")
    whole = hashlib.sha256()
    for file in files:
        with open(file, "rb") as opened:
            while piece := opened.read(2**20):
                whole.update(piece)
    return whole.hexdigest()


def refuse_others(path, made_by, source, split):
    about = predictions.read_about(path)
    if split not in set(pd.read_parquet(path, columns=["split"])["split"]):
        raise ValueError(f"{path} holds no predictions of {split}; give another --output-dir")
    there = about["models"][0] if len(about.get("models", [])) == 1 else {}
    for name, here, had in (
        ("sha256 of the weights", made_by["sha256"], there.get("sha256")),
        ("tta", made_by["tta"], there.get("tta")),
        ("dataset", source, about.get("source")),
    ):
        if here != had:
            raise ValueError(f"{path} holds others, with {name} {had}, not {here}; give another --output-dir")


def refuse_unknown(findings, split, dataset, checkpoint, source):
    known = sources.findings(dataset)
    if unknown := [name for name in findings if name not in known]:
        raise ValueError(f"{checkpoint} has findings that {source} has not: {', '.join(unknown)}; it has {known}")
    if split not in dataset:
        raise ValueError(f"{source} has no split {split}; it has {', '.join(dataset)}")


@torch.inference_mode()
def score(model, loader, rows, processor, tta, accelerator, progress):
    """Logits and targets of a split, (n, k) float32 each, in its order, on every process."""
    model.eval()
    side, parts = processor.size["height"], []
    for batch in loader:
        images = batch["pixels"].float() / 255
        shown = [models.normalise(view, processor) for view in views(images, side, tta)]
        logits = torch.stack([model(pixel_values=view).logits.float() for view in shown], dim=1)
        gathered = accelerator.gather_for_metrics((batch["index"], logits, batch["targets"]))
        parts.append([part.cpu() for part in gathered])
        progress.update()
    index, logits, targets = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    if sorted(index) != list(range(len(rows))):
        raise RuntimeError(f"{len(rows)} images went in and {len(set(index))} different ones came out of {len(index)}")
    order = np.argsort(index)
    return predictions.mean_logit(logits[order], axis=1).astype(np.float32), targets[order]


def describe(shrunk, split):
    """The columns of a predictions file besides the findings', in words where the dataset has class ids."""
    paths = shrunk["image_file_path"]
    columns = {"image_file_path": paths, "split": split, "patient": [sources.patient(path) for path in paths]}
    for ours, theirs in COLUMNS.items():
        name = next((name for name in theirs if name in shrunk.column_names), None)
        if name is None:
            continue
        feature, values = shrunk.features[name], shrunk[name]
        if isinstance(feature, ClassLabel):
            values = [None if value is None else feature.int2str(value) for value in values]
        columns[ours] = values
    return pd.DataFrame(columns)


def dataset_name(dataset, source):
    """The description's words up to its first colon or semicolon; the source where there is no description."""
    description = dataset["train"].info.description or ""
    return description.replace(";", ":").partition(":")[0].strip() or source
