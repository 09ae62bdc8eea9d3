"""Test-time augmentation: the model sees several views of an image, and its probabilities are averaged over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

VIEWS = ("none", "flip", "ten-crop")


def side_to_shrink_to(whole: int, side: int, tta: str) -> int:
    """The side of the whole image, pixels: ten crops of 224 are cut from 256, and in the same proportion elsewhere.

    Args:
        whole: the side of the images in training; the model saw the middle `side` pixels of it.
        side: what the model takes, pixels.
        tta: one of VIEWS.
    """
    return max(whole, round(side * 8 / 7)) if tta == "ten-crop" else whole


def views(images: torch.Tensor, side: int, tta: str) -> list[torch.Tensor]:
    """The views of a batch of images.

    Args:
        images: (n, 1, s, s), with s from `side_to_shrink_to`.
        side: what the model takes, pixels.
        tta: "none", the middle; "flip", it and its mirror image; or "ten-crop", the four corners, the middle and
            their mirror images (Krizhevsky et al. 2012, section 4.1).

    Returns:
        A list of (n, 1, side, side).
    """
    far = images.shape[-1] - side
    corners = [(0, 0), (0, far), (far, 0), (far, far)] if tta == "ten-crop" else []
    crops = [images[..., top : top + side, left : left + side] for top, left in (*corners, (far // 2, far // 2))]
    return crops if tta == "none" else [*crops, *(crop.flip(-1) for crop in crops)]


def middle(count: int) -> int:
    """Which of `count` views of one image is the middle, not mirrored.

    >>> [middle(1), middle(2), middle(10)]
    [0, 0, 4]
    """
    return (count - 1) // 2
