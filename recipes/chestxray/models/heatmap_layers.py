"""Where a classifier has its last map of the image, and how its logits come from it: read off one forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from chestxray.models.classifiers import image_config, own_side
from chestxray.models.peak_pooling import PeakHead

CLOSE = 1e-4  # of the largest number: how far a mean may be from the one that the model computes (float32)


@dataclass(frozen=True)
class Layers:
    """The layers of a classifier that heatmaps need, by their names in `model.named_modules()`.

    features: its output is the last map: (n, c, h, w), (n, h, w, c) if `channels_last`, or (n, tokens, c).
    gradients: the last layer whose positions reach the logits. It is before `features` if these read a class token.
    prefix: tokens before the patches: class, distillation and register tokens.
    channels_last: whether a map of four dimensions has its channels at the end.
    readout: the prefix tokens of `features` that the logits read.
    head: the linear layer whose output is the logits, or None.
    norm: the LayerNorm right before the head, if it gets one vector per image, or None.
    exact: whether the logits come from the head at each position: this vector is the mean over the positions of
        `features`, behind the class token if it is read too, or the head is a `PeakHead`.
    """

    features: str
    gradients: str
    prefix: int
    channels_last: bool
    readout: tuple[int, ...]
    head: str | None
    norm: str | None
    exact: bool

    def positions(self, output: torch.Tensor) -> torch.Tensor:
        """What a layer says of each position, (n, c, h, w): its output without the prefix."""
        return take_positions(output, self.prefix, self.channels_last)


class Call(NamedTuple):
    """What a module got and gave in a forward pass."""

    name: str
    module: Any
    entered: Any
    output: Any


def find_layers(model: PreTrainedModel) -> Layers:
    """The layers of a classifier, from a forward and a backward pass of one random image of the model's own side.

    The head's weights do not matter: a mean over positions is recognised by its value, before the head.

    Raises:
        ValueError: the model has no spatial map, or one of a single position.
    """
    with evaluation_mode(model), torch.inference_mode(False), torch.enable_grad():
        calls, features, logits = trace(model, random_image(model))
        prefix, channels_last = check_map(model, features)
        layer = last_call(calls, lambda call: call.output is features) or refuse_map(model)
        head = last_call(calls, lambda call: isinstance(call.module, nn.Linear) and call.output is logits)
        norm = head and last_call(calls, lambda call: is_norm_before(call, head))
        vector = norm.entered if norm else head.entered if head else None
        readout, gradients = find_readers(calls, layer, prefix, head.entered if head else logits)
        if not gradients:
            refuse_map(model)
        return Layers(
            features=layer.name,
            gradients=gradients,
            prefix=prefix,
            channels_last=channels_last,
            readout=readout,
            head=head and head.name,
            norm=norm and norm.name,
            exact=is_peak_head(head) or is_mean(vector, features, prefix, channels_last),
        )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Within, the model is in `eval` mode. After it, each of its modules has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def without_weight_gradients(model: nn.Module) -> Iterator[None]:
    """Within, no weight has a gradient, so the graph holds only what leads to the pixels."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in learning:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learning:
            weight.requires_grad_(True)


