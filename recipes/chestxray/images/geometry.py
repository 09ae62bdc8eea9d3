"""Where a box of an image lies in what a model sees: the image shrunk to a square, of which the middle is cut."""

import numpy as np
from numpy.typing import ArrayLike

ROUNDING = 1.0  # pixels by which a box may pass the edge of its image: tables round, and so do shrunk copies


def to_view(boxes: np.ndarray, frame: tuple[float, float], whole: int, side: int) -> np.ndarray:
    """Boxes in units of the side that the model sees: 0 is its left or upper edge, 1 its right or lower edge.

    Args:
        boxes: (m, 4), x and y of the upper left corner, width and height, in pixels of the frame.
        frame: (width, height) of the image that the boxes were drawn on. NIH's are 1024 × 1024, whatever the size of
            the file, except in the config `object-detection`, whose boxes are in pixels of the file.
        whole: side of the square to which images are shrunk, pixels. Proportions are not kept.
        side: side of its middle, which the model sees, pixels; `processors.sides` gives both.

    Returns:
        (m, 4) float64. A box that reaches into the part that is cut off goes below 0 or above 1.
    """
    corner, size = np.split(np.asarray(boxes, np.float64).reshape(-1, 4), 2, axis=1)
    scale = whole / np.asarray(frame, np.float64)
    return np.concatenate([corner * scale - edge(whole, side), size * scale], axis=1) / side


def from_view(boxes: np.ndarray, frame: tuple[float, float], whole: int, side: int) -> np.ndarray:
    """The inverse of `to_view`: (m, 4) float64 in pixels of the frame."""
    corner, size = np.split(np.asarray(boxes, np.float64).reshape(-1, 4) * side, 2, axis=1)
    scale = np.asarray(frame, np.float64) / whole
    return np.concatenate([(corner + edge(whole, side)) * scale, size * scale], axis=1)


def edge(whole: int, side: int) -> int:
    """Pixels that are cut off on the left and at the top, as `augment.normalise` and the processor cut them."""
    return (whole - side) // 2


# Boxes that are refused


def refuse_boxes_without_size(boxes: np.ndarray, findings: ArrayLike, images: ArrayLike) -> None:
    """Raise ValueError for the first box that is not finite or has no positive width and height."""
    wrong = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    refuse(wrong, boxes, findings, images, "has no positive width and height")


def refuse_boxes_outside(boxes: ArrayLike, frames: ArrayLike, findings: ArrayLike, images: ArrayLike) -> None:
    """Raise ValueError for the first box that has no size or passes the edge of its image by more than a pixel.

    Call this with the boxes as the dataset gives them, before they are moved into the view.

    Args:
        boxes: (n, 4) of x, y, width, height in pixels of the image.
        frames: (n, 2) of the image's width and height in the same pixels, or one pair for all.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    frames = np.broadcast_to(np.asarray(frames, np.float64), (len(boxes), 2))
    refuse_boxes_without_size(boxes, findings, images)
    ends = boxes[:, :2] + boxes[:, 2:]
    outside = (boxes[:, :2] < -ROUNDING).any(axis=1) | (ends > frames + ROUNDING).any(axis=1)
    refuse(outside, boxes, findings, images, "is not inside its image", frames)


def refuse(
    wrong: ArrayLike,
    boxes: np.ndarray,
    findings: ArrayLike,
    images: ArrayLike,
    what: str,
    frames: np.ndarray | None = None,
) -> None:
    """Raise ValueError that names image, finding and box of the first row of a boolean mask, if there is one."""
    found = np.flatnonzero(wrong)
    if not len(found):
        return
    row = found[0]
    box = ", ".join(f"{value:g}" for value in boxes[row])
    frame = "" if frames is None else f" of {frames[row][0]:g} × {frames[row][1]:g} pixels"
    image, finding = np.asarray(images)[row], np.asarray(findings)[row]
    raise ValueError(
        f"{image}: the box of {finding} (x, y, width, height {box}) {what}{frame}: correct it or remove it"
    )
