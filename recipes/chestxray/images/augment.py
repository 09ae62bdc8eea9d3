"""Augmentation and normalisation of a whole batch: one warp and one table of 256 greys per image.

Each change of geometry is a 2×3 matrix and each change of greys is a table. They are combined first, so each pixel is
resampled once and looked up once, also if there are many changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from chestxray.hashed_random import uniforms
from chestxray.images import randaugment


@dataclass(frozen=True)
class Strength:
    """How much images may change; by default nothing. The units are as in `Settings`."""

    crop: float = 1.0
    flip: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    randaugment: float = 0.0


@dataclass
class Changes:
    """The random choices for n images.

    Attributes:
        matrices: (n, 2, 3) float64, from places in the new image to places in the old one. Places are -1 to 1, from
            left to right and from top to bottom.
        gain, offset: (n,) float64: grey g in 0 to 1 becomes (g - 1/2) gain + 1/2 + offset.
        operations: what `randaugment.choose` gives, or None.
    """

    matrices: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    operations: randaugment.Choices | None = None


# Columns of an image's uniform numbers, and what each decides
FLIP, ROTATE, SCALE, ACROSS, DOWN, GAIN, OFFSET = range(7)
CROP = slice(7, 11)
RANDAUGMENT = slice(11, 11 + randaugment.COUNT)


def draw(index: np.ndarray, epoch: int, seed: int, strength: Strength, visible: float = 1.0) -> Changes:
    """The random changes of each image in an epoch. They depend on the image alone, not on its batch or process.

    Args:
        index: (n,) ints, the `draw` of the images in `batches.Batches`.
        visible: share of the old image's side that the model sees when nothing is drawn.
    """
    u = uniforms(seed, epoch, index, RANDAUGMENT.stop)  # (n, count)
    symmetric = 2 * u - 1
    matrices = small_motions(u[:, FLIP], symmetric, strength)
    choices = randaugment.choose(u[:, RANDAUGMENT], strength.randaugment) if strength.randaugment else None
    if choices is not None:
        matrices = compose(matrices, choices.matrices)
    return Changes(
        compose(crop_matrices(u[:, CROP], strength.crop, visible), matrices),
        1 + symmetric[:, GAIN] * strength.contrast,
        symmetric[:, OFFSET] * strength.contrast / 2,
        choices,
    )


def small_motions(flip, symmetric, strength):
    """Mirror image, rotation, scale and shift in one matrix each, (n, 2, 3). symmetric: numbers in -1 to 1."""
    mirror = np.where(flip < strength.flip, -1.0, 1.0)
    angle = symmetric[:, ROTATE] * math.radians(strength.rotate)
    zoom = 1 + symmetric[:, SCALE] * strength.scale
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrices = np.zeros((len(flip), 2, 3))
    matrices[:, 0] = np.stack([cos * mirror, -sin, symmetric[:, ACROSS] * 2 * strength.shift], 1)
    matrices[:, 1] = np.stack([sin * mirror, cos, symmetric[:, DOWN] * 2 * strength.shift], 1)
    return matrices


def crop_matrices(u, smallest, visible):
    """The part of the old image that the model sees, as matrices: the middle, or with `smallest` < 1 a random part.

    The random part is as in Szegedy et al. 2015 (section 6): `smallest` to 1 of the area, sides in the ratio 3/4 to
    4/3, at any place. u: (n, 4).
    """
    across = down = np.full(len(u), visible)
    middle = np.zeros((2, len(u)))
    if smallest < 1:
        area, ratio = smallest + (1 - smallest) * u[:, 0], (4 / 3) ** (2 * u[:, 1] - 1)
        across, down = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
        middle = np.stack([(1 - across) * (2 * u[:, 2] - 1), (1 - down) * (2 * u[:, 3] - 1)])
    nought = np.zeros(len(u))
    rows = [across, nought, middle[0]], [nought, down, middle[1]]
    return np.stack([np.stack(row, 1) for row in rows], 1)


def compose(outer, inner):
    """(n, 2, 3) matrices: first `inner`, then `outer`, on the way from the new image to the old one."""
    linear = outer[:, :, :2] @ inner
    linear[:, :, 2] += outer[:, :, 2]
    return linear


def augment(
    pixels: torch.Tensor, changes: Changes, side: int, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """A batch as the model sees it in training.

    Args:
        pixels: (n, 1, s, s) uint8, on any device.
        side: of the new images, pixels.
        mean, std: of each channel, three floats each, for greys in 0 to 1.

    Returns:
        (n, 3, side, side) float32 on the same device; black outside of the old image.
    """
    warped = warp(pixels, changes.matrices, side)
    gain, offset = (torch.from_numpy(numbers)[:, None] for numbers in (changes.gain, changes.offset))
    greys = torch.arange(256, dtype=torch.float64) / 255
    tables = ((greys - 0.5) * gain + 0.5 + offset).clamp(0, 1)  # (n, 256)
    if changes.operations is not None:
        warped = randaugment.sharpen(warped, changes.operations)
        levels = randaugment.tables(warped, changes.operations)
        tables = tables.gather(1, levels.long())
    return look_up(warped, tables.float(), mean, std)


def normalise(pixels: torch.Tensor, side: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """The middle of a batch as the model sees it in evaluation: as `augment`, but nothing is drawn or warped."""
    edge = (pixels.shape[-1] - side) // 2
    greys = torch.arange(256, dtype=torch.float64) / 255
    middle = pixels[..., edge : edge + side, edge : edge + side]
    return look_up(middle, greys.float().expand(len(pixels), 256), mean, std)


def warp(pixels, matrices, side):
    """(n, 1, s, s) uint8 moved by (n, 2, 3) `matrices`, as (n, 1, side, side) uint8, bilinear."""
    warp_on_device = warp_by_opencv if pixels.device.type == "cpu" else warp_by_torch
    return warp_on_device(pixels, matrices, side)


def warp_by_opencv(pixels, matrices, side):
    """Image by image: on a CPU this is several times faster than grid_sample on the batch."""
    source, warped = pixels.numpy(), np.empty((len(pixels), 1, side, side), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for old, new, matrix in zip(source, warped, in_pixel_units(matrices, pixels.shape[-1], side), strict=True):
        cv2.warpAffine(old[0], matrix, (side, side), dst=new[0], flags=flags, borderValue=0)
    return torch.from_numpy(warped)


def warp_by_torch(pixels, matrices, side):
    theta = torch.from_numpy(matrices).float().to(pixels.device)
    grid = F.affine_grid(theta, (len(pixels), 1, side, side), align_corners=False)
    return F.grid_sample(pixels.float(), grid, align_corners=False).round_().to(torch.uint8)


def in_pixel_units(matrices, old, new):
    """The same matrices for pixel numbers: the centre of pixel i lies at (2 i + 1) / side - 1. old, new: sides."""
    linear = matrices[:, :, :2] * old / new
    corner = matrices[:, :, :2].sum(2) * (1 / new - 1) + matrices[:, :, 2]
    return np.concatenate([linear, ((corner + 1) * old - 1)[:, :, None] / 2], 2)


def look_up(pixels, tables, mean, std):
    """Greys (n, 1, s, s) uint8 through (n, 256) float32 tables, normalised, as (n, 3, s, s) float32.

    If the three channels are alike, one is computed, and the others are the same memory.
    """
    statistics = list(zip(mean, std, strict=True))
    if len(set(statistics)) == 1:
        statistics = statistics[:1]
    channels = [((tables - mean) / std).contiguous() for mean, std in statistics]
    look_up_on_device = look_up_by_opencv if pixels.device.type == "cpu" else look_up_by_torch
    return look_up_on_device(pixels, channels).expand(-1, 3, -1, -1)


def look_up_by_opencv(pixels, channels):
    # NumPy asks the kernel for huge pages, torch.empty does not: a batch of 19 MB would cost thousands of page faults
    target = np.empty((len(pixels), len(channels), *pixels.shape[2:]), np.float32)
    source = pixels.numpy()
    for channel, table in enumerate(channels):
        for old, new, greys in zip(source[:, 0], target[:, channel], table.numpy(), strict=True):
            cv2.LUT(old, greys, dst=new)
    return torch.from_numpy(target)


def look_up_by_torch(pixels, channels):
    offsets = 256 * torch.arange(len(pixels), dtype=torch.int32, device=pixels.device)
    places = (pixels[:, 0].int() + offsets[:, None, None]).view(-1)
    images = [table.to(pixels.device).view(-1).index_select(0, places) for table in channels]
    return torch.stack([image.view(pixels[:, 0].shape) for image in images], 1)
