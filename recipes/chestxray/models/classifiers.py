"""A classifier for the findings: built from a name, with a new head, or loaded as finetune.py saved it.

Weights are float32 whatever a file holds: they are what the optimiser moves, by less than half precision can tell.
"""

import copy
import json
from contextlib import contextmanager
from math import isqrt
from pathlib import Path

import timm
import torch
from accelerate import init_empty_weights
from timm.layers import resample_abs_pos_embed
from transformers import AutoConfig, AutoModelForImageClassification, TimmWrapperConfig

from chestxray.flags import nearest
from chestxray.models.processors import describe_to_timm, processor_for, read_processor, sides


def build_model(
    name, findings, image_size=None, pretrained=True, resize=None, drop_path=None, pooling=None, classes=1, presets=()
):
    """An image classifier with one output per finding, and its image processor.

    Args:
        name: a transformers or timm repository on the Hub, a checkpoint's folder, a timm name without a
            repository (`convnext_tiny.fb_in22k`), or a transformers config as a .json file: an architecture
            without weights.
        findings: the outputs. Those that a checkpoint has by the same name keep their rows of its head, in whatever
            order; the others are new.
        image_size: side in pixels; None is the model's own. Position embeddings of another size are interpolated.
        pretrained: load the weights; without them the architecture starts from random ones.
        resize: side to which images are shrunk before image_size is cut from the middle; see `processor_for`.
        drop_path: stochastic depth of the last block; None is the model's own. pooling: timm's `global_pool`.
        classes: outputs per finding; with 3, negative, positive and uncertain side by side.
        presets: names that `name` may be misspelt from.

    Returns:
        (model, processor): the weights are float32; the processor's size, mean and standard deviation are what the
        model is to be fed.

    Raises ValueError for a name that is none of these, for what the architecture does not have and for weights of
    another one, OSError for a repository that cannot be reached.
    """
    if "/" not in name and not is_timm_name(name) and not Path(name).exists():
        raise ValueError(
            f"{name} is no preset in recipes/configs, no timm name, no folder and no Hub repository"
            f"{nearest(name, presets)}"
        )
    names = findings if classes == 1 else [f"{name} {number}" for name in findings for number in range(classes)]
    pretrained = pretrained and not name.endswith(".json")
    if pretrained:
        name = timm_repository(name) if is_timm_name(name) else name
        model, own = load_pretrained(name, names, drop_path, pooling), read_processor(name)
    else:
        config = with_outputs(read_architecture(name, len(names)), names)
        model, own = new_model(with_options(config, drop_path, pooling)), None
    processor = processor_for(model.config, own, image_size, resize)
    wanted = with_outputs(with_side(model, sides(processor)[1]), names)
    if wanted.to_dict() != model.config.to_dict():
        model = adapt(model, wanted)
    if hasattr(model, "timm_model"):
        describe_to_timm(model.config, processor)
    return model, processor


def load_classifier(checkpoint):
    """(model to predict with, processor, findings) of a folder as finetune.py leaves it.

    Raises ValueError where a file of it is damaged, where its weights are not the very ones that its config.json asks
    for, and where its processor lacks a setting.
    """
    with one_error(checkpoint):
        model, loaded = load(checkpoint)
    wrong = [
        f"{len(loaded[kind])} {kind.partition('_')[0]} ({', '.join(map(str, sorted(loaded[kind])[:3]))}, ...)"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if loaded[kind]
    ]
    if wrong:
        raise ValueError(
            f"{checkpoint}: the weights are not those of the model in config.json: {'; '.join(wrong)}. "
            "Predictions would come from random weights; fine-tune again, or mend the names in model.safetensors"
        )
    if broken := [name for name, weight in model.state_dict().items() if not weight.isfinite().all()]:
        raise ValueError(f"{checkpoint} is damaged: {broken[0]} has weights that are no finite numbers")
    return model.eval(), load_processor(checkpoint), findings_of(checkpoint)