@contextmanager
def temporary_hooks(*handles: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """Within, these hooks are in the model. After it, they are not, whatever happened."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def side_of(model: PreTrainedModel) -> int:
    """The side of the images that a model was made for, pixels; 224 if it does not say."""
    config = model.config
    if hasattr(model, "timm_model"):
        size = (getattr(config, "pretrained_cfg", None) or {}).get("input_size")
        return own_side(model.timm_model) or (size[-1] if size else 224)
    return getattr(image_config(config), "image_size", None) or 224


def random_image(model: PreTrainedModel) -> torch.Tensor:
    """One image of noise of the model's own side, always the same, (1, 3, side, side)."""
    side = side_of(model)
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return noise.to(model.device, model.dtype).requires_grad_()


def trace(model: PreTrainedModel, image: torch.Tensor) -> tuple[list[Call], Any, torch.Tensor]:
    """(the modules' calls in the order in which they ended, the last spatial map, the logits) of a forward pass.

    timm has one method up to the map and one from there; a base model of Transformers names it `last_hidden_state`.
    """
    calls: list[Call] = []
    features: Any = None

    def note(name, module, args, output):
        nonlocal features
        features = getattr(output, "last_hidden_state", features)
        if isinstance(first_of(output), torch.Tensor):
            calls.append(Call(name, module, args[0] if args else None, first_of(output)))

    def hook(name):
        return lambda module, args, output: note(name, module, args, output)

    with temporary_hooks(*(module.register_forward_hook(hook(name)) for name, module in model.named_modules())):
        timm_model: Any = getattr(model, "timm_model", None)
        if timm_model is not None:
            features = timm_model.forward_features(image)
            return calls, features, timm_model.forward_head(features)
        logits = model(pixel_values=image).logits
        return calls, features, logits


def first_of(output: Any) -> Any:
    """The tensor that a layer gives; some layers of Transformers 4 give it as the first of several."""
    return output[0] if isinstance(output, tuple) else output


def last_call(calls, condition):
    """The last call for which the condition holds, or None."""
    return next((call for call in reversed(calls) if condition(call)), None)


def check_map(model, features):
    """(prefix, channels_last) of the last map, see `Layers`; ValueError if it is no map of a square image."""
    if not isinstance(features, torch.Tensor) or features.ndim not in (3, 4):
        refuse_map(model)
    timm_model = getattr(model, "timm_model", None)
    channels_last = str(getattr(timm_model, "output_fmt", "")).endswith("NHWC")
    prefix = 0 if features.ndim == 4 else count_prefix(model, features.shape[1])
    if features.ndim == 3 and isqrt(features.shape[1] - prefix) ** 2 != features.shape[1] - prefix:
        refuse_map(model)
    if take_positions(features, prefix, channels_last)[0, 0].numel() < 2:
        raise ValueError(f"at {side_of(model)} pixels {kind(model)} has a map of one position: nothing can be located")
    return prefix, channels_last


def count_prefix(model, tokens):
    """How many of a map's tokens are no patches: class, distillation and register tokens."""
    if hasattr(model, "timm_model"):
        return getattr(model.timm_model, "num_prefix_tokens", 0)
    patch = getattr(image_config(model.config), "patch_size", None)
    patches = (side_of(model) // patch) ** 2 if isinstance(patch, int) else tokens
    return tokens - (patches if patches <= tokens else isqrt(tokens) ** 2)  # Swin merges patches as it goes


def refuse_map(model):
    raise ValueError(f"{kind(model)} has no spatial map from which its logits come: it has no heatmap")


def kind(model: PreTrainedModel) -> str:
    """The architecture's class, as an error names it."""
    return type(getattr(model, "timm_model", model)).__name__


def take_positions(output, prefix, channels_last):
    """See `Layers.positions`."""
    if output.ndim == 4:
        return output.permute(0, 3, 1, 2) if channels_last else output
    patches = output[:, prefix:]
    side = isqrt(patches.shape[1])
    return patches.transpose(1, 2).unflatten(2, (side, side))


def is_norm_before(call, head):
    """Whether a call is that of a LayerNorm from which the head's vector comes as it is."""
    return isinstance(call.module, nn.LayerNorm) and torch.equal(call.output.flatten(), head.entered.flatten())


def is_peak_head(head):
    """Whether the call is that of a head which pools what it says at each position."""
    return head is not None and isinstance(head.module, PeakHead)


def is_mean(vector, features, prefix, channels_last):
    """Whether the (n, d) vector is the mean over the positions, or the first token and this mean, side by side."""
    if vector is None:
        return False
    vector = vector.flatten(1)
    mean = take_positions(features, prefix, channels_last).mean((2, 3))
    forms = [mean, torch.cat([features[:, 0], mean], 1)] if prefix else [mean]
    return any(
        form.shape == vector.shape and (form - vector).abs().max() <= CLOSE * features.abs().max() for form in forms
    )


def find_readers(calls, layer, prefix, output):
    """(the prefix tokens that the output reads at the end, the name of the last layer whose patches reach it or None).

    If the output is computed from a class token, the last attention is the last place where patches reach it. So the
    gradient is 0 at all later patches, and Grad-CAM needs the layer before.
    """
    if layer.output.ndim == 4:
        return (), layer.name
    alike = [call for call in calls if is_token_norm(call, layer)] + [layer]
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    outputs = [call.output for call in alike]
    found = torch.autograd.grad((output * weights).sum(), outputs, allow_unused=True, materialize_grads=True)
    tokens = [gradient[0].abs().amax(1) > 0 for gradient in found]
    readout = tuple(tokens[-1][:prefix].nonzero().flatten().tolist())
    names = [call.name for call, reached in zip(alike, tokens, strict=True) if reached[prefix:].any()]
    return readout, names[-1] if names else None


def is_token_norm(call, layer):
    """Whether a call is that of a normalisation of as many tokens as the last map has."""
    return "norm" in type(call.module).__name__.lower() and call.output.shape[:2] == layer.output.shape[:2]
