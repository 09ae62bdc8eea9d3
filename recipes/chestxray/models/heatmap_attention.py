"""Attention weighted by its gradient: from which patches the tokens that a ViT's logits read got what counts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from chestxray.models.classifiers import image_config
from chestxray.models.heatmap_layers import (
    Layers,
    evaluation_mode,
    random_image,
    temporary_hooks,
    without_weight_gradients,
)

Run = Callable[[torch.Tensor], tuple[torch.Tensor, list[torch.Tensor]]]


def attention_maps(
    model: PreTrainedModel, layers: Layers, pixels: torch.Tensor, rollout: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (n, k), maps (n, k, h, w)), none of the maps below 0: one forward pass and k backward passes.

    The rule is that of Chefer, Gur and Wolf 2021 (arXiv 2103.15679, equations 5 and 6): a layer's relevance is the mean
    over heads of its attention times the gradient of the logit, where that is positive. The rows of the class token
    count, or those of all patches if the logits read no prefix token.

    Args:
        pixels: (n, 3, s, s), normalised.
        rollout: follow the relevance through all layers, with the skip connections; or else only the last layer's.

    Memory: attention of all layers and its gradient, heads × tokens² × 8 bytes per image and layer. That is 45 MB for
    a ViT-B at 224 pixels with patches of 16.
    """
    with eager_attention(model) as run, without_weight_gradients(model):
        logits, attentions = run(pixels.detach().clone().requires_grad_())
        attentions = attentions if rollout else attentions[-1:]
        maps = [follow(column, attentions, layers) for column in logits.unbind(1)]
    return logits.detach(), torch.stack(maps, 1)


def follow(logit, attentions, layers):
    """(n, h, w): the relevance of each patch for one logit (n,) of each image."""
    gradients = torch.autograd.grad(logit.sum(), attentions, retain_graph=True)
    start = read_tokens(layers, attentions[-1])
    found = torch.zeros_like(start)  # kept apart from the tokens themselves, beside which it may be tiny
    for attention, gradient in zip(reversed(attentions), reversed(gradients), strict=True):
        step = (attention.detach() * gradient).clamp_(min=0).mean(1)  # (n, tokens, tokens)
        found = found + (start + found) @ step
    return layers.positions(found.transpose(1, 2))[:, 0]


def read_tokens(layers, attention):
    """(n, 1, tokens): how much of each token the logits read at the end; the sum is 1."""
    tokens = attention.shape[-1]
    read = list(layers.readout) or list(range(layers.prefix, tokens))
    row = attention.new_zeros(len(attention), 1, tokens)
    row[:, :, read] = 1 / len(read)
    return row


def has_attention(model: PreTrainedModel, layers: Layers) -> bool:
    """Whether all layers of attention are between all tokens of a model's last map. It runs one random image."""
    maps = []
    handle = model.get_submodule(layers.features).register_forward_hook(
        lambda module, args, output: maps.append(output)
    )
    with evaluation_mode(model), temporary_hooks(handle), eager_attention(model) as run, torch.no_grad():
        _, attentions = run(random_image(model).detach())
    tokens = maps[-1].shape[1] if maps[-1].ndim == 3 else None
    return bool(attentions) and all(found.shape[::2] == (1, tokens) for found in attentions)


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[Run]:
    """Within, attention is computed step by step; gives a function from pixels to (logits, attentions of the layers).

    Each attention is (n, heads, tokens, tokens). Fused attention, which is faster, does not have them.
    """
    found: list[torch.Tensor] = []

    def run(pixels):
        found.clear()
        return model(pixel_values=pixels).logits, list(found)

    switch = without_fusion if hasattr(model, "timm_model") else with_eager_functions
    with temporary_hooks(*keep_attentions(model, found)), switch(model):
        yield run


def keep_attentions(model: PreTrainedModel, found: list[torch.Tensor]) -> list[torch.utils.hooks.RemovableHandle]:
    """Hooks that put each layer's attention into the list.

    timm passes it through a dropout called `attn_drop`; Transformers' layers give it behind their output.
    """

    def keep(module, args, output):
        attention = output[1] if isinstance(output, tuple) and len(output) > 1 else output
        square = (
            isinstance(attention, torch.Tensor) and attention.ndim == 4 and attention.shape[2] == attention.shape[3]
        )
        if square and not any(attention is other for other in found):
            found.append(attention)

    if hasattr(model, "timm_model"):
        layers: Any = [module.attn_drop for module in model.modules() if hasattr(module, "attn_drop")]
    else:
        layers = [module for module in model.modules() if "attention" in type(module).__name__.lower()]
    return [layer.register_forward_hook(keep) for layer in layers]


@contextmanager
def without_fusion(model):
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    try:
        for module in fused:
            module.fused_attn = False
        yield
    finally:
        for module in fused:
            module.fused_attn = True


@contextmanager
def with_eager_functions(model):
    tower = image_config(model.config)
    before = tower._attn_implementation

    def choose(function):
        both = {"": function, "vision_config": function}
        model.set_attn_implementation(function if tower is model.config else both)

    try:
        choose("eager")
        yield
    finally:
        choose(before)
