"""A classifier taken apart in front of its head: a body that gives features, and one linear layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from chestxray.models.adapting import head_weights
from chestxray.models.peak_pooling import PeakHead


def head_name(model: PreTrainedModel) -> str:
    """The name of the linear layer that a classifier ends with.

    Raises:
        ValueError: the classifier has several such layers, or a layer of another kind.
    """
    names = {name.rpartition(".")[0] for name in head_weights(model.config)}
    if len(names) != 1 or not isinstance(model.get_submodule(*names), torch.nn.Linear):
        raise refusal(model)
    return names.pop()


@contextmanager
def without_head(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Within, the `logits` of a classifier are what its head (of this name) gets: its features, however pooled."""
    head = model.get_submodule(name)
    model.set_submodule(name, torch.nn.Identity())
    try:
        yield
    finally:
        model.set_submodule(name, head)


@torch.no_grad()
def check_head(model: PreTrainedModel, name: str, side: int, takes_map: bool = False) -> None:
    """Check on one random image that the logits are the head's of (1, width) features. The model is left in eval mode.

    The small weights of a new head may hide a difference. So another head stands in for it.

    Args:
        takes_map: whether the head may be a `PeakHead`, which gets (1, width, h, w).

    Raises:
        ValueError: something else comes after the head, or the head sees more than one vector.
    """
    model.eval()
    own: Any = model.get_submodule(name)
    with torch.random.fork_rng():
        other = type(own)(own.in_features, own.out_features).to(own.weight)
        image = torch.randn(1, 3, side, side).to(own.weight)
    try:
        model.set_submodule(name, other)
        logits = model(pixel_values=image).logits
    finally:
        model.set_submodule(name, own)
    with without_head(model, name):
        features = model(pixel_values=image).logits
    takes_one = features.shape == (1, own.in_features) or takes_map and isinstance(own, PeakHead)
    if not takes_one or not torch.allclose(other(features), logits, rtol=1e-3, atol=1e-3):
        raise refusal(model)


def refusal(model):
    if any(isinstance(layer, PeakHead) for layer in model.modules()):
        return ValueError("freeze keeps one vector per image, and pooling lse reads a map: give --pooling avg as well")
    kind = type(getattr(model, "timm_model", model)).__name__
    return ValueError(f"freeze needs a model that ends with one linear layer, and {kind} does not: leave out --freeze")
