"""From a checkpoint and a dataset to predictions, by all processes together, each image once."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from datasets import DatasetDict
from tqdm.auto import tqdm

from chestxray.data import exposure, image_rows, labels, predictions
from chestxray.data.opening import OpenDataset
from chestxray.images import splits
from chestxray.images.splits import Split
from chestxray.machine import keep_freed_memory, use_all_cores
from chestxray.models import classifiers
from chestxray.models.inference import predict_logits
from chestxray.models.weights import digest_weights
from chestxray.scoring.test_time_views import side_to_shrink_to, views

if TYPE_CHECKING:
    from chestxray.training.settings import Settings

CHOICES = ("equalize", "views", "labeler")  # of the settings: which images and labels, and how they look


def start() -> Accelerator:
    """Accelerate, for all predictions of a command."""
    keep_freed_memory()
    use_all_cores()
    # the other processes wait while the first one decodes the archive, which can take hours
    return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))])


def stop() -> None:
    """End the group of processes; predictions cannot be made afterwards."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def predict(
    accelerator: Accelerator,
    checkpoint: str | Path,
    opened: OpenDataset,
    split: str,
    path: Path,
    settings: "Settings",
    *,
    with_validation: bool = True,
    tta: str = "none",
    batch_size: int = 64,
) -> None:
    """Write a checkpoint's predictions of a split, and of validation where there is one, unless they are there.

    Args:
        checkpoint: a folder as finetune.py leaves it.
        opened: the dataset, see `opening.open_to_score`.
        path: the file to write.
        settings: of the checkpoint, see `training.prediction_settings`. They choose images and labels, and how the
            model sees the images.
        with_validation: whether validation is predicted as well.
        tta: one of `test_time_views.VIEWS`. batch_size: images per step, all processes together.

    Raises:
        ValueError: `path` holds other predictions; the dataset labels none of the model's findings; the checkpoint's
            processor names no size, or its output is not finite.
    """
    findings = classifiers.findings_of(checkpoint)
    refuse_unlabelled(findings, opened, split, checkpoint)
    whole, side = classifiers.sides(classifiers.load_processor(checkpoint))
    names = [name for name in ("validation", split) if name in opened.splits] if with_validation else [split]
    with accelerator.main_process_first():
        wanted = DatasetDict({name: opened.splits[name] for name in names})
        parts = splits.make_splits(
            wanted,
            findings,
            side_to_shrink_to(whole, side, tta),
            settings.policy,
            seed=settings.seed,
            equalize=settings.equalize,
            cache=settings.cache,
            num_proc=settings.num_proc,
            tell=accelerator.print,
        )
    made_by = {"checkpoint": str(checkpoint), "sha256": digest_weights(checkpoint), "tta": tta}
    made_by |= {name: getattr(settings, name) for name in CHOICES}
    (digests,) = splits.compute_digests([parts], accelerator)
    if path.exists():
        return refuse_others(path, made_by, digests)
    logits = compute_logits(accelerator, checkpoint, parts, tta, batch_size)
    refuse_not_finite(logits, parts, checkpoint)
    if accelerator.is_main_process:
        about = image_rows.describe_dataset(opened) | {"digests": digests, "models": [made_by]}
        predictions.write(table_of(parts, logits, findings, about), path)
    accelerator.wait_for_everyone()


def compute_logits(
    accelerator: Accelerator, checkpoint: str | Path, parts: Mapping[str, Split], tta: str, batch_size: int
) -> dict[str, np.ndarray]:
    """{split: (n, k) float32}, in the order of its rows, on every process."""
    model, processor, _ = classifiers.load_classifier(checkpoint)
    model = accelerator.prepare(model)
    share = -(-batch_size // accelerator.num_processes)
    _, side = classifiers.sides(processor)
    views_of = partial(views, side=side, tta=tta)
    steps = sum(-(-len(part) // (share * accelerator.num_processes)) for part in parts.values())
    with tqdm(total=steps, unit="batch", desc="Predicting", disable=not accelerator.is_main_process) as progress:
        return {
            name: predict_logits(model, part, processor, accelerator, share, views=views_of, progress=progress.update)
            for name, part in parts.items()
        }


def refuse_not_finite(logits: Mapping[str, np.ndarray], parts: Mapping[str, Split], checkpoint: str | Path) -> None:
    """Raise ValueError, with the name of the image, if a model gives no finite number."""
    for name, rows in logits.items():
        finite = np.isfinite(rows).all(1)
        if not finite.all():
            image = parts[name].names([int(finite.argmin())])[0]
            raise ValueError(
                f"{checkpoint} gives no finite number for {image}: its weights are damaged. Train it again"
            )


def table_of(
    parts: Mapping[str, Split], logits: Mapping[str, np.ndarray], findings: list[str], about: dict
) -> predictions.Predictions:
    """The logits of all splits, one below the other, with the rows and targets that they belong to."""
    rows = pd.concat(
        [image_rows.metadata_of(part.rows, part.patients, name) for name, part in parts.items()], ignore_index=True
    )
    targets = np.concatenate([part.targets for part in parts.values()])
    return predictions.Predictions(rows, np.concatenate([logits[name] for name in parts]), targets, findings, about)


def refuse_others(path: Path, made_by: dict, digests: dict) -> None:
    """Raise ValueError if the predictions in `path` are of another model, or of other images or labels."""
    about = predictions.read_about(path)
    there = about["models"][0] if len(about.get("models", [])) == 1 else {}
    for name, here, had in (
        ("sha256 of the weights", made_by["sha256"], there.get("sha256")),
        *((name, made_by[name], there.get(name)) for name in ("tta", *CHOICES)),
    ):
        if here != had:
            raise ValueError(f"{path} holds predictions with {name} {had}, not {here}; give another --output-dir")
    for split, here in digests.items():
        had = about.get("digests", {}).get(split)
        if had is None:
            raise ValueError(f"{path} holds no predictions of {split}; give another --output-dir")
        if not exposure.same_data({split: here}, {split: had}):
            raise ValueError(
                f"{path} holds predictions of other images or labels of {split}; give another --output-dir"
            )


def refuse_unlabelled(findings: Sequence[str], opened: OpenDataset, split: str, checkpoint: str | Path) -> None:
    """Raise ValueError if a dataset labels none of a model's findings."""
    known = labels.labelled_names(opened.splits[split])
    if not {labels.canonical(name) for name in findings} & {labels.canonical(name) for name in known}:
        raise ValueError(
            f"{opened.source} labels none of the findings of {checkpoint}. The model has {findings}, the dataset "
            f"labels {known}. Give another --dataset"
        )
