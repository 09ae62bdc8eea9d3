"""RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719) of grey images, a batch at a time.

The operations and strengths are as in timm's `rand-mM-mstd0.5-inc1` (timm/data/auto_augment.py, 1.0.31): two
operations, each with probability 1/2, magnitude M ± 0.5 of 10. On grey pixels each operation, except Sharpness, is a
2×3 matrix or a table of 256 greys. There are three differences from timm: matrices come first, then Sharpness, then
tables; the border is black, not the mean grey; Color does nothing to grey.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from chestxray.hashed_random import normals

OPERATIONS = (
    *("AutoContrast", "Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Contrast", "Brightness"),
    *("Sharpness", "Color", "Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"),
)
LAYERS, PROBABILITY, SPREAD, MOST = 2, 0.5, 0.5, 10
COUNT = 5 * LAYERS  # random numbers per image that decide its operations
NOTHING = -1
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}


@dataclass
class Choices:
    """The operations for n images.

    Attributes:
        operations: (n, 2) int positions in OPERATIONS, or -1 for none.
        strengths: (n, 2) float64 in -1 to 1, with a random sign.
        matrices: (n, 2, 3) float64, what the operations that move pixels do together; see `augment.Changes`.
    """

    operations: np.ndarray
    strengths: np.ndarray
    matrices: np.ndarray


# Operations that move pixels along an axis: (row, column) of the matrix's entry, and what a strength of 1 makes of it
SHEARS_AND_SHIFTS = {
    "ShearX": ((0, 1), 0.3),
    "ShearY": ((1, 0), 0.3),
    "TranslateX": ((0, 2), 2 * 0.45),  # a share of the side, which is 2 long here
    "TranslateY": ((1, 2), 2 * 0.45),
}


def choose(uniforms: np.ndarray, magnitude: float) -> Choices:
    """Random operations for n images. uniforms: (n, COUNT) numbers in [0, 1) that nothing else uses."""
    u = uniforms.reshape(-1, 5, LAYERS)
    operations = np.where(u[:, 0] < PROBABILITY, (u[:, 1] * len(OPERATIONS)).astype(int), NOTHING)
    strengths = np.clip(magnitude + SPREAD * normals(u[:, 2], u[:, 3]), 0, MOST) / MOST
    strengths *= np.where(u[:, 4] < 0.5, -1, 1)
    return Choices(operations, strengths, motions(operations, strengths))


def motions(operations, strengths):
    """What the operations of each image do to its geometry, (n, 2, 3): the second layer's first, then the first's."""
    matrices = np.zeros((len(operations), LAYERS, 2, 3))
    matrices[:, :, 0, 0] = matrices[:, :, 1, 1] = 1
    for name, ((row, column), amount) in SHEARS_AND_SHIFTS.items():
        chosen = operations == NUMBER[name]
        matrices[chosen, row, column] = strengths[chosen] * amount
    chosen = operations == NUMBER["Rotate"]
    angle = strengths[chosen] * np.pi / 6
    rotations = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1)
    matrices[chosen, :, :2] = rotations.reshape(-1, 2, 2)
    first, second = matrices[:, 0], matrices[:, 1]
    both = first[:, :, :2] @ second
    both[:, :, 2] += first[:, :, 2]
    return both


def enhancement(strengths):
    """The factor of Contrast, Brightness and Sharpness: 1 is the image itself."""
    return np.maximum(0.1, 1 + 0.9 * strengths)


def sharpen(pixels: torch.Tensor, choices: Choices) -> torch.Tensor:
    """(n, 1, s, s) uint8. Images with Sharpness move away from Pillow's SMOOTH filter of them, or towards it."""
    for layer in range(LAYERS):
        rows = np.flatnonzero(choices.operations[:, layer] == NUMBER["Sharpness"])
        if not len(rows):
            continue
        kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=pixels.device).view(1, 1, 3, 3) / 13
        images = pixels[rows].float()
        smooth = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel)
        factor = torch.from_numpy(enhancement(choices.strengths[rows, layer])).to(images).view(-1, 1, 1, 1)
        sharp = torch.lerp(smooth, images, factor).round_().clamp_(0, 255)
        pixels = pixels.index_copy(0, torch.from_numpy(rows).to(pixels.device), sharp.to(torch.uint8))
    return pixels


