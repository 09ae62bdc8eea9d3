"""Integrated gradients: the evidence adds up to the logit, and lies where the image differs from the first one."""

from types import SimpleNamespace

import pytest
import torch

from chestxray.models.heatmap_path import path_grid, path_maps
from chestxray.models.heatmaps import Heatmapper
from heatmap_models import FINDINGS, SIDE, images, make_model


class Quadratic(torch.nn.Module):
    """Logits whose gradient is known: the squares of weighted sums of the pixels."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(weights)

    def forward(self, pixel_values):
        return SimpleNamespace(logits=torch.einsum("nchw,kchw->nk", pixel_values, self.weights) ** 2)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [20, 45, 80])
def test_the_mean_of_a_map_is_the_logit_less_that_of_the_first_image(side):
    model = Quadratic(random(3, 3, side, side) / side)
    pixels, start = random(2, 3, side, side, seed=1), random(1, 3, side, side, seed=2)
    logits, maps = path_maps(model, None, pixels, start)
    assert maps.shape == (2, 3, *path_grid(side)) and path_grid(20) == (20, 20) and path_grid(45) == (32, 32)
    wanted = model(pixels).logits - model(start).logits
    torch.testing.assert_close(logits, model(pixels).logits)
    torch.testing.assert_close(maps.mean((2, 3)), wanted, rtol=1e-4, atol=1e-4)
    assert model.weights.requires_grad and model.weights.grad is None


@pytest.mark.parametrize("family", ["resnet", "convnext", "vit", "swin", "timm-efficientnet"])
def test_evidence_is_where_the_image_differs_from_the_first_one(family, tmp_path):
    start = images(1)
    mapper = Heatmapper(make_model(family, tmp_path), "integrated-gradients", start=start)
    assert mapper.compute(start)[1].abs().max() == 0, "nothing differs"
    for row, column in [(0, 24), (24, 0), (12, 12)]:  # in cells of 2 pixels
        changed = start.clone()
        changed[:, :, 2 * row : 2 * row + 8, 2 * column : 2 * column + 8] += 1
        _, maps = mapper.compute(changed)
        weight = maps.abs().sum((0, 1))
        inside = weight[max(0, row - 3) : row + 7, max(0, column - 3) : column + 7].sum() / weight.sum()
        assert inside > 0.9, (row, column, inside)


def test_mirror_images_begin_at_the_mirror_image(tmp_path):
    even = random(3, 3, SIDE, SIDE) / SIDE
    model = Quadratic(even + even.flip(-1))  # it gives a mirror image the same logits
    pixels, start = images(), random(1, 3, SIDE, SIDE, seed=3)
    mapper = Heatmapper(make_model("resnet", tmp_path), "integrated-gradients", start=start)
    mapper.model = model
    _, maps = mapper.compute(pixels)
    torch.testing.assert_close(mapper.compute(pixels.flip(-1), mirrored=True)[1].flip(-1), maps, rtol=1e-3, atol=1e-3)
    assert (mapper.compute(pixels.flip(-1))[1].flip(-1) - maps).abs().max() > 0.01 * maps.abs().max()


def test_without_a_first_image_it_is_grey(tmp_path):
    model, pixels = make_model("resnet", tmp_path), images()
    _, maps = Heatmapper(model, "integrated-gradients").compute(pixels)
    grey = torch.zeros_like(pixels[:1])
    assert torch.equal(maps, Heatmapper(model, "integrated-gradients", start=grey).compute(pixels)[1])
    assert maps.shape[1] == len(FINDINGS)
