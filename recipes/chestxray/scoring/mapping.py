"""From a checkpoint and images to a file of heatmaps, by all processes together. No finished chunk is repeated."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import DatasetDict
from tqdm.auto import tqdm
from transformers import CLIPImageProcessor

from chestxray.data import exposure, image_rows, predictions
from chestxray.data.opening import OpenDataset
from chestxray.images import pixels, splits
from chestxray.images.splits import Split
from chestxray.models import classifiers, heatmap_passes
from chestxray.models.heatmap_methods import PATH
from chestxray.models.heatmap_places import measure_places
from chestxray.models.heatmaps import Heatmapper, choose_method
from chestxray.models.inference import model_input, predict_logits
from chestxray.models.processors import for_side, sides
from chestxray.models.weights import digest_weights
from chestxray.scoring.dataset_predictions import CHOICES
from chestxray.scoring.heatmap_file import HeatmapRows, join_parts, read_rows, write_part
from chestxray.scoring.map_options import MapOptions, options_of
from chestxray.scoring.test_time_views import views

if TYPE_CHECKING:
    from chestxray.training.settings import Settings

CHUNK = 128  # images that a kill can cost
PLACED = 16  # images on which the places of a map's cells are measured
REFERENCE = 1024  # validation images of which a mean is taken, at most


@dataclass(frozen=True)
class Job:
    """A model whose heatmaps are wanted.

    Attributes:
        checkpoint: a folder as finetune.py leaves it.
        settings: of the checkpoint, see `training.prediction_settings`.
        path: the file to write.
        method: one of `heatmap_methods.METHODS`; None is the architecture's own.
        random_weights: replace the weights by random ones.
        options: how maps are computed, beside the method.
    """

    checkpoint: str | Path
    settings: "Settings"
    path: Path
    method: str | None = None
    random_weights: bool = False
    options: MapOptions = MapOptions()

    @property
    def needs_reference(self) -> bool:
        """Whether validation images are needed too."""
        return self.options.relative or self.method == PATH

    def made_by(self) -> dict:
        """What the file says about the model, with the choices of `dataset_predictions`."""
        choices = {name: getattr(self.settings, name) for name in CHOICES}
        identity = {"checkpoint": str(self.checkpoint), "sha256": digest_weights(self.checkpoint)}
        return identity | {"random_weights": self.random_weights} | asdict(self.options) | choices


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
        ValueError: the file or its chunks are of another model, method, options or images; the model has no heatmap,
            or does not take images of this size, or its output is not finite; there are no validation images of
            which a mean is needed.
    """
    own = classifiers.load_processor(job.checkpoint)
    job.options.refuse_small(sides(own)[1], job.checkpoint)
    refuse_without_validation(job, opened)
    processor = for_side(own, job.options.image_size) if job.options.image_size else own
    whole, side = sides(processor)
    shrink = partial(choose_images, job, opened, tell=accelerator.print)
    with accelerator.main_process_first():
        part = shrink(split, chosen, whole)
    (digests,) = splits.compute_digests([{split: part}], accelerator)
    made_by = job.made_by()
    there = finished_files(job.path)
    accelerator.wait_for_everyone()  # all processes looked before one of them writes
    if there:
        refuse_others(there[0], made_by, digests, job.method)
    if not job.path.exists():
        about = image_rows.describe_dataset(opened) | {"split": split, "digests": digests, "models": [made_by]}
        about |= {"findings": classifiers.findings_of(job.checkpoint), "whole": whole, "side": side}
        with accelerator.main_process_first():
            plain = shrink(split, chosen, sides(own)[0]) if job.options.image_size else None
            reference = shrink("validation", reference_images(opened), whole) if job.needs_reference else None
        write_heatmaps(accelerator, job, Shown(part, processor, plain, reference), about, batch_size)
    if accelerator.is_main_process:
        shutil.rmtree(chunk_folder(job.path), ignore_errors=True)  # the last run may have been killed before this
    accelerator.wait_for_everyone()
    return part


