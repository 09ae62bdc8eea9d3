"""The class activation map (Zhou et al. 2016, arXiv 1512.04150): a logit position by position, without a gradient."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from chestxray.models.heatmap_layers import Layers, first_of, temporary_hooks


@dataclass
class Activations:
    """What the last forward pass left: the output of `Layers.features`, and what `Layers.norm` got."""

    features: Any = None
    pooled: Any = None


@contextmanager
def record_activations(model: PreTrainedModel, layers: Layers) -> Iterator[Activations]:
    """Within, each forward pass of the model leaves its activations, from which `activation_maps` computes the maps.

    The forward pass is the plain one. With gradients it can be a part of a loss.
    """
    found = Activations()

    def keep_features(module, args, output):
        found.features = first_of(output)

    def keep_pooled(module, args):
        found.pooled = args[0]

    handles = [model.get_submodule(layers.features).register_forward_hook(keep_features)]
    if layers.norm:
        handles.append(model.get_submodule(layers.norm).register_forward_pre_hook(keep_pooled))
    with temporary_hooks(*handles):
        yield found


def activation_maps(model: PreTrainedModel, layers: Layers, found: Activations) -> torch.Tensor:
    """The maps (n, k, h, w) float32 of the last forward pass. The mean of a map over its positions is the logit.

    - After a mean over positions the head is linear, so each position gets its weighted features and the bias.
    - A `PeakHead` says the same at each position. There the log-mean-exp of a map is the logit.
    - A LayerNorm between them is linear too if its standard deviation stays that of the image's mean vector
      (Ali et al. 2022, arXiv 2202.07304, section 4, hold it in the same way).
    - If the head reads the class token beside the mean, the token's part is the same at all positions.
    """
    head: Any = model.get_submodule(layers.head or "")
    weight, features = head.weight.float(), layers.positions(found.features).float()
    weight, constant = weight[:, -features.shape[1] :], 0 if head.bias is None else head.bias.float()
    scale = 1
    if layers.readout:
        token = found.features[:, 0].float()
        constant = constant + token @ head.weight[:, : token.shape[1]].float().T
    if layers.norm:
        norm: Any = model.get_submodule(layers.norm)
        weight, constant = weight_before_norm(norm, weight, constant)
        pooled = found.pooled.flatten(1).float()
        scale = (pooled.var(1, correction=0) + norm.eps).rsqrt()[:, None, None, None]
    maps = torch.einsum("kc,nchw->nkhw", weight, features) * scale
    return maps + torch.as_tensor(constant).expand(maps.shape[:2])[:, :, None, None]


def weight_before_norm(norm, weight, constant):
    """A head's (weight, constant) for what a LayerNorm gets, in units of its standard deviation."""
    if norm.bias is not None:
        constant = constant + weight @ norm.bias.float()
    if norm.weight is not None:
        weight = weight * norm.weight.float()
    return weight - weight.mean(1, keepdim=True), constant  # the norm takes away the mean over channels