def load_processor(checkpoint):
    """The processor of a folder as finetune.py leaves it. Raises ValueError where it is damaged or lacks a setting."""
    with one_error(checkpoint):
        processor = read_processor(checkpoint)
        saved = json.loads(Path(checkpoint, "preprocessor_config.json").read_text(encoding="utf-8"))
    if lacking := [name for name in ("size", "image_mean", "image_std") if not saved.get(name)]:
        raise ValueError(f"{checkpoint}/preprocessor_config.json has no {', '.join(lacking)}, as finetune.py's does")
    if not processor.size.get("height"):
        raise ValueError(f"{checkpoint}/preprocessor_config.json names no height, as finetune.py's does")
    return processor


def findings_of(checkpoint):
    """What a checkpoint tells, in its order, without its weights. Raises ValueError where config.json is damaged."""
    with one_error(checkpoint):
        config = AutoConfig.from_pretrained(checkpoint)
        names = names_of(config)
    if config.label2id != {name: number for number, name in enumerate(names)}:
        raise ValueError(f"{checkpoint}/config.json is damaged: id2label and label2id name other findings")
    return names


@contextmanager
def one_error(checkpoint):
    """Whatever the libraries raise of a damaged folder, as one error; the disk's own errors as they are."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{checkpoint} is damaged, or no checkpoint as finetune.py leaves it: {reason}") from error


def read_architecture(name, outputs):
    """The configuration of a timm name, a .json file, a folder or a repository, for so many outputs."""
    if is_timm_name(name):
        return TimmWrapperConfig(architecture=name, num_labels=outputs)
    return AutoConfig.from_pretrained(name, num_labels=outputs)


def load_pretrained(name, names, drop_path, pooling):
    """The model that `name` holds, with its own head, or with one for `names` where it has none.

    Raises ValueError where less than half of the weights are found.
    """
    config = AutoConfig.from_pretrained(name)
    config = config if config.num_labels else with_outputs(config, names)  # timm has bodies without a head
    model, loaded = load(name, config=with_options(config, drop_path, pooling))
    missing = sorted(loaded["missing_keys"])
    if 2 * len(missing) > len(model.state_dict()):
        raise ValueError(
            f"{name} lacks {len(missing)} of the weights that its config.json asks for, {', '.join(missing[:3])}, ...; "
            f"it has {', '.join(sorted(loaded['unexpected_keys'])[:3]) or 'no others'}"
        )
    return model


def load(name, **options):
    """(model, what of it was found in the file), float32."""
    return AutoModelForImageClassification.from_pretrained(
        name, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True, **options
    )


def new_model(config):
    """A model with random weights, float32."""
    return AutoModelForImageClassification.from_config(config, dtype=torch.float32)


def write(model, weights, folder):
    """config.json and model.safetensors; a timm model's weights go by timm's names, so that timm reads them too."""
    model.save_pretrained(
        folder, state_dict={name.removeprefix("timm_model."): weight for name, weight in weights.items()}
    )


def is_timm_name(name):
    return "/" not in name and timm.is_model(name.partition(".")[0])


def timm_repository(name):
    """The Hub repository of a timm name: `resnet18` is `timm/resnet18.a1_in1k`."""
    weights = timm.models.get_pretrained_cfg(name)
    return f"timm/{weights.architecture}.{weights.tag}"


# What a configuration says besides the architecture


def names_of(config):
    """The names of a model's outputs, in their order."""
    return [config.id2label[number] for number in range(config.num_labels)]


def with_outputs(config, names):
    """The same configuration for these outputs, each of which is true or false by itself."""
    config = copy.deepcopy(config)
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = "multi_label_classification"
    if isinstance(config, TimmWrapperConfig):
        config.label_names = list(names)  # transformers 4 would bring the old head's names back
    return config


