"""The images on which an exported model is compared with its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chestxray.data import opening
from chestxray.data.opening import OpenDataset
from chestxray.images.pixels import keep_encoded, shrink_row
from chestxray.images.reading import read_pixels
from chestxray.repository import SAMPLE
from chestxray.training.settings import Settings

COUNT = 12  # images: four batches of three
NOISE = 3


@dataclass(frozen=True)
class ComparedImages:
    """(n, size, size) uint8, and what they are, for a report."""

    pixels: np.ndarray
    origin: str


def open_validation(checkpoint: str | Path, settings: Settings, source: str | None) -> OpenDataset | None:
    """The dataset with the validation images of a checkpoint.

    Args:
        source: a folder or a Hub id; None is the one that the checkpoint was trained on, if it is there.

    Returns:
        None if `source` is None and there is no such dataset, or if it has no validation images.

    Raises:
        FileNotFoundError, ValueError: as `opening.open_to_score`, if `source` is given.
    """
    if source:
        return opening.open_to_score(source, "validation", settings, [checkpoint])
    for name in settings.dataset or ():
        try:
            return opening.open_to_score(name, "validation", settings, [checkpoint])
        except (OSError, ValueError) as error:  # it was moved, or is on another machine
            print(f"No validation images from {name}: {error}")
    return None


def choose_images(opened: OpenDataset | None, size: int, equalize: bool) -> ComparedImages:
    """Validation images, evenly over the split; with fewer than NOISE of them the synthetic sample and noise.

    Raises:
        ValueError: an image is damaged.
    """
    if opened is None or len(opened.splits["validation"]) < NOISE:
        return sample_and_noise(size, equalize)
    rows = opened.splits["validation"]
    chosen = np.unique(np.linspace(0, len(rows) - 1, COUNT).astype(int))
    encoded = keep_encoded(rows.select_columns(["image_file_path", "image"]).select(chosen))
    pixels = np.stack([shrink_row(row, size, equalize) for row in encoded])
    return ComparedImages(pixels, f"{len(pixels)} validation images of {opened.name}")


def sample_and_noise(size: int, equalize: bool) -> ComparedImages:
    """The first images of the synthetic sample, and images of noise."""
    paths = sorted((SAMPLE / "images").glob("*.png"))[: COUNT - NOISE]
    drawn = [read_pixels(path, size, equalize) for path in paths]
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, size, size), np.uint8)
    return ComparedImages(np.stack([*drawn, *noise]), f"{len(drawn)} synthetic images and {NOISE} of noise")
