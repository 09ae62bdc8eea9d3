"""The same weights in another configuration: other outputs, another image size, one output per finding, not three."""

import copy
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import init_empty_weights
from timm.layers import resample_abs_pos_embed
from transformers import AutoModelForImageClassification, PretrainedConfig, PreTrainedModel, TimmWrapperConfig

from chestxray.models.local_models import LocalModel, is_local

Array = TypeVar("Array", np.ndarray, torch.Tensor)
CLASSES = 3  # per finding, if uncertain is a class of its own: negative, positive, uncertain


def names_of(config: PretrainedConfig) -> list[str]:
    """The names of a model's outputs, in their order."""
    names: dict[Any, str] = config.id2label or {}
    return [names[number] for number in range(len(names))]


def with_outputs(config: PretrainedConfig, names: Sequence[str]) -> PretrainedConfig:
    """A copy of the configuration for these outputs. Each of them is true or false by itself."""
    config = copy.deepcopy(config)
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = "multi_label_classification"
    if isinstance(config, TimmWrapperConfig):
        config.label_names = list(names)  # transformers 4 would bring the old head's names back
    return config


def new_model(config: PretrainedConfig) -> PreTrainedModel:
    """A model with random weights, float32."""
    if is_local(config):
        return LocalModel._from_config(config, dtype=torch.float32)
    return AutoModelForImageClassification.from_config(config, dtype=torch.float32)


def adapt(model: PreTrainedModel, config: PretrainedConfig) -> PreTrainedModel:
    """A new model of this configuration with the weights of `model`.

    Position embeddings are interpolated. Rows of the head are found by the names of the outputs, see `same_rows`.

    Raises:
        ValueError: another weight has another shape.
    """
    adapted, weights = new_model(config), model.state_dict()
    heads, rows = head_weights(config), same_rows(names_of(model.config), names_of(config))
    for name, weight in adapted.state_dict().items():
        if name in heads:
            weight = weight.clone()
            for new, old in rows:
                weight[new] = weights[name][old]
            weights[name] = weight
        elif name in weights and weights[name].shape != weight.shape:
            weights[name] = interpolate(name, weights[name], weight.shape, config)
    adapted.load_state_dict(weights)
    return adapted


def head_weights(config: PretrainedConfig) -> set[str]:
    """Names of the weights with a row per output. Their shape differs in a model with one output more."""
    shapes = []
    for names in (names_of(config), [*names_of(config), ""]):
        with init_empty_weights():
            model = new_model(with_outputs(config, names))
        shapes.append({name: weight.shape for name, weight in model.state_dict().items()})
    return {name for name, shape in shapes[0].items() if shape != shapes[1][name]}


def same_rows(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """(row of `new`, row of `old`) of each output that is in both, by its name or by one that means the same.

    Which names of two datasets mean the same is said in `data.labels.TABLE`.

    >>> same_rows(["Edema", "Pleural Effusion"], ["Effusion", "Mass", "Edema"])
    [(0, 1), (2, 0)]
    """
    from chestxray.data.labels import canonical  # imports datasets, and only a new training comes here

    meanings = {canonical(name): row for row, name in reversed(list(enumerate(old)))}
    found = ((row, old.index(name) if name in old else meanings.get(canonical(name))) for row, name in enumerate(new))
    return [(row, before) for row, before in found if before is not None]


def interpolate(name, weight, shape, config):
    """Position embeddings (1, tokens, width) or (tokens, width) for another number of tokens (bicubic, timm's)."""
    if "pos" in name and len(shape) == 2:  # SigLIP's and CLIP's
        return interpolate(name, weight[None], (1, *shape), config)[0]
    if "pos" not in name or len(shape) != 3:
        raise ValueError(f"image_size changes {name} of {config.model_type}, which cannot be interpolated")
    prefix = count_prefix_tokens(shape[1], weight.shape[1])
    side = isqrt(shape[1] - prefix)
    return resample_abs_pos_embed(weight, [side, side], num_prefix_tokens=prefix)


def count_prefix_tokens(*lengths):
    """How many positions are not in an image's square of patches: class and register tokens. lengths: of all tokens."""
    fitting = (n for n in range(min(lengths)) if all(isqrt(length - n) ** 2 == length - n for length in lengths))
    if (prefix := next(fitting, None)) is None:
        raise ValueError(f"position embeddings of {lengths} tokens are no squares: choose another --image-size")
    return prefix


def class_names(findings: Sequence[str], classes: int) -> list[str]:
    """Names of the outputs: the findings themselves, or each one with the numbers of its classes."""
    return list(findings) if classes == 1 else [f"{name} {number}" for name in findings for number in range(classes)]


def merge_classes(outputs: Array) -> Array:
    """(n, 3 k) outputs of negative, positive and uncertain side by side, as (n, k) logits: positive less negative.

    This is the logit of the probability in Irvin et al. 2019 (section 3, U-MultiClass): positive against negative,
    without uncertain.
    """
    return outputs[:, 1::CLASSES] - outputs[:, ::CLASSES]


def merge_heads(
    config: PretrainedConfig, weights: Mapping[str, torch.Tensor], findings: Sequence[str]
) -> tuple[PreTrainedModel, dict[str, torch.Tensor]]:
    """A model of three classes per finding as one with an output per finding. `merge_classes` gives the same logits.

    Args:
        weights: state dict; its head has 3 outputs per finding, side by side.

    Returns:
        (model, its state dict).
    """
    model, merged = new_model(with_outputs(config, findings)), dict(weights)
    for name, new in model.state_dict().items():
        if merged[name].shape != new.shape:
            merged[name] = merged[name][1::CLASSES] - merged[name][::CLASSES]
    model.load_state_dict(merged)
    return model, merged
