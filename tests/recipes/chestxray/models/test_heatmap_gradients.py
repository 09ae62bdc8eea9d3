"""Grad-CAM is what the grad-cam package computes, and where that does not fit, what finite differences say."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from chestxray.models.heatmaps import Heatmapper
from heatmap_models import FINDINGS, SIDE, TOKEN, images, logits_of, make_model


class LogitsOnly(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).logits


def package_maps(kind, model, layer, pixels):
    """Maps (n, k, h, w) of the grad-cam package, before it clips and scales them."""
    maps = []
    with kind(LogitsOnly(model), [model.get_submodule(layer)]) as cam:
        for finding in range(len(FINDINGS)):
            targets = [ClassifierOutputTarget(finding)] * len(pixels)
            cam(pixels, targets)
            hooked = cam.activations_and_grads
            seen = hooked.activations[0].numpy(), hooked.gradients[0].numpy()
            maps.append(cam.get_cam_image(pixels, None, targets, *seen))
    return torch.from_numpy(np.stack(maps, 1))


@pytest.mark.parametrize("family", ["resnet", "convnext", "timm-efficientnet", "timm-mobilenetv3"])
def test_grad_cam_is_that_of_the_package_before_its_scaling(family, tmp_path):
    model, pixels = make_model(family, tmp_path), images()
    mapper = Heatmapper(model, "grad-cam")
    _, maps = mapper.compute(pixels)
    wanted = package_maps(GradCAM, model, mapper.layers.gradients, pixels)
    assert maps.min() < 0 < maps.max(), "signed"
    torch.testing.assert_close(maps, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def test_grad_cam_plus_plus_is_that_of_the_package_where_its_epsilon_is_small(tmp_path):
    model, pixels = make_model("resnet", tmp_path), images()
    with torch.no_grad():
        model.classifier[1].weight.mul_(1e6)
    mapper = Heatmapper(model, "grad-cam++")
    _, maps = mapper.compute(pixels)
    wanted = package_maps(GradCAMPlusPlus, model, mapper.layers.gradients, pixels)
    torch.testing.assert_close(maps, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def test_grad_cam_plus_plus_does_not_depend_on_the_unit_of_small_gradients(tmp_path):
    model, pixels = make_model("resnet", tmp_path), images()
    found = []
    for factor in (1e-4, 1e-4):
        with torch.no_grad():
            model.classifier[1].weight.mul_(factor)
        found.append(Heatmapper(model, "grad-cam++").compute(pixels)[1])
    torch.testing.assert_close(found[0] * 1e-4, found[1], rtol=1e-3, atol=1e-9 * found[0].max().item())


@pytest.mark.parametrize("family", ["resnet", "swin", "timm-dinov3"])
def test_grad_cam_after_a_mean_is_the_activation_map_but_for_the_bias(family, tmp_path):
    model, pixels = make_model(family, tmp_path), images()
    _, exact = Heatmapper(model, "cam").compute(pixels)
    _, maps = Heatmapper(model, "grad-cam").compute(pixels)
    difference = exact - maps * exact[0, 0].numel()
    torch.testing.assert_close(difference, difference[:, :, :1, :1].expand_as(exact), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", [*TOKEN, "timm-vit-map"])
def test_the_weights_of_channels_are_the_slopes_of_the_logits_at_another_side(family, tmp_path):
    """Each channel of the layer is raised and lowered at all patches; only there, not at class and register tokens."""
    side = SIDE + 32
    model, pixels = make_model(family, tmp_path, side).double(), images(1, side).double()
    mapper = Heatmapper(model, "grad-cam")
    layer, prefix = model.get_submodule(mapper.layers.gradients), mapper.layers.prefix
    step, output = 1e-5, []

    def logits_if(change):
        def hook(module, args, given):
            output[:] = [given]
            return torch.cat([given[:, :prefix], given[:, prefix:] + change], 1)

        handle = layer.register_forward_hook(hook)
        logits = logits_of(model, pixels)[0]
        handle.remove()
        return logits

    logits_if(0)
    units = torch.eye(output[0].shape[2], dtype=torch.float64) * step
    slopes = torch.stack([(logits_if(unit) - logits_if(-unit)) / (2 * step) for unit in units], 1)  # (k, c)
    activations = mapper.layers.positions(output[0])[0]
    wanted = torch.einsum("kc,chw->khw", slopes, activations) / activations[0].numel()
    _, maps = mapper.compute(pixels)
    assert maps.shape[2:] == (12, 12)
    torch.testing.assert_close(maps[0], wanted.float(), rtol=1e-3, atol=1e-4 * wanted.abs().max().item())
