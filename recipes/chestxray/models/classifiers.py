"""A classifier for the findings: built from a name, with a new head, or loaded as finetune.py saved it.

Weights are float32, even if a file holds half precision: the optimiser's steps are too small for that.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from accelerate import init_empty_weights
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    CLIPImageProcessor,
    PretrainedConfig,
    PreTrainedModel,
    TimmWrapperConfig,
)

from chestxray.models.adapting import adapt, class_names, names_of, new_model, same_rows, with_outputs
from chestxray.models.local_models import LSE, LocalModel, is_local, ours, refuse_unfit, timms_own
from chestxray.models.model_names import is_timm_name, refuse_unknown_name, repository_of
from chestxray.models.processors import describe_to_timm, processor_for, read_processor, sides


def build_model(
    name: str,
    findings: Sequence[str],
    image_size: int | None = None,
    pretrained: bool = True,
    resize: int | None = None,
    drop_path: float | None = None,
    pooling: str | None = None,
    stages: int | None = None,
    classes: int = 1,
    presets: Sequence[str] = (),
) -> tuple[PreTrainedModel, CLIPImageProcessor]:
    """An image classifier with one output per finding, and its image processor.

    Args:
        name: a transformers or timm repository on the Hub, a checkpoint's folder, a timm name without a
            repository (`convnext_tiny.fb_in22k`), or a transformers config as a .json file: an architecture
            without weights.
        findings: the outputs. If the checkpoint has an output of the same name or meaning, its row of the head is
            kept; see `adapting.same_rows`. The other rows are new.
        image_size: side in pixels; None is the model's own. Position embeddings are interpolated to it.
        pretrained: load the weights; without them the architecture starts from random ones.
        resize: side to which images are shrunk before image_size is cut from the middle; see `processor_for`.
        drop_path: stochastic depth of the last block; None is the model's own.
        pooling: timm's `global_pool`, or "lse", see `local_models`; None is the model's own.
        stages: how many stages of the body are kept, see `local_models`; None is all, or as many as the model has.
        classes: outputs per finding, side by side; 3 are negative, positive and uncertain.
        presets: names that the error suggests if `name` is misspelt.

    Returns:
        (model, processor): the weights are float32. A weight that no logit depends on does not learn. The processor has
        the size, mean and standard deviation that the model's input must have.

    Raises:
        ValueError: the name is none of these, the architecture does not have an option, or the weights are of another
            architecture.
        OSError: the repository cannot be reached.
    """
    refuse_unknown_name(name, presets)
    names = class_names(findings, classes)
    if pretrained and not name.endswith(".json"):
        name = repository_of(name)
        model, own = load_pretrained(name, names, drop_path, pooling, stages), read_processor(name)
    else:
        config = with_outputs(read_architecture(name, len(names)), names)
        model, own = new_model(with_options(config, drop_path, pooling, stages)), None
    if classes > 1 and LSE in ours(getattr(model.config, "model_args", None)).values():
        raise ValueError(f"pooling {LSE} goes with one output per finding: leave multi-class out of uncertain")
    processor = processor_for(image_config(model.config), own, image_size, resize)
    config = with_outputs(with_side(model, sides(processor)[1]), names)
    if config.to_dict() != model.config.to_dict():
        model = adapt(model, config)
    if hasattr(model, "timm_model"):
        describe_to_timm(model.config, processor)
    fix_unused(model, sides(processor)[1])
    return model, processor


def check_options(
    name: str,
    pretrained: bool = True,
    drop_path: float | None = None,
    pooling: str | None = None,
    stages: int | None = None,
) -> None:
    """Raise as `build_model` does for options that an architecture does not have. It reads the configuration alone."""
    if drop_path is pooling is stages is None:
        return
    whole = pretrained and not name.endswith(".json")
    config = AutoConfig.from_pretrained(repository_of(name)) if whole else read_architecture(name, 1)
    with_options(config, drop_path, pooling, stages)


def kept_outputs(model: PreTrainedModel, name: str, pretrained: bool = True) -> dict[int, str]:
    """{row of the head of `build_model(name, …)`: what `name` calls this output} of the rows that it has already."""
    if not pretrained or name.endswith(".json"):
        return {}
    config = AutoConfig.from_pretrained(repository_of(name))
    if stages_of(config) != stages_of(model.config):
        return {}  # the layer before the head is new, so no row of the head knows its features
    old = names_of(config)
    return {row: old[before] for row, before in same_rows(old, names_of(model.config))}


def stages_of(config):
    """How many stages of the body are kept; None is all."""
    return ours(getattr(config, "model_args", None)).get("stages")


def fix_unused(model, side):
    """Let no weight learn on which no logit depends, such as DINOv2's mask token or SigLIP's pooling head.

    It has no gradient, and in a job of several processes DDP refuses to go on without one.
    """
    learns, was_training = set(), model.training
    logits = model.eval()(pixel_values=torch.zeros(1, 3, side, side)).logits
    model.train(was_training)
    nodes, met = [logits.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in met:
            met.add(node)
            learns.add(id(getattr(node, "variable", None)))
            nodes += [before for before, _ in node.next_functions]
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in learns)


def load_classifier(checkpoint: str | Path) -> tuple[PreTrainedModel, CLIPImageProcessor, list[str]]:
    """(model to predict with, processor, findings) of a folder as finetune.py leaves it.

    Raises:
        ValueError: a file of it is damaged, its weights are not exactly those that its config.json asks for, or its
            processor has no size, mean or standard deviation.
    """
    with name_damaged_checkpoint(checkpoint):
        model, found = load_weights(checkpoint)
    refuse_other_weights(checkpoint, found)
    if broken := [name for name, weight in model.state_dict().items() if not weight.isfinite().all()]:
        raise ValueError(f"{checkpoint} is damaged: {broken[0]} has weights that are no finite numbers")
    return model.eval(), load_processor(checkpoint), findings_of(checkpoint)


def refuse_other_weights(checkpoint, found):
    """Raise ValueError unless the file has exactly the weights of the model. found: see `load_weights`."""
    wrong = [
        f"{len(found[kind])} {kind.partition('_')[0]} ({', '.join(map(str, sorted(found[kind])[:3]))}, ...)"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found[kind]
    ]
    if wrong:
        raise ValueError(
            f"{checkpoint}: the weights do not fit the model in config.json: {'; '.join(wrong)}. "
            "Predictions would come from random weights. Fine-tune again, or correct the names in model.safetensors"
        )


def load_processor(checkpoint: str | Path) -> CLIPImageProcessor:
    """The processor of a folder as finetune.py leaves it.

    Raises:
        ValueError: its file is damaged, or has no size, mean or standard deviation.
    """
    with name_damaged_checkpoint(checkpoint):
        processor = read_processor(checkpoint)
        saved = json.loads(Path(checkpoint, "preprocessor_config.json").read_text(encoding="utf-8"))
    if missing := [name for name in ("size", "image_mean", "image_std") if not saved.get(name)]:
        raise ValueError(f"{checkpoint}/preprocessor_config.json has no {', '.join(missing)}, as finetune.py's does")
    if not processor.size.get("height"):
        raise ValueError(f"{checkpoint}/preprocessor_config.json names no height, as finetune.py's does")
    return processor


def findings_of(checkpoint: str | Path) -> list[str]:
    """A checkpoint's findings in the order of its outputs. Its weights are not read.

    Raises:
        ValueError: config.json is damaged.
    """
    with name_damaged_checkpoint(checkpoint):
        config = AutoConfig.from_pretrained(checkpoint)
        names = names_of(config)
    if config.label2id != {name: number for number, name in enumerate(names)}:
        raise ValueError(f"{checkpoint}/config.json is damaged: id2label and label2id name other findings")
    return names


@contextmanager
def name_damaged_checkpoint(checkpoint: str | Path) -> Iterator[None]:
    """Turn any error of a library into a ValueError that names the folder. Errors of the disk stay as they are."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{checkpoint} is damaged, or no checkpoint as finetune.py leaves it: {reason}") from error