@dataclass(frozen=True)
class Shown:
    """What a model is shown.

    Attributes:
        images: whose heatmaps are wanted. processor: that shows them.
        plain: the same images in the training's size, for the logits; None if `images` have that size.
        reference: validation images, whose mean map is taken away or at whose mean image integrated gradients begin; or
            None.
    """

    images: Split
    processor: CLIPImageProcessor
    plain: Split | None
    reference: Split | None


def reference_images(opened: OpenDataset) -> np.ndarray:
    """Positions of validation images, at most REFERENCE, at equal distances in the order of the split."""
    count = len(opened.splits["validation"])
    return np.unique(np.linspace(0, count - 1, min(count, REFERENCE)).round().astype(int))


def choose_images(
    job: Job,
    opened: OpenDataset,
    split: str,
    chosen: np.ndarray,
    whole: int,
    tell: Callable[[str], object],
) -> Split:
    """Some images of a split, shrunk. If the whole split is in the pixel cache already, they are read from there."""
    rows, settings = opened.splits[split], job.settings
    cached = settings.cache and not pixels.missing_bytes(rows, whole, settings.equalize)
    take_all = cached or len(chosen) == len(rows)
    parts = splits.make_splits(
        DatasetDict({split: rows if take_all else rows.select(chosen)}),
        classifiers.findings_of(job.checkpoint),
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


def write_heatmaps(accelerator: Accelerator, job: Job, shown: Shown, about: dict, batch_size: int) -> None:
    """Compute the chunks that are missing, and make one file of all chunks."""
    model, own, _ = classifiers.load_classifier(job.checkpoint)
    if job.random_weights:
        model = heatmap_passes.with_random_weights(model)
    start = mean_image(shown, accelerator.device) if job.method == PATH else None
    mapper = Heatmapper(model.to(accelerator.device), job.method, start=start)
    about |= {"method": mapper.method, "default_method": choose_method(model), "grid": find_grid(mapper, job, about)}
    about["places"] = find_places(mapper, shown)
    share = -(-batch_size // accelerator.num_processes)
    passes = Passes(mapper, own, shown, job, accelerator, share, columns=about["places"][1])
    mean = mean_maps(passes, about) if job.options.relative else 0
    chunks = {chunk_file(job.path, rows[0]): rows for rows in rows_of_chunks(len(shown.images))}
    missing = {file: rows for file, rows in chunks.items() if not file.exists()}
    accelerator.wait_for_everyone()
    done = len(shown.images) - sum(map(len, missing.values()))
    with passes.progress(len(shown.images), done) as bar:
        for file, rows in missing.items():
            images = select(shown.images, rows)
            logits, maps = passes.compute(images, bar.update)
            if shown.plain:
                logits = passes.plain_logits(select(shown.plain, rows))
            found = images.names(range(len(images))), images.patients, logits, maps - mean
            if accelerator.is_main_process:
                write_part(file, HeatmapRows(*found), about)
    if accelerator.is_main_process:
        join_parts(list(chunks), job.path, about)


def find_grid(mapper: Heatmapper, job: Job, about: dict) -> tuple[int, int]:
    """See `Heatmapper.grid`. Raises ValueError if the model does not take images of the size that was asked for."""
    try:
        return mapper.grid(about["side"])
    except (ValueError, RuntimeError, AssertionError) as error:
        if not job.options.image_size:
            raise
        raise ValueError(f"{job.checkpoint} takes no images of {about['side']} pixels: give no --image-size") from error


def find_places(mapper: Heatmapper, shown: Shown) -> tuple[list[float], list[float]]:
    """See `heatmap_places.measure_places`: on some of the images, at equal distances in their order."""
    numbers = np.unique(np.linspace(0, len(shown.images) - 1, PLACED).round().astype(int))
    (batch,) = select(shown.images, numbers).evaluation_loader(len(numbers))
    images = model_input(batch["pixels"].to(mapper.model.device), shown.processor, channels_last=False)
    return measure_places(mapper, images)


def mean_image(shown: Shown, device: torch.device) -> torch.Tensor:
    """The mean of the reference images as a model sees them, (1, 3, s, s). Each process computes the same."""
    assert shown.reference, "integrated gradients need reference images"
    total = torch.zeros(())
    for batch in shown.reference.evaluation_loader(CHUNK):
        total = total + model_input(batch["pixels"], shown.processor, channels_last=False).double().sum(0)
    return (total / len(shown.reference)).float()[None].to(device)


def mean_maps(passes: "Passes", about: dict) -> np.ndarray:
    """The mean map of each finding over the reference images, (k, h, w). It is kept until the file is whole."""
    file = chunk_folder(passes.job.path) / "mean.parquet"
    passes.accelerator.wait_for_everyone()  # all processes see the same: it is there or not
    if not file.exists():
        reference = passes.shown.reference
        assert reference, "only relative maps have a mean"
        with passes.progress(len(reference), what="Mean map of validation") as bar:
            logits, maps = (part.mean(axis=0, keepdims=True) for part in passes.compute(reference, bar.update))
        passes.accelerator.wait_for_everyone()
        if passes.accelerator.is_main_process:
            write_part(file, HeatmapRows(["mean"], ["none"], logits, maps), about)
        return maps[0]
    return next(read_rows(file)).maps[0]


@dataclass(frozen=True)
class Passes:
    """A model at work on images.

    share: images per process and pass.
    columns: the places at which the columns of its maps look, 0 to 1.
    """

    mapper: Heatmapper
    own: CLIPImageProcessor
    shown: Shown
    job: Job
    accelerator: Accelerator
    share: int
    columns: Sequence[float]

    def compute(self, images: Split, progress: Callable[[int], Any]) -> tuple[np.ndarray, np.ndarray]:
        """See `heatmap_passes.compute_heatmaps`. Raises ValueError if a number is not finite."""
        columns = self.columns if self.job.options.tta == "flip" else None
        found = heatmap_passes.compute_heatmaps(
            self.mapper, images, self.shown.processor, self.accelerator, self.share, progress, columns
        )
        refuse_not_finite(images, self.job.checkpoint, *found)
        return found

    def plain_logits(self, images: Split) -> np.ndarray:
        """The logits (n, k) of images of the training's size, as score.py computes them."""
        views_of = partial(views, side=sides(self.own)[1], tta=self.job.options.tta)
        return predict_logits(self.mapper.model, images, self.own, self.accelerator, self.share, views=views_of)

    def progress(self, total: int, done: int = 0, what: str = "Heatmaps") -> tqdm:
        """A bar on the main process."""
        hidden = not self.accelerator.is_main_process
        return tqdm(total=total, initial=done, unit="image", desc=f"{what} ({self.mapper.method})", disable=hidden)


# Chunks


def rows_of_chunks(count: int) -> list[np.ndarray]:
    """The rows of each chunk of `count` rows."""
    return [np.arange(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def chunk_folder(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts")


def chunk_file(path: Path, first: int) -> Path:
    """The file of the chunk that begins with this row; it also tells how many rows a chunk has."""
    return chunk_folder(path) / f"{first:08}-{CHUNK}.parquet"


def finished_files(path: Path) -> list[Path]:
    """The whole file, or the chunks of one that is not whole yet, and the mean map that they differ from."""
    return [path] if path.exists() else sorted(chunk_folder(path).glob("[0-9m]*.parquet"))


# Refusals


def refuse_without_validation(job: Job, opened: OpenDataset) -> None:
    """Raise ValueError if a mean of validation images is needed and there are none."""
    if job.needs_reference and not len(opened.splits.get("validation", ())):
        why = "mean map --relative takes away" if job.options.relative else f"mean image {PATH} begin at"
        raise ValueError(f"{opened.source} has no validation images, whose {why}")


def refuse_others(path: Path, made_by: dict, digests: dict, method: str | None) -> None:
    """Raise ValueError if the heatmaps in `path` are of another model, method, options or images."""
    about = predictions.read_about(path)
    there: dict[str, Any] = next(iter(about.get("models", [])), {})
    there = asdict(options_of(there)) | there
    wanted = method or about.get("default_method")
    names = {"sha256": "sha256 of the weights", "random_weights": "random weights", "image_size": "image size"}
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
