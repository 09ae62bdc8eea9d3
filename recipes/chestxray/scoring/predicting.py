"""From a checkpoint and a dataset to predictions, by all processes together, each image once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from datasets import ClassLabel, DatasetDict
from tqdm.auto import tqdm

from chestxray.data import exposure, labels, opening, predictions
from chestxray.files import digest_files
from chestxray.images import augment, splits
from chestxray.models import classifiers
from chestxray.scoring.test_time_views import side_to_shrink_to, views
from chestxray.training.settings import Settings, read_settings

CHOICES = ("equalize", "views", "labeler")  # of the settings: which images and labels, and how they look
COLUMNS = {  # ours: those of datasets
    "study": ("study_id", "study"),
    "sex": ("patient_sex",),
    "age": ("patient_age",),
    "view": ("view_position",),
}


def start():
    """Accelerate, for all predictions of a command."""
    # the other processes wait while the first one decodes the archive, which can take hours
    return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))])


def leave():
    """End what several processes did together; predictions cannot be made afterwards."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def settings_of(checkpoint, flags, dataset=None):
    """The `Settings` of a checkpoint's fine-tune, with what a command says instead.

    Args:
        flags: with `allow_missing`, and `labeler`, `views` and `equalize`, None where the fine-tune's stay.
        dataset: the list of datasets of the command, which a checkpoint without settings.yaml needs.
    """
    saved = Path(checkpoint) / "settings.yaml"
    if not (Path(checkpoint) / "config.json").exists():
        raise FileNotFoundError(f"{checkpoint} is no checkpoint's folder (it has no config.json) and no .parquet file")
    if not saved.exists() and not dataset:
        raise ValueError(f"{checkpoint} has no settings.yaml that names its dataset: give --dataset")
    trained = read_settings(saved) if saved.exists() else Settings(dataset=[])
    trained.uncertain, trained.teacher, trained.streaming = "ignore", None, False  # which are for training
    trained.allow_missing |= flags.allow_missing
    trained.labeler = flags.labeler or trained.labeler
    trained.views = flags.views or trained.views
    trained.equalize = trained.equalize if flags.equalize is None else flags.equalize
    return trained


class NoSplit(ValueError):
    """A dataset lacks the split that is to be scored."""


def open_to_score(accelerator, source, split, models, flags, rivals=()):
    """A dataset as the first of several checkpoints was trained on it, without the images that any of them has seen.

    Args:
        models: folders; flags: see `settings_of`, with `seen`, "refuse" or "leave-out".
        rivals: folders of other models, on whose images thresholds are not fitted.

    Returns:
        `opening.OpenDataset` with `split`, and with `validation` where there is one or can be borrowed.

    Raises:
        NoSplit: the dataset has no such split. ValueError: a model has seen images of it, or of validation.
    """
    settings, leave_out = settings_of(models[0], flags, [source]), flags.seen == "leave-out"
    fitted, ranked = (exposure.merge(map(exposure.read, folders)) for folders in (models, [*models, *rivals]))
    with accelerator.main_process_first():
        first = exposure.read(models[0])
        opened = opening.open_dataset(source, settings, first)
        if split not in opened.splits:
            raise NoSplit(f"{source} has no split {split}, only {', '.join(opened.splits)}: give another --split")
        opened = replace(opened, notes=(*opened.notes, *exposure.doubts([*models, *rivals])))
        if split == "train":  # a teacher's predictions are made so, and nobody takes these scores for a test
            note = "These images are of the split train: a model that was trained on them scores too well on them."
            opened = replace(opened, notes=(*opened.notes, note))
        elif ranked:
            opened = opening.say_validated(opening.leave_out_seen(opened, split, ranked, leave_out), split, ranked)
        if "validation" not in opened.splits:
            opened = opening.borrow_validation(opened, split, settings, first)
        if fitted and split != "validation" and "validation" in opened.splits:
            opened = opening.leave_out_seen(opened, "validation", fitted, leave_out)
    return opened


