"""The boxes that are to be found: what a row is, which boxes are left out, and how much two boxes overlap."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from chestxray.images.geometry import refuse_boxes_without_size


@dataclass(frozen=True)
class BoxedRows:
    """n boxes, each of one finding in one image. Images without a box are not among them and are never judged.

    A row is one box. If an image has several boxes of a finding, it has several rows. What is asked of a box (is it
    reached?) counts once per row. What is asked of a heatmap (does its peak hit?) counts once per image and finding.

    Attributes:
        boxes: (n, 4) float64 of x, y, width, height in units of the view: 0 to 1 is what the model sees. A box may pass
            the view's edge, because a view is often the middle of its image. It is scored whole.
        findings, images, patients: (n,) str.

    Raises:
        ValueError: there are no rows, shapes differ, or a box has no size. The message names image and finding.
    """

    boxes: np.ndarray
    findings: np.ndarray
    images: np.ndarray
    patients: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", np.asarray(self.boxes, np.float64))
        for name in ("findings", "images", "patients"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=str))
        if not len(self.boxes):
            raise ValueError("no image has a box, so there is nothing to localise")
        lengths = {name: len(column) for name, column in vars(self).items()}
        if self.boxes.shape != (len(self), 4) or len(set(lengths.values())) > 1:
            raise ValueError(f"boxes of shape (n, 4) and n names each are needed, not {self.boxes.shape}, {lengths}")
        refuse_boxes_without_size(self.boxes, self.findings, self.images)

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, chosen: np.ndarray) -> "BoxedRows":
        """The rows that a boolean mask, or an array of positions, chooses."""
        return BoxedRows(*(column[chosen] for column in (self.boxes, self.findings, self.images, self.patients)))

    @cached_property
    def pairs(self) -> np.ndarray:
        """(n,) int: the number of the row's image and finding, counted in the order in which they first come."""
        return pd.MultiIndex.from_arrays([self.images, self.findings]).factorize()[0]

    @cached_property
    def firsts(self) -> np.ndarray:
        """(pairs,) int: the first row of each image and finding."""
        return np.unique(self.pairs, return_index=True)[1]


# What is left out


def known_findings(findings: ArrayLike, known: ArrayLike) -> tuple[np.ndarray, list[str]]:
    """Which boxes are of a finding that the model has, and a sentence on the others.

    Args:
        findings: (n,) str, of the boxes. known: of the model.

    Returns:
        (n,) bool, and a list of one sentence, empty if the model has all findings.

    Raises:
        ValueError: the model has none of them.
    """
    names = np.asarray(findings, dtype=str)
    inside = np.isin(names, np.asarray(known, dtype=str))
    others, counts = np.unique(names[~inside], return_counts=True)
    listed = ", ".join(f"{name} {count}" for name, count in zip(others, counts, strict=True))
    if not inside.any():
        raise ValueError(f"the model has none of the findings that have boxes ({listed}), so nothing can be localised")
    return inside, [f"Boxes of findings that the model does not have are left out: {listed}."] if listed else []


# Two boxes


def overlap(detected: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU and IoBB of pairs of boxes.

    IoU is the intersection over the union. IoBB is the intersection over the detected box's own area (Wang et al. 2017,
    section 4.2), so that a small box inside a large true one has IoBB 1.

    Args:
        detected, true: (..., 4) of x, y, width, height in one unit. NaN in `detected`: nothing was detected.

    Returns:
        Two arrays (...), float64, 0 to 1; 0 where nothing was detected.
    """
    low = np.maximum(detected[..., :2], true[..., :2])
    high = np.minimum(detected[..., :2] + detected[..., 2:], true[..., :2] + true[..., 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    own, wanted = detected[..., 2:].prod(axis=-1), true[..., 2:].prod(axis=-1)
    return np.nan_to_num(common / (own + wanted - common)), np.nan_to_num(common / own)


def contain(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(...) bool: whether each box contains its point, edges included and with no tolerance; False where NaN.

    Args:
        boxes: (..., 4) of x, y, width, height. points: (..., 2) of x, y in the same unit.
    """
    low, high = boxes[..., :2], boxes[..., :2] + boxes[..., 2:]
    return ((low <= points) & (points <= high)).all(axis=-1)
