"""Class activation maps of a forward pass that somebody else makes, with gradients, as a loss on them needs."""

import pytest
import torch

from chestxray.models.heatmap_cam import activation_maps, record_activations
from chestxray.models.heatmap_layers import find_layers
from chestxray.models.heatmaps import Heatmapper
from heatmap_models import images, logits_of, make_model


@pytest.mark.parametrize("family", ["resnet", "convnextv2", "timm-convnext", "timm-vit-avg", "dinov2"])
def test_a_map_is_the_sum_of_what_the_head_sees_at_a_position(family, tmp_path):
    """The same features at all positions, those of one position, give its part of the logit if no norm is between."""
    model, pixels = make_model(family, tmp_path), images(1)
    mapper = Heatmapper(model, "cam")
    layers, (_, maps) = mapper.layers, mapper.compute(pixels)
    row, column, seen = 2 % maps.shape[2], 1, []

    def spread(module, args, output):
        """Replace the other positions by this one, at the standard deviation of the whole if a norm follows."""
        seen.append(output)
        changed = output.clone()
        here = layers.positions(output)[:, :, row, column]
        target = layers.positions(changed)
        target[:] = here[:, :, None, None]
        return changed

    handle = model.get_submodule(layers.features).register_forward_hook(spread)
    spread_logits = logits_of(model, pixels)
    handle.remove()
    if layers.norm is None:
        torch.testing.assert_close(maps[:, :, row, column], spread_logits, rtol=1e-4, atol=1e-5)
        return
    norm = model.get_submodule(layers.norm)
    head = model.get_submodule(layers.head)
    bias = head(norm.bias if norm.bias is not None else torch.zeros(head.in_features))
    features = layers.positions(seen[0])
    ratio = deviation(features[:, :, row, column], norm.eps) / deviation(features.mean((2, 3)), norm.eps)
    torch.testing.assert_close(
        maps[:, :, row, column] - bias, (spread_logits - bias) * ratio[:, None], rtol=1e-3, atol=1e-4
    )


def deviation(vector, epsilon):
    return (vector.var(1, correction=0) + epsilon).sqrt()


@pytest.mark.parametrize("family", ["timm-efficientnet", "convnextv2", "dinov2"])
def test_a_loss_on_the_maps_reaches_the_weights(family, tmp_path):
    model, pixels = make_model(family, tmp_path), images()
    layers = find_layers(model)
    with record_activations(model, layers) as found:
        logits = model(pixel_values=pixels).logits
    maps = activation_maps(model, layers, found)
    torch.testing.assert_close(maps.mean((2, 3)), logits, rtol=1e-4, atol=1e-5)
    maps[:, :, 0, 0].sum().backward()
    first, head = next(model.parameters()), model.get_submodule(layers.head).weight
    assert first.grad.abs().max() > 0 and head.grad.abs().max() > 0