def predict(accelerator, checkpoint, opened, splits_to_predict, path, settings, tta="none", batch_size=64):
    """Write a checkpoint's predictions of some splits to `path`, unless they are there already.

    Args:
        checkpoint: a folder as finetune.py leaves it.
        opened: see `open_to_score`; settings: see `settings_of`, for `equalize` and the cache.
        tta: one of `views.VIEWS`.

    Raises:
        ValueError: `path` holds other predictions; the dataset labels none of the model's findings; the checkpoint's
            processor names no size, or its output is not finite.
    """
    findings = classifiers.findings_of(checkpoint)
    refuse_unknown(findings, opened, splits_to_predict[0], checkpoint)
    whole, side = classifiers.sides(classifiers.load_processor(checkpoint))
    with accelerator.main_process_first():
        wanted = DatasetDict({name: opened.splits[name] for name in splits_to_predict})
        chosen = splits.make(wanted, findings, side_to_shrink_to(whole, side, tta), settings, accelerator.print)
    made_by = {"checkpoint": str(checkpoint), "sha256": digest(Path(checkpoint)), "tta": tta}
    made_by |= {name: getattr(settings, name) for name in CHOICES}
    (digests,) = splits.digests_of([chosen], accelerator)
    if path.exists():
        return refuse_others(path, made_by, digests)
    model, processor, _ = classifiers.load_classifier(checkpoint)
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
    for name, logits in parts.items():
        if not (finite := np.isfinite(logits).all(1)).all():
            path = chosen[name].names([int(finite.argmin())])[0]
            raise ValueError(f"{checkpoint} gives no finite number for {path}: its weights are damaged. Train it again")
    if accelerator.is_main_process:
        rows = pd.concat([describe(chosen[name], name) for name in chosen], ignore_index=True)
        logits = np.concatenate(list(parts.values()))
        targets = np.concatenate([part.targets for part in chosen.values()])
        about = {
            "dataset": opened.name,
            "source": opened.source,
            "synthetic": opened.synthetic,
            "may_be_passed_on": opened.may_be_passed_on,
            "validation_source": opened.validation_source,
            "notes": list(opened.notes),
            "digests": digests,
            "models": [made_by],
        }
        predictions.write(predictions.Predictions(rows, logits, targets, findings, about), path)
    accelerator.wait_for_everyone()


def digest(checkpoint):
    """SHA-256 of a folder's weights, by which predictions know their model."""
    weights = sorted(checkpoint.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"{checkpoint} holds no *.safetensors, so no checkpoint as finetune.py leaves it")
    return digest_files(*weights)


def refuse_others(path, made_by, digests):
    """Raise ValueError where the predictions in `path` are of another model, or of other images or labels."""
    about = predictions.read_about(path)
    there = about["models"][0] if len(about.get("models", [])) == 1 else {}
    for name, here, had in (
        ("sha256 of the weights", made_by["sha256"], there.get("sha256")),
        *((name, made_by[name], there.get(name)) for name in ("tta", *CHOICES)),
    ):
        if here != had:
            raise ValueError(f"{path} holds others, with {name} {had}, not {here}; give another --output-dir")
    for split, here in digests.items():
        had = about.get("digests", {}).get(split)
        if had is None:
            raise ValueError(f"{path} holds no predictions of {split}; give another --output-dir")
        if not exposure.same_data({split: here}, {split: had}):
            raise ValueError(f"{path} holds others, of other images or labels of {split}; give another --output-dir")


def refuse_unknown(findings, opened, split, checkpoint):
    known = labels.labelled_names(opened.splits[split])
    if not {labels.canonical(name) for name in findings} & {labels.canonical(name) for name in known}:
        raise ValueError(
            f"{checkpoint} has the findings {findings}, of which {opened.source} labels none; it labels {known}"
        )


@torch.inference_mode()
def score(model, loader, split, processor, tta, accelerator, progress):
    """Logits of a split, (n, k) float32, in its order, on every process."""
    model.eval()
    _, side = classifiers.sides(processor)
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
    with np.errstate(invalid="ignore"):  # what is not finite is refused by name, see `predict`
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
