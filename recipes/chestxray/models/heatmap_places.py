"""Where in an image each row and each column of a model's map looks: the middle of its effective receptive field.

A map is usually laid over its image as if each cell saw its own square. Networks of convolutions see it otherwise. A
kernel of 3 with stride 2 stands on the first of two pixels, and five of them move the map by half a cell. Near the edge
a field is cut off, so its middle lies further inside. On a coarse map both are many pixels.
"""

import numpy as np
import torch
from transformers import CLIPImageProcessor

from chestxray.images.reading import read_pixels
from chestxray.models.heatmap_cam import record_activations
from chestxray.models.heatmap_layers import evaluation_mode, without_weight_gradients
from chestxray.models.heatmap_methods import PATH
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.inference import model_input
from chestxray.models.processors import sides
from chestxray.repository import SAMPLE

PASSES = 4  # images whose gradient counts for each row and column
DRAWN = 16  # images of the sample that `measure_on_sample` takes


def measure_places(mapper: Heatmapper, pixels: torch.Tensor) -> tuple[list[float], list[float]]:
    """The places of a map's rows and columns in units of the image's side, 0 to 1, increasing.

    The field of a cell is the squared gradient of its features, in a random mixture of channels, with respect to the
    pixels (Luo et al. 2016, arXiv 1701.04128). Its middle is the mean place. A straight line is fitted to the middles
    of all rows, and another one to those of all columns: the steps of a network are even. Only maps of convolutions
    are measured. Tokens keep the middles of their patches: with attention each of them sees the whole image. Maps
    of integrated gradients are made of pixels, so their cells are where they lie.

    Args:
        pixels: (n, 3, s, s) of real images, normalised, on the model's device. Noise opens other paths of the network.
    """
    height, width = mapper.grid(pixels.shape[-1])
    if mapper.method == PATH or mapper.layers.prefix or not is_convolutional(mapper, pixels[:1]) or height != width:
        return even_places(height), even_places(width)
    middles = torch.stack([measure_middles(mapper, pixels, height, turn) for turn in range(PASSES)]).cpu().numpy()
    rows, columns = (fit_line(part) for part in np.moveaxis(middles, 2, 0))
    return rows, columns


def measure_on_sample(
    mapper: Heatmapper, processor: CLIPImageProcessor, equalize: bool
) -> tuple[list[float], list[float]]:
    """`measure_places` on drawn chests of the sample: the same for each picture that a person shows to a model.

    equalize: whether the model sees histograms equalised.
    """
    paths = sorted((SAMPLE / "images").glob("*.png"))[:DRAWN]
    drawn = np.stack([read_pixels(path, sides(processor)[0], equalize) for path in paths])
    batch = torch.from_numpy(drawn)[:, None].to(next(mapper.model.parameters()).device)
    return measure_places(mapper, model_input(batch, processor, channels_last=False))


def even_places(count: int) -> list[float]:
    """The middles of `count` equal parts."""
    return [(number + 0.5) / count for number in range(count)]


def is_convolutional(mapper: Heatmapper, pixels: torch.Tensor) -> bool:
    """Whether the last map has four dimensions, channels first."""
    with evaluation_mode(mapper.model), torch.no_grad(), record_activations(mapper.model, mapper.layers) as found:
        mapper.model(pixel_values=pixels)
    return found.features.ndim == 4 and not mapper.layers.channels_last


def measure_middles(mapper: Heatmapper, pixels: torch.Tensor, count: int, turn: int) -> torch.Tensor:
    """(count, 2) y and x of the middles of cells on a diagonal, each cell of another image."""
    numbers = torch.arange(count)
    images = pixels[(numbers + turn * count) % len(pixels)].clone().requires_grad_()
    model, rows, columns = mapper.model, numbers, numbers if turn % 2 else numbers.flip(0)
    with evaluation_mode(model), without_weight_gradients(model), torch.enable_grad():
        with record_activations(model, mapper.layers) as found:
            model(pixel_values=images)
        cells = mapper.layers.positions(found.features)[numbers, :, rows, columns]
        mixture = torch.randn(cells.shape, generator=torch.Generator().manual_seed(turn)).to(cells)
        (gradient,) = torch.autograd.grad((cells * mixture).sum(), images)
    middles = mean_place(gradient.double().square().sum(1))
    return torch.stack([middles[:, 0], middles[columns.argsort(), 1]], dim=1)


def mean_place(field: torch.Tensor) -> torch.Tensor:
    """(n, 2) y and x of the mean of fields (n, s, s), which are not below 0."""
    field = field / field.sum((1, 2), keepdim=True)
    places = (torch.arange(field.shape[-1]).to(field) + 0.5) / field.shape[-1]
    return torch.stack([field.sum(2) @ places, field.sum(1) @ places], dim=1)


def fit_line(middles: np.ndarray) -> list[float]:
    """A line through middles (turns, count), as one place for each; even places if it does not rise."""
    numbers, means = np.arange(middles.shape[1]), middles.mean(axis=0)
    step, start = np.polyfit(numbers, means, 1) if len(numbers) > 1 else (1.0, means[0])
    if not (np.isfinite([step, start]).all() and step > 0):
        return even_places(len(numbers))
    return [float(place) for place in np.clip(start + step * numbers, 0, 1)]
