"""Where a box of an image lies in what a model sees: the image shrunk to a square, of which the middle is cut."""

import numpy as np


def to_view(boxes: np.ndarray, frame: tuple[float, float], whole: int, side: int) -> np.ndarray:
    """Boxes in units of the side that the model sees: 0 is its left or upper edge, 1 its right or lower edge.

    Args:
        boxes: (m, 4), x and y of the upper left corner, width and height, in pixels of the frame.
        frame: (width, height) of the image that the boxes were drawn on. NIH's are 1024 × 1024, whatever the size of
            the file, except in the config `object-detection`, whose boxes are in pixels of the file.
        whole: side of the square to which images are shrunk, pixels. Proportions are not kept.
        side: side of its middle, which the model sees, pixels; `processors.sides` gives both.

    Returns:
        (m, 4) float64. A box that reaches into the part that is cut off goes below 0 or above 1; see `clip_to_view`.
    """
    corner, size = np.split(np.asarray(boxes, np.float64).reshape(-1, 4), 2, axis=1)
    scale = whole / np.asarray(frame, np.float64)
    return np.concatenate([corner * scale - edge(whole, side), size * scale], axis=1) / side


def from_view(boxes: np.ndarray, frame: tuple[float, float], whole: int, side: int) -> np.ndarray:
    """The inverse of `to_view`: (m, 4) float64 in pixels of the frame."""
    corner, size = np.split(np.asarray(boxes, np.float64).reshape(-1, 4) * side, 2, axis=1)
    scale = np.asarray(frame, np.float64) / whole
    return np.concatenate([(corner + edge(whole, side)) * scale, size * scale], axis=1)


def clip_to_view(boxes: np.ndarray) -> np.ndarray:
    """The part of boxes of `to_view` that the model sees, (m, 4); width or height is 0 if it sees nothing of a box."""
    upper = np.clip(boxes[:, :2], 0, 1)
    lower = np.clip(boxes[:, :2] + boxes[:, 2:], 0, 1)
    return np.concatenate([upper, lower - upper], axis=1)


def check_boxes(boxes: np.ndarray, frame: tuple[float, float], image: str) -> None:
    """Refuse boxes that are no part of their image.

    Args:
        boxes, frame: as in `to_view`.
        image: its name, for the error.

    Raises:
        ValueError: a box has no area, a number that is not finite, or reaches more than a pixel beyond the frame.
    """
    for box in np.asarray(boxes, np.float64).reshape(-1, 4):
        lower = box[:2] + box[2:]
        if not ((box[2:] > 0).all() and (box[:2] >= -1).all() and (lower <= np.add(frame, 1)).all()):
            raise ValueError(
                f"{image}: the box x, y, width, height = {', '.join(f'{number:g}' for number in box)} is outside of "
                f"its image of {frame[0]:g} × {frame[1]:g} pixels: correct the table, or name the right frame"
            )


def edge(whole, side):
    """Pixels that are cut off on the left and at the top, as `augment.normalise` and the processor cut them."""
    return (whole - side) // 2