def read_architecture(name, outputs):
    """The configuration of a timm name, a .json file, a folder or a repository. outputs: how many it has."""
    if is_timm_name(name):
        return TimmWrapperConfig(architecture=name, num_labels=outputs)
    return AutoConfig.from_pretrained(name, num_labels=outputs)


def load_pretrained(name, names, drop_path, pooling, stages):
    """The model that `name` holds, with its own head. A model without a head gets one for `names`.

    Raises:
        ValueError: less than half of the weights are there.
    """
    config = AutoConfig.from_pretrained(name)
    config = config if config.num_labels else with_outputs(config, names)  # timm has bodies without a head
    model, found = load_weights(name, config=with_options(config, drop_path, pooling, stages))
    missing = sorted(found["missing_keys"])
    if 2 * len(missing) > len(model.state_dict()):
        raise ValueError(
            f"{name} lacks {len(missing)} of the weights that its config.json asks for, {', '.join(missing[:3])}, ...; "
            f"it has {', '.join(sorted(found['unexpected_keys'])[:3]) or 'no others'}"
        )
    return model


def load_weights(name, config=None):
    """(float32 model, {kind: keys}): the weights that are missing in the file, unexpected, or of another shape."""
    config = config or AutoConfig.from_pretrained(name)
    model_class = LocalModel if is_local(config) else AutoModelForImageClassification
    return model_class.from_pretrained(
        name, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
    )


