"""Augmentation and normalisation of a whole batch: one warp and one table of 256 greys per image.

Every change of geometry is a 2×3 matrix and every change of greys a table, so that however many are asked for, each
pixel is resampled once and looked up once.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from chestxray.hashed_random import uniforms
from chestxray.images import randaugment


@dataclass
class Drawn:
    """The random choices for n images.

    Attributes:
        matrices: (n, 2, 3) float64, from places in the new image to places in the old one, both -1 to 1 from left to
            right and from top to bottom.
        gain, offset: (n,) float64: grey g in 0 to 1 becomes (g - 1/2) gain + 1/2 + offset.
        randaugment: what `randaugment.choose` gives, or None.
    """

    matrices: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    randaugment: object = None


def draw(index, epoch, seed, settings, shown=1.0):
    """What is done to each image in an epoch, from the image alone: neither batch nor process plays a part.

    Args:
        index: n ints, the `draw` of the images in `batches.Batches`.
        settings: `crop`, `flip`, `rotate`, `scale`, `shift`, `contrast` and `randaugment` of `Settings`.
        shown: share of the old image's side that is seen where nothing is drawn.
    """
    u = uniforms(seed, epoch, index, 11 + randaugment.COUNT)
    symmetric = 2 * u - 1
    mirror = np.where(u[:, 0] < settings.flip, -1.0, 1.0)
    angle = symmetric[:, 1] * math.radians(settings.rotate)
    zoom = 1 + symmetric[:, 2] * settings.scale
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrices = np.zeros((len(u), 2, 3))
    matrices[:, 0] = np.stack([cos * mirror, -sin, symmetric[:, 3] * 2 * settings.shift], 1)
    matrices[:, 1] = np.stack([sin * mirror, cos, symmetric[:, 4] * 2 * settings.shift], 1)
    choices = randaugment.choose(u[:, 11:], settings.randaugment) if settings.randaugment else None
    if choices is not None:
        matrices = chained(matrices, choices.matrices)
    return Drawn(
        chained(windows(u[:, 7:11], settings.crop, shown), matrices),
        1 + symmetric[:, 5] * settings.contrast,
        symmetric[:, 6] * settings.contrast / 2,
        choices,
    )


def windows(u, smallest, shown):
    """The part of the old image that is looked at, as matrices: the middle, or with `smallest` < 1 a random part.

    The random part is that of Szegedy et al. 2015 (section 6): `smallest` to 1 of the area, sides in the ratio 3/4 to
    4/3, anywhere. u: (n, 4).
    """
    across = down = np.full(len(u), shown)
    middle = np.zeros((2, len(u)))
    if smallest < 1:
        area, ratio = smallest + (1 - smallest) * u[:, 0], (4 / 3) ** (2 * u[:, 1] - 1)
        across, down = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
        middle = np.stack([(1 - across) * (2 * u[:, 2] - 1), (1 - down) * (2 * u[:, 3] - 1)])
    nought = np.zeros(len(u))
    rows = [across, nought, middle[0]], [nought, down, middle[1]]
    return np.stack([np.stack(row, 1) for row in rows], 1)


def chained(outer, inner):
    """(n, 2, 3) matrices: first `inner`, then `outer`, on the way from the new image to the old one."""
    linear = outer[:, :, :2] @ inner
    linear[:, :, 2] += outer[:, :, 2]
    return linear


def augment(pixels, drawn, side, mean, std):
    """A batch as the model sees it in training.

    Args:
        pixels: (n, 1, s, s) uint8, on any device.
        drawn: see `draw`.
        side: of the new images, pixels.
        mean, std: of each channel, three floats each, for greys in 0 to 1.

    Returns:
        (n, 3, side, side) float32 on the same device, black where a warp reaches beyond the old image.
    """
    warped = warp(pixels, drawn.matrices, side)
    tables = torch.arange(256, dtype=torch.float64) / 255
    tables = (tables - 0.5) * torch.from_numpy(drawn.gain)[:, None] + 0.5 + torch.from_numpy(drawn.offset)[:, None]
    tables = tables.clamp(0, 1)
    if drawn.randaugment is not None:
        warped = randaugment.sharpen(warped, drawn.randaugment)
        levels = randaugment.tables(warped, drawn.randaugment)
        tables = tables.gather(1, levels.long())
    return looked_up(warped, tables.float(), mean, std)


def normalise(pixels, side, mean, std):
    """The middle of a batch as the model sees it in evaluation: as `augment`, with nothing drawn and no warp."""
    edge = (pixels.shape[-1] - side) // 2
    greys = torch.arange(256, dtype=torch.float64) / 255
    middle = pixels[..., edge : edge + side, edge : edge + side]
    return looked_up(middle, greys.float().expand(len(pixels), 256), mean, std)


def warp(pixels, matrices, side):
    """(n, 1, s, s) uint8 through `matrices` as (n, 1, side, side) uint8, bilinear."""
    return (warp_by_opencv if pixels.device.type == "cpu" else warp_by_torch)(pixels, matrices, side)


def warp_by_opencv(pixels, matrices, side):
    """Image by image, on a CPU several times faster than grid_sample on the batch."""
    source, warped = pixels.numpy(), np.empty((len(pixels), 1, side, side), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for old, new, matrix in zip(source, warped, in_pixels(matrices, pixels.shape[-1], side), strict=True):
        cv2.warpAffine(old[0], matrix, (side, side), dst=new[0], flags=flags, borderValue=0)
    return torch.from_numpy(warped)


def warp_by_torch(pixels, matrices, side):
    theta = torch.from_numpy(matrices).float().to(pixels.device)
    grid = F.affine_grid(theta, (len(pixels), 1, side, side), align_corners=False)
    return F.grid_sample(pixels.float(), grid, align_corners=False).round_().to(torch.uint8)


def in_pixels(matrices, old, new):
    """The same matrices for pixel numbers, whose centres lie at (2 i + 1) / side - 1."""
    linear = matrices[:, :, :2] * old / new
    corner = matrices[:, :, :2].sum(2) * (1 / new - 1) + matrices[:, :, 2]
    return np.concatenate([linear, ((corner + 1) * old - 1)[:, :, None] / 2], 2)


def looked_up(pixels, tables, mean, std):
    """(n, 1, s, s) uint8 through (n, 256) float32 tables, normalised, as (n, 3, s, s) float32.

    One channel is computed where the three are alike, and shown three times without a copy.
    """
    alike = len(set(mean)) == len(set(std)) == 1
    channels = [((tables - m) / s).contiguous() for m, s in list(zip(mean, std, strict=True))[: 1 if alike else 3]]
    look_up = look_up_by_opencv if pixels.device.type == "cpu" else look_up_by_torch
    return look_up(pixels, channels).expand(-1, 3, -1, -1)


def look_up_by_opencv(pixels, channels):
    # NumPy asks the kernel for huge pages, torch.empty does not: a batch of 19 MB is thousands of page faults there
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
