"""Grad-CAM and Grad-CAM++: the channels of a layer, weighted by the gradient of a logit. For any spatial map."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from chestxray.models.heatmap_layers import Layers, first_of, temporary_hooks

Weigh = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def gradient_maps(
    model: PreTrainedModel, layers: Layers, pixels: torch.Tensor, weigh: Weigh
) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (n, k), maps (n, k, h, w)): one forward pass, and k backward passes down to `layers.gradients`.

    Args:
        pixels: (n, 3, s, s), normalised.
        weigh: `mean_gradient` or `plus_plus`; from the layer's output and its gradient, both (n, c, h, w), to the
            weights of the channels (n, c).
    """
    logits, output = forward_from(model, layers.gradients, pixels)
    activations, maps = layers.positions(output.detach()), []
    for column in logits.unbind(1):
        (gradient,) = torch.autograd.grad(column.sum(), output, retain_graph=True)
        weights = weigh(activations, layers.positions(gradient))
        maps.append(torch.einsum("nc,nchw->nhw", weights, activations))
    return logits.detach(), torch.stack(maps, 1)


def forward_from(model, name, pixels):
    """(logits, output of the layer). The graph begins at the layer: what comes before it costs no memory."""
    found = []

    def begin(module, args, output):
        torch.set_grad_enabled(True)  # until the end of `no_grad` below
        found.append(first_of(output).detach().requires_grad_())
        return (found[-1], *output[1:]) if isinstance(output, tuple) else found[-1]

    with temporary_hooks(model.get_submodule(name).register_forward_hook(begin)), torch.no_grad():
        logits = model(pixel_values=pixels).logits
    return logits, found[-1]


def mean_gradient(activations: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Grad-CAM's weights (n, c): the mean of the gradient over positions (Selvaraju et al. 2017, arXiv 1610.02391)."""
    return gradient.mean((2, 3))


def plus_plus(activations: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Grad-CAM++'s weights (n, c) (Chattopadhay et al. 2018, arXiv 1710.11063, equations 10 and 19).

    g²/(2 g² + S g³), with S the sum of the channel's activations, is 1/(2 + S g). So a small gradient needs no epsilon,
    which would outweigh it. The paper's activations are not negative; for others S sums their magnitudes.
    """
    total = activations.abs().sum((2, 3), keepdim=True)
    positive = gradient.clamp(min=0)
    return (positive / (2 + total * positive)).sum((2, 3))