def save_classifier(model: PreTrainedModel, weights: Mapping[str, torch.Tensor], folder: str | Path) -> None:
    """Write config.json and model.safetensors. Weights of a timm model have timm's names, so timm reads them too."""
    weights = {name.removeprefix("timm_model."): weight for name, weight in weights.items()}
    model.save_pretrained(folder, state_dict=weights)


# Options of a configuration


def with_options(config, drop_path, pooling, stages):
    """A copy of the configuration with these options; None leaves the model's own."""
    config = copy.deepcopy(config)
    if isinstance(config, TimmWrapperConfig):
        plain = timm_options(config, drop_path, None if pooling == LSE else pooling)
        config.model_args = plain | local_options(config, pooling, stages)
        return config
    for name, value, owners in (("pooling", pooling, "timm's models"), ("stages", stages, "timm's EfficientNets")):
        if value:
            raise ValueError(
                f"{name} is {value}, which only {owners} have, and {config.model_type} is of transformers: "
                f"choose one of them, or leave --{name} out"
            )
    tower = image_config(config)
    if drop_path and not hasattr(tower, "drop_path_rate"):
        raise ValueError(f"drop_path is {drop_path}, but {config.model_type} of transformers has none; timm's has")
    if drop_path is not None and hasattr(tower, "drop_path_rate"):
        tower.drop_path_rate = drop_path
    return config


def timm_options(config, drop_path, pooling):
    """The arguments of `timm.create_model`. pooling: not LSE, which timm does not know."""
    options = timms_own(config.model_args)
    options.pop("num_classes", None)  # recent timm writes the old head's width here as well
    for name, of_timm, value in (("drop_path", "drop_path_rate", drop_path), ("pooling", "global_pool", pooling)):
        if value is None:
            continue
        if can_build(config.architecture, options | {of_timm: value}):
            options[of_timm] = value
        elif value:
            raise ValueError(f"{name} is {value}, which timm's {config.architecture} does not have")
    return options


def local_options(config, pooling, stages):
    """The arguments of `local_models.change`."""
    options = ours(config.model_args)
    if pooling:
        options.pop("global_pool", None)
    if pooling == LSE:
        options["global_pool"] = LSE
    if stages and stages > options.get("stages", stages):
        raise ValueError(
            f"stages is {stages}, and this model was cut to {options['stages']}: give at most as many, or leave "
            "--stages out"
        )
    if stages:
        options["stages"] = stages
    refuse_unfit(config.architecture, options)
    return options


def can_build(architecture, options):
    """Whether timm takes these options. No memory is used for weights."""
    try:
        with init_empty_weights():
            timm.create_model(architecture, **options)
    except (TypeError, ValueError, AssertionError):
        return False
    return True


def with_side(model, side):
    """A copy of a model's configuration, for images of another side."""
    config = copy.deepcopy(model.config)
    if isinstance(config, TimmWrapperConfig):
        if own_side(model.timm_model) not in (None, side):
            config.model_args = {**(config.model_args or {}), "img_size": side}
    elif hasattr(tower := image_config(config), "image_size"):
        tower.image_size = side
    return config


def image_config(config: PretrainedConfig) -> Any:
    """The part of a configuration that describes the images: of a model with a tower for texts, its other tower."""
    return getattr(config, "vision_config", config)


def own_side(timm_model: Any) -> int | None:
    """The side of the images that a timm model was built for; None if it takes any."""
    size = getattr(getattr(timm_model, "patch_embed", None), "img_size", None)
    return size[0] if size else None
