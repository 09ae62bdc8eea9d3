"""Integrated gradients: what sets an image apart from the mean image, pixel by pixel, in units of the logit.

Radiographs of the chest lie nearly on top of each other. So the mean of many is a chest with little of any finding, and
the way from it to an image is a fair question to the model: which of these changes raised the logit? A class activation
map has the cells of the last layer, often 7 × 7. This map is as fine as the image, so it can show a small nodule.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from transformers import PreTrainedModel

from chestxray.models.heatmap_layers import Layers, without_weight_gradients

STEPS = 2  # places on the way where gradients are taken. Four and more did no better on drawn chests
GRID = 32  # cells per side of a map, at most
BLUR = 1 / 24  # of the side: the smoothing's standard deviation. Single pixels are noise (Smilkov et al. 2017)


def path_maps(
    model: PreTrainedModel, layers: Layers, pixels: torch.Tensor, start: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (n, k), maps (n, k, g, g)); g is `path_grid` of the side.

    The difference to `start` times the mean gradient on the straight line between them (Sundararajan et al. 2017, arXiv
    1703.01365, equation 1), summed over the channels, smoothed, and averaged in cells. The mean of a map is the logit
    less that of `start`, up to the error of taking the gradient at STEPS places (the midpoint rule).

    Args:
        pixels: (n, 3, s, s), normalised.
        start: (1, 3, s, s), where the line begins. None is one grey, the mean of the normalisation.
    """
    begin = torch.zeros_like(pixels[:1]) if start is None else start.to(pixels)
    difference = pixels - begin
    with torch.no_grad():
        logits = model(pixel_values=pixels).logits
    places = [begin + (step + 0.5) / STEPS * difference for step in range(STEPS)]
    evidence = torch.stack([evidence_at(model, place, difference) for place in places]).mean(0)
    rows = torch.from_numpy(smoothing(pixels.shape[-1])).to(evidence)
    return logits, rows @ evidence @ rows.T * len(rows) ** 2


def evidence_at(model: PreTrainedModel, pixels: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """(n, k, s, s) float32: the gradient of each logit at `pixels`, times the difference, summed over the channels."""
    images = pixels.detach().requires_grad_()
    with without_weight_gradients(model), torch.enable_grad():
        logits = model(pixel_values=images).logits
    found = []
    for column in logits.unbind(1):
        (gradient,) = torch.autograd.grad(column.sum(), images, retain_graph=True)
        found.append((gradient.float() * difference).sum(1))
    return torch.stack(found, 1)


def path_grid(side: int) -> tuple[int, int]:
    """(height, width) of the maps of images of this side in pixels."""
    return min(GRID, side), min(GRID, side)


def smoothing(side: int) -> np.ndarray:
    """(g, side) float32: sums of a smoothed row of pixels in g equal cells. Each pixel counts for 1 in all."""
    count, _ = path_grid(side)
    edges = np.arange(count + 1) * side / count
    below = np.clip(edges[:, None] - np.arange(side), 0, 1)  # how much of each pixel lies before an edge
    smooth = gaussian_filter1d(np.eye(side), BLUR * side, axis=0, mode="reflect")  # no evidence leaves at the edge
    return (np.diff(below, axis=0) @ smooth).astype(np.float32)
