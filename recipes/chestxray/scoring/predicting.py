"""From a checkpoint and a dataset to predictions, by all processes together, each image once."""

import hashlib
import json
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from datasets import ClassLabel, DatasetDict
from tqdm.auto import tqdm
from transformers import AutoImageProcessor, AutoModelForImageClassification

from chestxray import augment, labels, models, pixels, sources, splits
from chestxray.scoring import predictions
from chestxray.scoring.views import side_to_shrink_to, views

CHOICES = ("equalize", "views", "labeler")  # of the settings: which images and labels, and how they look
COLUMNS = {  # ours: those of datasets
    "study": ("study_id", "study"),
    "sex": ("patient_sex",),
    "age": ("patient_age",),
    "view": ("view_position",),
}


def predict(checkpoint, source, split, path, settings, tta="none", batch_size=64):
    """Write the predictions of `split` and of validation to `path`, unless they are there already.

    Args:
        checkpoint: a folder as finetune.py leaves it.
        source: see `sources.load`; settings: of the fine-tune, for what it says besides of data and pixels.
        tta: one of `views.VIEWS`.

    Raises:
        ValueError: `path` holds other predictions; the dataset labels none of the model's findings; the checkpoint's
            processor names no size; the dataset has no such split.
    """
    made_by = {"checkpoint": str(checkpoint), "sha256": digest(Path(checkpoint)), "tta": tta}
    made_by |= {name: getattr(settings, name) for name in CHOICES}
    if path.exists():
        return refuse_others(path, made_by, source, split)
    accelerator = Accelerator(
        # the other processes wait while the first one decodes the archive, which can take hours
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],
    )
    num_proc = settings.num_proc or pixels.processes()
    model, processor, findings = load(checkpoint)
    with accelerator.main_process_first():
        dataset = sources.load(source, settings.allow_missing, num_proc, settings.labeler)
        dataset = sources.frontal(dataset) if settings.views == "frontal" else dataset
        dataset = sources.with_validation(dataset) if "train" in dataset else dataset
        refuse_unknown(findings, split, dataset, checkpoint, source)
        whole, side = models.sides(processor)
        wanted = DatasetDict({name: dataset[name] for name in dict.fromkeys(("validation", split)) if name in dataset})
        chosen = splits.make(wanted, findings, side_to_shrink_to(whole, side, tta), settings, accelerator.print)
    model = accelerator.prepare(model)
    share = -(-batch_size // accelerator.num_processes)
    loaders = {
        name: part.evaluation_loader(share, accelerator.process_index, accelerator.num_processes)
        for name, part in chosen.items()
    }
    steps = sum(len(loader) for loader in loaders.values())
    with tqdm(total=steps, unit="batch", desc="Predicting", disable=not accelerator.is_main_process) as progress:
        parts = {
            name: score(model, loader, chosen[name], processor, tta, accelerator, progress)
            for name, loader in loaders.items()
        }
    if accelerator.is_main_process:
        rows = pd.concat([describe(chosen[name], name) for name in chosen], ignore_index=True)
        logits = np.concatenate(list(parts.values()))
        targets = np.concatenate([part.targets for part in chosen.values()])
        about = {
            "dataset": sources.name_of(dataset, source),
            "source": source,
            "synthetic": sources.is_synthetic(dataset, source),
            "models": [made_by],
        }
        predictions.write(predictions.Predictions(rows, logits, targets, findings, about), path)
    accelerator.wait_for_everyone()


def leave():
    """End what several processes did together; predictions cannot be made afterwards."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def load(checkpoint):
    """(model, processor, findings) of a folder as finetune.py leaves it.

    Raises ValueError where a file of it is damaged, lacks a weight or a setting of the processor, or has others.
    """
    with one_error(checkpoint):
        model, found = AutoModelForImageClassification.from_pretrained(checkpoint, output_loading_info=True)
        processor = AutoImageProcessor.from_pretrained(checkpoint)
        shown = json.loads(Path(checkpoint, "preprocessor_config.json").read_text(encoding="utf-8"))
        names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    if lacking := [name for name in ("size", "image_mean", "image_std") if not shown.get(name)]:
        raise ValueError(f"{checkpoint}/preprocessor_config.json has no {', '.join(lacking)}, as finetune.py's does")
    if not processor.size.get("height"):
        raise ValueError(f"{checkpoint}/preprocessor_config.json names no height, as finetune.py's does")
    if wrong := [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]:
        raise ValueError(f"{checkpoint}: its weights are not those of its config.json, which differ in {wrong[0]}")
    if wrong := [name for name, weight in model.state_dict().items() if not weight.isfinite().all()]:
        raise ValueError(f"{checkpoint} is damaged: {wrong[0]} has weights that are no finite numbers")
    if model.config.label2id != {name: number for number, name in enumerate(names)}:
        raise ValueError(f"{checkpoint}/config.json is damaged: id2label and label2id name other findings")
    return model.eval(), processor, names


@contextmanager
def one_error(checkpoint):
    """Whatever the libraries raise of a damaged folder, as one error; the disk's own errors as they are."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{checkpoint} is damaged, or no checkpoint as finetune.py leaves it: {reason}") from error


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
        *((name, made_by[name], there.get(name)) for name in ("tta", *CHOICES)),
        ("dataset", source, about.get("source")),
    ):
        if here != had:
            raise ValueError(f"{path} holds others, with {name} {had}, not {here}; give another --output-dir")


def refuse_unknown(findings, split, dataset, checkpoint, source):
    if split not in dataset:
        raise ValueError(f"{source} has no split {split}; it has {', '.join(dataset)}")
    known = labels.own(dataset[split])
    if not {labels.canonical(name) for name in findings} & {labels.canonical(name) for name in known}:
        raise ValueError(f"{checkpoint} has the findings {findings}, of which {source} labels none; it labels {known}")


@torch.inference_mode()
def score(model, loader, split, processor, tta, accelerator, progress):
    """Logits of a split, (n, k) float32, in its order, on every process."""
    model.eval()
    _, side = models.sides(processor)
    mean, std, parts = processor.image_mean, processor.image_std, []
    for batch in loader:
        pixels = batch["pixels"].to(accelerator.device)
        shown = [augment.normalise(view, side, mean, std) for view in views(pixels, side, tta)]
        logits = torch.stack([model(pixel_values=view).logits.float() for view in shown], dim=1)
        parts.append([part.cpu() for part in accelerator.gather((batch["index"].to(accelerator.device), logits))])
        progress.update()
    index, logits = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    index, first = np.unique(index, return_index=True)  # some came twice, to give all processes as many
    if len(index) != len(split):
        raise RuntimeError(f"{len(split)} images went in and {len(index)} different ones came out")
    return predictions.mean_logit(logits[first], axis=1).astype(np.float32)


def describe(split, name):
    """The columns of a predictions file besides the findings', in words where the dataset has class ids."""
    rows = split.rows
    columns = {"image_file_path": rows["image_file_path"], "split": name, "patient": split.patients}
    for ours, theirs in COLUMNS.items():
        column = next((column for column in theirs if column in rows.column_names), None)
        if column is None:
            continue
        feature, values = rows.features[column], rows[column]
        if isinstance(feature, ClassLabel):
            values = [None if value is None else feature.int2str(value) for value in values]
        columns[ours] = values
    return pd.DataFrame(columns)
