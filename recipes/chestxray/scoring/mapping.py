"""From a checkpoint and images to a file of heatmaps, by all processes together. No finished chunk is repeated."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator
from datasets import DatasetDict
from tqdm.auto import tqdm
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.data import exposure, image_rows, predictions
from chestxray.data.opening import OpenDataset
from chestxray.images import pixels, splits
from chestxray.images.splits import Split
from chestxray.models import classifiers, heatmap_passes
from chestxray.models.heatmaps import Heatmapper, choose_method
from chestxray.models.weights import digest_weights
from chestxray.scoring.dataset_predictions import CHOICES
from chestxray.scoring.heatmap_file import HeatmapRows, join_parts, write_part

if TYPE_CHECKING:
    from chestxray.training.settings import Settings

CHUNK = 128  # images that a kill can cost


@dataclass(frozen=True)
class Job:
    """A model whose heatmaps are wanted.

    Attributes:
        checkpoint: a folder as finetune.py leaves it.
        settings: of the checkpoint, see `training.prediction_settings`.
        path: the file to write.
        method: one of `heatmap_methods.METHODS`; None is the architecture's own.
        random_weights: replace the weights by random ones.
    """

    checkpoint: str | Path
    settings: "Settings"
    path: Path
    method: str | None = None
    random_weights: bool = False

    def made_by(self) -> dict:
        """What the file says about the model, with the choices of `dataset_predictions`."""
        choices = {name: getattr(self.settings, name) for name in CHOICES}
        identity = {"checkpoint": str(self.checkpoint), "sha256": digest_weights(self.checkpoint)}
        return identity | {"random_weights": self.random_weights} | choices


def map_images(
    accelerator: Accelerator, job: Job, opened: OpenDataset, split: str, chosen: np.ndarray, batch_size: int
) -> Split:
    """Write the heatmaps of some images of a split, unless they are there.

    Finished chunks lie in a folder beside the file until it is whole. After a stop, the next call goes on with them.

    Args:
        opened: the dataset, see `opening.open_to_score`.
        chosen: (n,) int, positions of images in the split.
        batch_size: images per step, all processes together.

    Returns:
        The images as the model gets them, `Split.size` pixels wide.

    Raises:
        ValueError: the file or its chunks are of another model, method or images; the model has no heatmap, or its
            output is not finite.
    """
    whole, side = classifiers.sides(classifiers.load_processor(job.checkpoint))
    findings = classifiers.findings_of(job.checkpoint)
    with accelerator.main_process_first():
        part = choose_images(job, opened, split, chosen, findings, whole, accelerator.print)
    (digests,) = splits.compute_digests([{split: part}], accelerator)
    made_by = job.made_by()
    there = finished_files(job.path)
    accelerator.wait_for_everyone()  # all processes looked before one of them writes
    if there:
        refuse_others(there[0], made_by, digests, job.method)
    if not job.path.exists():
        model, processor, _ = classifiers.load_classifier(job.checkpoint)
        about = image_rows.describe_dataset(opened) | {"split": split, "digests": digests, "models": [made_by]}
        about |= {"findings": findings, "whole": whole, "side": side}
        write_heatmaps(accelerator, job, model, processor, part, about, batch_size)
    if accelerator.is_main_process:
        shutil.rmtree(chunk_folder(job.path), ignore_errors=True)  # the last run may have been killed before this
    accelerator.wait_for_everyone()
    return part


def choose_images(
    job: Job,
    opened: OpenDataset,
    split: str,
    chosen: np.ndarray,
    findings: list[str],
    whole: int,
    tell: Callable[[str], object],
) -> Split:
    """Some images of a split, shrunk. If the whole split is in the pixel cache already, they are read from there."""
    rows, settings = opened.splits[split], job.settings
    cached = settings.cache and not pixels.missing_bytes(rows, whole, settings.equalize)
    take_all = cached or len(chosen) == len(rows)
    parts = splits.make_splits(
        DatasetDict({split: rows if take_all else rows.select(chosen)}),
        findings,
        whole,
        settings.policy,
        seed=settings.seed,
        equalize=settings.equalize,
        cache=settings.cache,
        num_proc=settings.num_proc,
        tell=tell,
    )
    return select(parts[split], chosen) if take_all else parts[split]


def select(part: Split, chosen: np.ndarray) -> Split:
    """The rows of a split at these positions."""
    patients = [part.patients[row] for row in chosen]
    return replace(part, rows=part.rows.select(chosen), targets=part.targets[chosen], patients=patients)


def write_heatmaps(
    accelerator: Accelerator,
    job: Job,
    model: PreTrainedModel,
    processor: CLIPImageProcessor,
    part: Split,
    about: dict,
    batch_size: int,
) -> None:
    """Compute the chunks that are missing, and make one file of all chunks."""
    if job.random_weights:
        model = heatmap_passes.with_random_weights(model)
    mapper = Heatmapper(model.to(accelerator.device), job.method)
    about |= {"method": mapper.method, "default_method": choose_method(model), "grid": mapper.grid(about["side"])}
    chunks = {chunk_file(job.path, first): range(first, min(first + CHUNK, len(part))) for first in firsts(part)}
    missing = {file: rows for file, rows in chunks.items() if not file.exists()}
    accelerator.wait_for_everyone()
    done = len(part) - sum(map(len, missing.values()))
    hidden = not accelerator.is_main_process
    with tqdm(total=len(part), initial=done, unit="image", desc=f"Heatmaps ({mapper.method})", disable=hidden) as bar:
        for file, rows in missing.items():
            images = select(part, np.array(rows))
            share = -(-batch_size // accelerator.num_processes)
            found = heatmap_passes.compute_heatmaps(mapper, images, processor, accelerator, share, bar.update)
            refuse_not_finite(images, job.checkpoint, *found)
            if accelerator.is_main_process:
                write_part(file, HeatmapRows(images.names(range(len(images))), images.patients, *found), about)
    if accelerator.is_main_process:
        join_parts(list(chunks), job.path, about)


# Chunks


def firsts(part: Split) -> range:
    """The first row of each chunk."""
    return range(0, len(part), CHUNK)


def chunk_folder(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts")


def chunk_file(path: Path, first: int) -> Path:
    """The file of the chunk that begins with this row; it also tells how many rows a chunk has."""
    return chunk_folder(path) / f"{first:08}-{CHUNK}.parquet"


def finished_files(path: Path) -> list[Path]:
    """The whole file, or the chunks of one that is not whole yet."""
    return [path] if path.exists() else sorted(chunk_folder(path).glob("[0-9]*.parquet"))


# Refusals


def refuse_others(path: Path, made_by: dict, digests: dict, method: str | None) -> None:
    """Raise ValueError if the heatmaps in `path` are of another model, method or images."""
    about = predictions.read_about(path)
    there: dict[str, Any] = next(iter(about.get("models", [])), {})
    wanted = method or about.get("default_method")
    names = {"sha256": "sha256 of the weights", "random_weights": "random weights"}
    facts = [("method", wanted, about.get("method"))]
    facts += [(names.get(name, name), here, there.get(name)) for name, here in made_by.items() if name != "checkpoint"]
    for name, here, had in facts:
        if here != had:
            raise ValueError(f"{path} holds heatmaps with {name} {had}, not {here}; give another --output-dir")
    if not exposure.same_data(digests, about.get("digests")):
        raise ValueError(f"{path} holds heatmaps of other images; give another --output-dir")


def refuse_not_finite(images: Split, checkpoint: str | Path, logits: np.ndarray, maps: np.ndarray) -> None:
    """Raise ValueError, with the name of the image, if a model gives a number that is not finite."""
    finite = np.isfinite(logits).all(1) & np.isfinite(maps).all((1, 2, 3))
    if not finite.all():
        image = images.names([int(finite.argmin())])[0]
        raise ValueError(f"{checkpoint} gives no finite heatmap for {image}: its weights are damaged. Train it again")