def with_options(config, drop_path, pooling):
    """The same configuration with what a model is built with besides its weights; None leaves the model's own."""
    config = copy.deepcopy(config)
    if isinstance(config, TimmWrapperConfig):
        config.model_args = timm_options(config, drop_path, pooling)
        return config
    if pooling:
        raise ValueError(f"pooling is {pooling}, which only timm's ViTs have; {config.model_type} is of transformers")
    if drop_path and not hasattr(config, "drop_path_rate"):
        raise ValueError(f"drop_path is {drop_path}, but {config.model_type} of transformers has none; timm's has")
    if drop_path is not None and hasattr(config, "drop_path_rate"):
        config.drop_path_rate = drop_path
    return config


def timm_options(config, drop_path, pooling):
    """The arguments of `timm.create_model`."""
    options = dict(config.model_args or {})
    options.pop("num_classes", None)  # recent timm writes the old head's width here as well
    asked = {"drop_path_rate": drop_path, "global_pool": pooling}
    for name, value in asked.items():
        if value is None:
            continue
        if can_build(config.architecture, options | {name: value}):
            options[name] = value
        elif value:
            raise ValueError(f"{name} is {value}, which timm's {config.architecture} does not have")
    return options


def can_build(architecture, options):
    try:
        with init_empty_weights():
            timm.create_model(architecture, **options)
    except (TypeError, ValueError, AssertionError):
        return False
    return True


def with_side(model, side):
    """The configuration of a model for images of another side."""
    config = copy.deepcopy(model.config)
    if isinstance(config, TimmWrapperConfig):
        if own_side(model.timm_model) not in (None, side):
            config.model_args = {**(config.model_args or {}), "img_size": side}
    elif hasattr(config, "image_size"):
        config.image_size = side
    return config


def own_side(timm_model):
    """The side of the images a timm model was built for, None where any will do."""
    size = getattr(getattr(timm_model, "patch_embed", None), "img_size", None)
    return size[0] if size else None


# The same weights in another configuration


def adapt(model, config):
    """The weights of `model` in a new one: position embeddings interpolated, the head's rows by their names.

    Raises ValueError where weights of another shape are neither.
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


def head_weights(config):
    """Names of the weights with a row per output: those that have another shape where there is one output more."""
    shapes = []
    for names in (names_of(config), [*names_of(config), ""]):
        with init_empty_weights():
            model = new_model(with_outputs(config, names))
        shapes.append({name: weight.shape for name, weight in model.state_dict().items()})
    return {name for name, shape in shapes[0].items() if shape != shapes[1][name]}


def same_rows(old, new):
    """(row of `new`, row of `old`) of each name that is in both."""
    return [(row, old.index(name)) for row, name in enumerate(new) if name in old]


def interpolate(name, weight, shape, config):
    """Position embeddings (1, tokens, width) for another number of tokens (bicubic, timm's)."""
    if "pos" not in name or len(shape) != 3:
        raise ValueError(f"image_size changes {name} of {config.model_type}, which cannot be interpolated")
    others = tokens_besides(shape[1], weight.shape[1])
    side = isqrt(shape[1] - others)
    return resample_abs_pos_embed(weight, [side, side], num_prefix_tokens=others)


def tokens_besides(*lengths):
    """How many of the positions are none of an image's square of patches: class and register tokens."""
    fitting = (n for n in range(min(lengths)) if all(isqrt(length - n) ** 2 == length - n for length in lengths))
    if (others := next(fitting, None)) is None:
        raise ValueError(f"position embeddings of {lengths} tokens are no squares: choose another --image-size")
    return others


def folded(config, weights, findings):
    """A model of negative, positive and uncertain as one with an output per finding: positive less negative.

    That is the logit of the probability Irvin et al. 2019 (section 3, U-MultiClass) take, of positive among the two.

    Args:
        weights: state dict whose head has 3 outputs per finding, side by side.

    Returns:
        (model, its state dict).
    """
    model, weights = new_model(with_outputs(config, findings)), dict(weights)
    for name, new in model.state_dict().items():
        if weights[name].shape != new.shape:
            negative, positive, _ = weights[name].unflatten(0, (len(findings), 3)).unbind(1)
            weights[name] = positive - negative
    model.load_state_dict(weights)
    return model, weights
