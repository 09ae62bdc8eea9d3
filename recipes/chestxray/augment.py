"""Augmentation of a whole batch, on the device it lies on."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def draw(index, epoch, seed, flip, rotate, scale, shift, contrast):
    """One row of random parameters per image, from its index alone.

    What an image looks like in an epoch depends on neither the batch it is in nor the number of processes.

    Args:
        index: (n,) int tensor, the images.
        flip: probability; rotate: degrees; scale, contrast: shares of 1; shift: share of the side. All symmetric.

    Returns:
        dict of (n,) float32 tensors: flip (1 or -1), angle (radians), zoom, dx, dy (half sides), gain, offset.
    """
    u = np.stack([np.random.default_rng([seed, epoch, i]).random(7) for i in index.tolist()])
    u = torch.from_numpy(u).float().to(index.device)
    symmetric = 2 * u - 1
    return {
        "flip": 1 - 2 * (u[:, 0] < flip).float(),
        "angle": symmetric[:, 1] * math.radians(rotate),
        "zoom": 1 + symmetric[:, 2] * scale,
        "dx": symmetric[:, 3] * 2 * shift,
        "dy": symmetric[:, 4] * 2 * shift,
        "gain": 1 + symmetric[:, 5] * contrast,
        "offset": symmetric[:, 6] * contrast / 2,
    }


def augment(pixels, drawn):
    """pixels: (n, 1, side, side) float in 0 to 1; drawn: see `draw`. Returns the same shape, black where empty."""
    cos, sin = torch.cos(drawn["angle"]) / drawn["zoom"], torch.sin(drawn["angle"]) / drawn["zoom"]
    rows = (
        torch.stack([cos * drawn["flip"], -sin, drawn["dx"]], 1),
        torch.stack([sin * drawn["flip"], cos, drawn["dy"]], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), pixels.shape, align_corners=False)
    moved = F.grid_sample(pixels, grid, align_corners=False)
    gain, offset = (drawn[name].view(-1, 1, 1, 1) for name in ("gain", "offset"))
    return ((moved - 0.5) * gain + 0.5 + offset).clamp(0, 1)
