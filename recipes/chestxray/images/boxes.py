"""Boxes of training images, and the part of an augmented image that each of them covers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from datasets import Dataset

from chestxray.data import labels
from chestxray.data.boxed_images import FRAME, PLACE, read_boxes
from chestxray.files import digest
from chestxray.images.geometry import refuse_boxes_outside

POINTS = 8  # on each side of a cell: as finely is the part measured that a box covers


class TrainedOn(Protocol):
    """What `read_training_boxes` needs of a dataset, as `opening.OpenDataset` has it."""

    @property
    def splits(self) -> Mapping[str, Dataset]: ...


@dataclass(frozen=True)
class Boxes:
    """m boxes of images of one split, or of one batch.

    Attributes:
        images: (m,) int64, the image's row.
        findings: (m,) int64, the finding's number among the model's.
        corners: (m, 4) float64, left, top, right and bottom on the whole image, where -1 and 1 are its edges.
    """

    images: np.ndarray
    findings: np.ndarray
    corners: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def of_rows(self, index: np.ndarray) -> "Boxes":
        """The boxes of a batch. `images` counts from the batch's first image. index: (n,) ints, rows of the split."""
        places, boxes = np.nonzero(np.asarray(index)[:, None] == self.images)
        return Boxes(places, self.findings[boxes], self.corners[boxes])

    def chosen(self, mask: np.ndarray) -> "Boxes":
        """The boxes that a boolean mask chooses."""
        return Boxes(self.images[mask], self.findings[mask], self.corners[mask])

    def digest(self) -> str:
        """Other boxes have another digest."""
        return digest(*(np.ascontiguousarray(part).tobytes() for part in (self.images, self.findings, self.corners)))


def read_training_boxes(datasets: Sequence[TrainedOn], findings: Sequence[str]) -> Boxes:
    """The boxes of the findings that a model has, in the images that it learns from. No other split is read.

    Args:
        datasets: opened, with validation cut from train. Their rows of train follow each other, as in training.
        findings: of the model.

    Raises:
        ValueError: a box is outside of its image.
    """
    number = {labels.canonical(name): position for position, name in enumerate(findings)}
    parts, first = [], 0
    for dataset in datasets:
        rows = dataset.splits["train"]
        table = read_boxes(rows)
        table = table[table["finding"].isin(list(number))]
        numbers = table["finding"].map(number).to_numpy(np.int64)
        parts.append((table["row"].to_numpy(np.int64) + first, numbers, corners_of(table)))
        first += len(rows)
    return Boxes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def corners_of(table):
    """`Boxes.corners` of the rows of `boxed_images.read_boxes`."""
    boxes, frames = table[PLACE].to_numpy(np.float64), table[FRAME].to_numpy(np.float64)
    refuse_boxes_outside(boxes, frames, table["finding"], table["image"])
    upper = boxes[:, :2] / frames
    return 2 * np.concatenate([upper, upper + boxes[:, 2:] / frames], axis=1) - 1


# After augmentation


def centres(boxes: Boxes, matrices: np.ndarray) -> np.ndarray:
    """Where the boxes' centres lie in the new images, (m, 2) float64 of x and y, -1 to 1 inside. Others as below."""
    old = (boxes.corners[:, :2] + boxes.corners[:, 2:]) / 2
    matrices = matrices[boxes.images]
    return np.linalg.solve(matrices[:, :, :2], (old - matrices[:, :, 2])[:, :, None])[:, :, 0]


def visible_boxes(boxes: Boxes, matrices: np.ndarray) -> Boxes:
    """The boxes whose centre is in the new image, as SSD keeps them (Liu et al. 2016, arXiv 1512.02325, section 2.2).

    matrices: (n, 2, 3), see `augment.Changes`.
    """
    return boxes.chosen((np.abs(centres(boxes, matrices)) < 1).all(1))


def covered_shares(boxes: Boxes, matrices: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The share of each cell of the new image that each box covers: (m, h, w) float32, 0 to 1.

    A box that is drawn along is turned with its image. The cell of its centre is never 0, however small the box is.

    Args:
        boxes: of a batch; see `visible_boxes`.
        matrices: (n, 2, 3), see `augment.Changes`.
        grid: (h, w), cells from top to bottom and from left to right.
    """
    height, width = grid
    x, y = np.meshgrid(cell_points(width), cell_points(height))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])  # (3, all points) of the new image
    old = matrices[boxes.images] @ points  # (m, 2, all points)
    upper, lower = boxes.corners[:, :2, None], boxes.corners[:, 2:, None]
    inside = ((old >= upper) & (old <= lower)).all(1)
    shares = inside.reshape(-1, height, POINTS, width, POINTS).mean((2, 4), dtype=np.float32)
    column, row = (np.floor((centres(boxes, matrices).T + 1) / 2 * [[width], [height]])).astype(int)
    each = np.arange(len(boxes))
    shares[each, row, column] = np.maximum(shares[each, row, column], 1 / POINTS**2)
    return shares


def cell_points(cells):
    """`POINTS` places in each of so many cells, evenly from -1 to 1."""
    return (2 * np.arange(cells * POINTS) + 1) / (cells * POINTS) - 1
