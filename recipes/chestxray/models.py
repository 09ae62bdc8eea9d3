"""A model for the findings from a name, and the image processor that shows it radiographs as training did."""

import copy
from math import isqrt
from pathlib import Path

import timm
from PIL import Image
from timm.layers import resample_abs_pos_embed
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    CLIPImageProcessor,
    TimmWrapperConfig,
    ViTImageProcessor,
)

from chestxray.settings import PRESETS, nearest

GREY = 0.5  # mean and standard deviation where a model brings none of its own


def build_model(name, findings, image_size=None, pretrained=True, resize=None, drop_path=0.0, pooling=None, classes=1):
    """An image classifier with one output per finding, its head new, and its image processor.

    Args:
        name: a transformers or timm repository on the Hub, a checkpoint's folder, a timm name without a
            repository (`convnext_tiny.fb_in22k`), or a transformers config as a .json file: an architecture
            without weights.
        image_size: side in pixels; None is the model's own. Position embeddings of another size are interpolated.
        pretrained: load the weights; without them the architecture starts from random ones.
        resize: side to which images are shrunk before image_size is cut from the middle.
        drop_path: stochastic depth of the last block. pooling: timm's `global_pool`.
        classes: outputs per finding; with 3, negative, positive and uncertain side by side.

    Returns:
        (model, processor): the processor's size, mean and standard deviation are what the model is to be fed.

    Raises ValueError for a name that is none of these and for what the architecture does not have, OSError for a
    repository that cannot be reached.
    """
    labels = outputs(
        findings if classes == 1 else [f"{name} {number}" for name in findings for number in range(classes)]
    )
    if "/" not in name and not is_timm_name(name) and not Path(name).exists():
        presets = [preset.stem for preset in PRESETS.glob("*.yaml")]
        raise ValueError(
            f"{name} is no preset in recipes/configs, no timm name, no folder and no Hub repository"
            f"{nearest(name, presets)}"
        )
    pretrained = pretrained and not name.endswith(".json")
    if is_timm_name(name) and not pretrained:
        config = TimmWrapperConfig(architecture=name, **labels)
    else:
        name = timm_repository(name) if is_timm_name(name) else name
        config = AutoConfig.from_pretrained(name, **labels)
    configure(config, drop_path, pooling)
    if pretrained:
        model = AutoModelForImageClassification.from_pretrained(name, config=config, ignore_mismatched_sizes=True)
        own = AutoImageProcessor.from_pretrained(name)
    else:
        model, own = AutoModelForImageClassification.from_config(config), None
    processor = processor_for(model, own, image_size, resize)
    return at_size(model, sides(processor)[1]), processor


def outputs(names):
    """What a configuration says of a model's outputs."""
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": "multi_label_classification",
    }


def folded(config, weights, findings):
    """A model of negative, positive and uncertain as one with an output per finding: positive less negative.

    That is the logit of the probability Irvin et al. 2019 (section 3, U-MultiClass) take, of positive among the two.

    Args:
        weights: state dict whose head has 3 outputs per finding, side by side.

    Returns:
        (model, its state dict).
    """
    config = copy.deepcopy(config)
    for name, value in outputs(findings).items():
        setattr(config, name, value)
    model, weights = AutoModelForImageClassification.from_config(config), dict(weights)
    for name, new in model.state_dict().items():
        if weights[name].shape != new.shape:
            negative, positive, _ = weights[name].unflatten(0, (len(findings), 3)).unbind(1)
            weights[name] = positive - negative
    model.load_state_dict(weights)
    return model, weights


def is_timm_name(name):
    return "/" not in name and timm.is_model(name.partition(".")[0])


def timm_repository(name):
    """The Hub repository of a timm name: `resnet18` is `timm/resnet18.a1_in1k`."""
    weights = timm.models.get_pretrained_cfg(name)
    return f"timm/{weights.architecture}.{weights.tag}"


def configure(config, drop_path, pooling):
    """Set what a model is built with besides its weights."""
    if isinstance(config, TimmWrapperConfig):
        config.model_args = dict(config.model_args or {})
        config.model_args.pop("num_classes", None)  # recent timm writes the old head's width here as well
        config.label_names = list(config.id2label.values())  # transformers 4 would bring the old head's names back
        config.model_args |= {"drop_path_rate": drop_path} if drop_path else {}
        config.model_args |= {"global_pool": pooling} if pooling else {}
        return
    if pooling:
        raise ValueError(f"pooling is {pooling}, which only timm's ViTs have; {config.model_type} is of transformers")
    if drop_path and not hasattr(config, "drop_path_rate"):
        raise ValueError(f"drop_path is {drop_path}, but {config.model_type} of transformers has none; timm's has")
    if drop_path:
        config.drop_path_rate = drop_path


def at_size(model, side):
    """The same model for images of another side, its position embeddings interpolated (bicubic, timm's)."""
    config, timm_model = copy.deepcopy(model.config), getattr(model, "timm_model", None)
    if timm_model is not None and own_side(timm_model) not in (None, side):
        config.model_args = {**(config.model_args or {}), "img_size": side}
    elif getattr(config, "image_size", side) != side:
        config.image_size = side
    else:
        return model
    resized = AutoModelForImageClassification.from_config(config)
    weights = model.state_dict()
    for name, weight in resized.state_dict().items():
        if name not in weights or weights[name].shape == weight.shape:
            continue
        if "pos" not in name or weight.ndim != 3:
            raise ValueError(f"image_size is {side}, to which {name} of {config.model_type} cannot be interpolated")
        others = tokens_besides(weight.shape[1], weights[name].shape[1])
        new = isqrt(weight.shape[1] - others)
        weights[name] = resample_abs_pos_embed(weights[name], [new, new], num_prefix_tokens=others)
    resized.load_state_dict(weights)
    return resized


def own_side(timm_model):
    """The side of the images a timm model was built for, None where any will do."""
    size = getattr(getattr(timm_model, "patch_embed", None), "img_size", None)
    return size[0] if size else None


def tokens_besides(*lengths):
    """How many of the positions are none of an image's square of patches: class and register tokens."""
    fitting = (n for n in range(min(lengths)) if all(isqrt(length - n) ** 2 == length - n for length in lengths))
    if (others := next(fitting, None)) is None:
        raise ValueError(f"position embeddings of {lengths} tokens are no squares: choose another --image-size")
    return others


def processor_for(model, own, image_size, resize=None):
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
    whole = resize or side
    if whole < side:
        raise ValueError(f"resize is {whole}, less than the {side} pixels that the model sees")
    cut = {"do_center_crop": True, "crop_size": {"height": side, "width": side}} if whole > side else {}
    return (CLIPImageProcessor if cut else ViTImageProcessor)(
        size={"height": whole, "width": whole},
        resample=Image.Resampling.BICUBIC,
        image_mean=list(timm_data.get("mean") or getattr(own, "image_mean", None) or [GREY] * 3),
        image_std=list(timm_data.get("std") or getattr(own, "image_std", None) or [GREY] * 3),
        **cut,
    )


def sides(processor):
    """(side to which images are shrunk, side of the middle that the model sees), pixels."""
    whole = processor.size["height"]
    return whole, processor.crop_size["height"] if getattr(processor, "do_center_crop", False) else whole
