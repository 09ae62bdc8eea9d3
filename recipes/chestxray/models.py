"""A model for the findings from a name, and the image processor that shows it radiographs as training did."""

from pathlib import Path

import timm
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    TimmWrapperConfig,
    ViTImageProcessor,
)

GREY = 0.5  # mean and standard deviation where a model brings none of its own


def build_model(name, findings, image_size=None, pretrained=True):
    """An image classifier with one output per finding, its head new, and its image processor.

    Args:
        name: a transformers or timm repository on the Hub, a checkpoint's folder, a timm name without a
            repository (`convnext_tiny.fb_in22k`), or a transformers config as a .json file: an architecture
            without weights.
        image_size: side in pixels; None is the model's own.
        pretrained: load the weights; without them the architecture starts from random ones.

    Returns:
        (model, processor): the processor's size, mean and standard deviation are what the model is to be fed.

    Raises ValueError for a name that is none of these, OSError for a repository that cannot be reached.
    """
    labels = {
        "num_labels": len(findings),
        "id2label": dict(enumerate(findings)),
        "label2id": {finding: number for number, finding in enumerate(findings)},
        "problem_type": "multi_label_classification",
    }
    if "/" not in name and not is_timm_name(name) and not Path(name).exists():
        raise ValueError(f"{name} is no preset in recipes/configs, no timm name, no folder and no Hub repository")
    pretrained = pretrained and not name.endswith(".json")
    if is_timm_name(name) and not pretrained:
        config = TimmWrapperConfig(architecture=name, **labels)
    else:
        name = timm_repository(name) if is_timm_name(name) else name
        config = AutoConfig.from_pretrained(name, **labels)
        if getattr(config, "model_args", None):  # recent timm writes the old head's width here as well
            config.model_args.pop("num_classes", None)
    if pretrained:
        model = AutoModelForImageClassification.from_pretrained(name, config=config, ignore_mismatched_sizes=True)
        return model, processor_for(model, AutoImageProcessor.from_pretrained(name), image_size)
    if image_size and hasattr(config, "image_size"):
        config.image_size = image_size
    model = AutoModelForImageClassification.from_config(config)
    return model, processor_for(model, None, image_size)


def is_timm_name(name):
    return "/" not in name and timm.is_model(name.partition(".")[0])


def timm_repository(name):
    """The Hub repository of a timm name: `resnet18` is `timm/resnet18.a1_in1k`."""
    weights = timm.models.get_pretrained_cfg(name)
    return f"timm/{weights.architecture}.{weights.tag}"


def processor_for(model, own, image_size):
    """What the recipe does to a radiograph before the model sees it, as a processor saved with the model.

    own: the image processor that came with the weights, or None; its mean and standard deviation are kept.
    """
    timm_data = getattr(own, "data_config", None) or {}  # how timm's own processor keeps the three
    sizes = getattr(own, "size", None) or {}
    side = (
        image_size
        or sizes.get("height")
        or sizes.get("shortest_edge")
        or timm_data.get("input_size", [None])[-1]
        or getattr(model.config, "image_size", 224)
    )
    return ViTImageProcessor(
        size={"height": side, "width": side},
        resample=Image.Resampling.BICUBIC,
        image_mean=list(timm_data.get("mean") or getattr(own, "image_mean", None) or [GREY] * 3),
        image_std=list(timm_data.get("std") or getattr(own, "image_std", None) or [GREY] * 3),
    )


def normalise(pixels, processor):
    """(n, 1, side, side) in 0 to 1 as (n, 3, side, side), grey repeated, by the processor's mean and deviation."""
    mean = torch.tensor(processor.image_mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(processor.image_std, device=pixels.device).view(1, 3, 1, 1)
    return (pixels - mean) / std


def decay_groups(model, weight_decay):
    """Parameters for the optimiser: no weight decay on norms, biases and other one-dimensional ones."""
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    return [
        {"params": [weight for _, weight in named if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for _, weight in named if weight.ndim <= 1], "weight_decay": 0.0},
    ]