def tables(pixels: torch.Tensor, choices: Choices) -> torch.Tensor:
    """The new grey, 0 to 255, of each old one: (n, 256) float64 on the CPU. pixels: (n, 1, s, s) uint8."""
    greys = torch.arange(256, dtype=torch.float64).repeat(len(pixels), 1)
    counted = np.isin(choices.operations, [NUMBER[name] for name in ("AutoContrast", "Equalize", "Contrast")])
    present = torch.from_numpy(np.flatnonzero(counted.any(1)))
    counts = torch.zeros((len(pixels), 256), dtype=torch.float64)
    if len(present):
        counts[present] = histograms(pixels[present.to(pixels.device)]).double().cpu()
    for layer in range(LAYERS):
        for name, change in CHANGES.items():
            rows = np.flatnonzero(choices.operations[:, layer] == NUMBER[name])
            if len(rows):
                strength = torch.from_numpy(choices.strengths[rows, layer])[:, None]
                greys[rows] = change(greys[rows], counts[rows], strength).round().clamp(0, 255)
    return greys


def histograms(pixels):
    """(n, 1, s, s) uint8 as (n, 256) int counts."""
    n = len(pixels)
    places = pixels.flatten(1).long() + 256 * torch.arange(n, device=pixels.device)[:, None]
    return torch.bincount(places.view(-1), minlength=256 * n).view(n, 256)


# The changes of greys. Each takes, for n images,
#     greys: (n, 256) float64, what each original grey has become so far;
#     counts: (n, 256) float64, how many pixels have each original grey;
#     strength: (n, 1) float64.
# and returns the new greys, (n, 256) float64.


def autocontrast(greys, counts, strength):
    low, high = extremes(greys, counts)
    scale = 255 / (high - low).clamp(min=1)
    return torch.where(high > low, (greys * scale - low * scale).floor(), greys)  # Pillow cuts off only here


def extremes(greys, counts):
    seen = counts > 0
    low = torch.where(seen, greys, 255.0).amin(1, keepdim=True)
    return low, torch.where(seen, greys, 0.0).amax(1, keepdim=True)


def equalize(greys, counts, strength):
    """As Pillow's ImageOps.equalize: the step is computed without the brightest grey."""
    became = torch.zeros_like(counts).scatter_add_(1, greys.long(), counts)
    last = torch.where(became > 0, torch.arange(256), 0).amax(1, keepdim=True)
    step = ((became.sum(1, keepdim=True) - became.gather(1, last)) / 255).floor()
    table = (((step / 2).floor() + became.cumsum(1) - became) / step.clamp(min=1)).floor().clamp(0, 255)
    return torch.where(step > 0, table.gather(1, greys.long()), greys)


def contrast(greys, counts, strength):
    mean = ((greys * counts).sum(1, keepdim=True) / counts.sum(1, keepdim=True)).round()
    return mean + (greys - mean) * factor(strength)


def factor(strength):
    return torch.from_numpy(enhancement(strength.numpy()))


CHANGES = {
    "AutoContrast": autocontrast,
    "Equalize": equalize,
    "Invert": lambda greys, counts, strength: 255 - greys,
    # 4 bits are kept at strength 0 and none at 1
    "Posterize": lambda greys, counts, strength: greys - greys % (16 * 2 ** (4 * strength.abs()).floor()),
    "Solarize": lambda greys, counts, strength: torch.where(
        greys < 256 - (256 * strength.abs()).floor(), greys, 255 - greys
    ),
    "SolarizeAdd": lambda greys, counts, strength: torch.where(
        greys < 128, (greys + (110 * strength.abs()).floor()).clamp(max=255), greys
    ),
    "Contrast": contrast,
    "Brightness": lambda greys, counts, strength: greys * factor(strength),
}
