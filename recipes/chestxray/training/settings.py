"""Every setting of a fine-tune, and how a preset and the command line fill it."""

import sys
from argparse import Action
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from chestxray.data import labels
from chestxray.data.nih import builder_file
from chestxray.files import REPOSITORY
from chestxray.flags import nearest

PRESETS = REPOSITORY / "recipes" / "configs"
SAMPLE = str(REPOSITORY / "data" / "sample")


def setting(default, help, machine=False, **bounds):
    """A field with all that is known of it.

    Args:
        machine: it may differ between two starts of one run: it says where and how fast, not what is learnt.
        bounds: `at_least`, `above`, `below`, `at_most`: of the number, or of each number in a list.
    """
    kept = {"default_factory": list} if default is list else {"default": default}
    return field(**kept, metadata={"help": help, "machine": machine, "bounds": bounds})


@dataclass
class Settings:
    """One pass over this class is the recipe: data, model, augmentation, loss, optimisation; then the machine."""

    # Model
    model: str = setting(
        "sample",
        "a preset in recipes/configs or your own as .yaml, a Hub repository (transformers or timm), a checkpoint's "
        "folder, a timm name, or a transformers config as .json: an architecture without weights",
    )
    pretrained: bool = setting(True, "start from the model's weights; without, from random ones")
    image_size: int | None = setting(
        None,
        "side in pixels the model sees, its own by default; position embeddings are interpolated to another",
        at_least=1,
    )
    resize: int | None = setting(
        None,
        "side to which whole images are shrunk, of which image_size is cut from the middle; by default image_size, and "
        "without either what the checkpoint itself does",
        at_least=1,
    )
    drop_path: float | None = setting(
        None,
        "stochastic depth (Huang et al. 2016) of the last block, earlier ones have less; the model's own",
        at_least=0,
        below=1,
    )
    pooling: Literal["avg", "token"] | None = setting(None, "of a timm ViT's tokens before the head; the model's own")

    # Data
    dataset: list[str] | None = setting(
        None,
        "a folder: NIH's archive in any layout, CheXpert, MIMIC-CXR-JPG, tar shards or Parquet; or a Hub id. Several "
        "are trained on together. data/sample by default",
    )
    dataset_weights: list[float] | None = setting(
        None, "how often images of each dataset are drawn, relative to the others; by default all images alike", above=0
    )
    findings: Literal[labels.CHOICES] | None = setting(None, "what the model tells; all that the datasets label")
    uncertain: str = setting(
        "ignore",
        f"what an uncertain label counts as: {', '.join(labels.WORDS)} or {', '.join(labels.PRESETS)}; for single "
        "findings with commas: zeros,Edema=ones",
    )
    blank: Literal[labels.BLANKS] = setting("negative", "what an observation that no report mentions counts as")
    teacher: str | None = setting(None, "predictions file of score.py --split train, for --uncertain self-trained")
    labeler: Literal["chexpert", "negbio", "both", "radiologist"] = setting("chexpert", "of MIMIC-CXR's reports")
    views: Literal["all", "frontal"] = setting("all", "which images are trained on and scored")
    output_dir: str | None = setting(
        None, "where checkpoint, results and picture go; runs/MODEL by default", machine=True
    )
    allow_missing: bool = setting(False, "accept an archive that holds fewer images than its lists name", machine=True)
    streaming: bool = setting(False, "read the images from the Hub as training goes; nothing is stored")
    validation_list: str | None = setting(
        None, "a file that names the images of train to validate on, one per line; by default one patient in eight"
    )
    equalize: bool = setting(False, "equalise every image's histogram, as MIMIC-CXR-JPG comes")

    # Augmentation, drawn anew in each epoch
    crop: float = setting(1.0, "smallest share of the area in a random crop; 1 for none", above=0, at_most=1)
    flip: float = setting(0.5, "probability of a mirror image", at_least=0, at_most=1)
    rotate: float = setting(7.0, "degrees at most, either way", at_least=0, at_most=180)
    scale: float = setting(0.1, "share by which images grow or shrink at most", at_least=0, below=1)
    shift: float = setting(0.05, "share of the side by which images move at most", at_least=0, at_most=1)
    contrast: float = setting(
        0.1, "share by which contrast, and half by which brightness, changes", at_least=0, at_most=1
    )
    randaugment: float = setting(
        0.0, "magnitude of RandAugment's two operations, of 10; 0 for none", at_least=0, at_most=10
    )
    mixup: float = setting(0.0, "alpha of mixup (Zhang et al. 2018); 0 for none", at_least=0)

    # Loss
    loss: Literal["bce", "asl"] = setting("bce", "binary cross-entropy, or the asymmetric loss of Ridnik et al. 2021")
    positive_weights: bool = setting(False, "weigh each finding's positives by negatives / positives of train")
    label_smoothing: float = setting(0.0, "targets become this much more like 1/2", at_least=0, at_most=1)

    # Optimisation: AdamW
    epochs: int = setting(10, "passes over the training images; the best one on validation is kept", at_least=0)
    batch_size: int = setting(64, "images per step, all processes and accumulated parts together", at_least=1)
    learning_rate: float = setting(1e-4, "at its peak", at_least=0)
    schedule: Literal["cosine", "constant"] = setting("cosine", "of the rate after warm-up, by step")
    warmup_epochs: float = setting(1.0, "over which the rate rises from 0; at most half of the run", at_least=0)
    final_rate: float = setting(0.0, "share of the peak at which the cosine ends", at_least=0, at_most=1)
    layer_decay: float = setting(
        1.0, "factor of the rate from each block to the one below it (Clark et al. 2020)", above=0, at_most=1
    )
    layer_decay_blocks: int = setting(
        1, 'how many neighbouring blocks share a rate; 3 is the "group" of ConvNeXt V2', at_least=1
    )
    weight_decay: float = setting(
        0.05, "of the matrices of layers; none on norms, biases, scales, positions, tokens", at_least=0
    )
    clip: float | None = setting(None, "norm to which gradients are clipped", above=0)
    ema: float = setting(
        0.0, "decay of the moving average of the weights, which is then what is scored; 0 for none", at_least=0, below=1
    )
    patience: int | None = setting(None, "epochs without a better validation AUROC after which to stop", at_least=1)
    seed: int = setting(
        0, "of the new head, the order of the images, dropout and augmentation", at_least=0, below=2**32
    )

    # Machine: changes nothing in what is learnt but rounding
    device_batch_size: int | None = setting(
        None,
        "images per pass on one device, the rest is accumulated; what fits by default, 32 on a CPU",
        machine=True,
        at_least=1,
    )
    mixed_precision: Literal["no", "fp16", "bf16"] | None = setting(
        None, "bf16 by default on a GPU that has it", machine=True
    )
    compile: bool = setting(False, "torch.compile the model", machine=True)
    channels_last: bool | None = setting(None, "memory layout; by default on a GPU", machine=True)
    gradient_checkpointing: bool = setting(False, "compute activations twice to need less memory", machine=True)
    cache: bool = setting(
        True, "keep every image, shrunk, in datasets' cache; without, decode it in every epoch", machine=True
    )
    num_proc: int | None = setting(
        None, "processes that decode images; one per core by default", machine=True, at_least=1
    )
    workers: int | None = setting(
        None, "processes that read batches; 2 by default on a GPU, otherwise 0", machine=True, at_least=0
    )
    checkpoint_steps: int = setting(
        500, "steps from one checkpoint to the next; there is one after each epoch too", machine=True, at_least=1
    )
    trackers: list[str] = setting(list, "tensorboard, wandb, trackio or another of Accelerate's, or all", machine=True)
    push_to_hub: str | None = setting(
        None, "repository to which the finished checkpoint goes, with its model card", machine=True
    )
    public: bool = setting(False, "let everybody see that repository where it is new; private by default", machine=True)

    def __post_init__(self):
        """Raise ValueError for a value that is of another type, not among the choices or out of bounds."""
        for name in TYPES:
            check(name, getattr(self, name))
        self.dataset = [
            str(Path(source).resolve()) if Path(source).is_dir() else source
            for source in ([SAMPLE] if self.dataset is None else self.dataset)
        ]
        self.output_dir = self.output_dir or f"runs/{Path(self.model).stem}"
        self.pretrained = self.pretrained and not self.model.endswith(".json")  # which has no weights

    def refuse_contradictions(self):
        """Raise ValueError for settings that do not go together, or name no dataset: no run can begin with them."""
        labels.Policy.parse(self.uncertain, self.blank, self.teacher)
        if self.classes > 1 and (self.mixup or self.label_smoothing or self.positive_weights or self.loss != "bce"):
            raise ValueError("multi-class labels take neither mixup, label_smoothing, positive_weights nor loss asl")
        if not self.dataset:
            raise ValueError("dataset is []; name one, or leave the setting out for data/sample")
        if self.dataset_weights and len(self.dataset_weights) != len(self.dataset):
            raise ValueError(f"{len(self.dataset_weights)} dataset_weights for {len(self.dataset)} datasets")
        if self.validation_list and len(self.dataset) > 1:
            raise ValueError("a validation_list goes with one dataset")
        if self.public and not self.push_to_hub:
            raise ValueError("public says who sees the repository of push_to_hub: give --push-to-hub as well")
        if self.streaming and (len(self.dataset) > 1 or self.dataset_weights):
            raise ValueError("streaming goes with one dataset, without dataset_weights")

    @property
    def classes(self):
        """Outputs per finding while training: 3 where uncertain is a class of its own."""
        return 3 if "multi-class" in self.uncertain else 1


# What a value may be

TYPES = get_type_hints(Settings)
BOUNDS = {field.name: field.metadata["bounds"] for field in fields(Settings)}
MACHINE = [field.name for field in fields(Settings) if field.metadata["machine"]]
WITHIN = {
    "at_least": lambda value, bound: value >= bound,
    "above": lambda value, bound: value > bound,
    "below": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
}
WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", type(None): "null"}


def check(name, value):
    """Raise ValueError where the setting of this name cannot have the value."""
    if not any(is_of(value, kind) for kind in kinds(TYPES[name])):
        raise ValueError(f"{name} is {value!r:.80}; it must be {' or '.join(map(in_words, kinds(TYPES[name])))}")
    for number in value if isinstance(value, list) else [value]:
        if number is not None and not all(WITHIN[kind](number, bound) for kind, bound in BOUNDS[name].items()):
            bounds = " and ".join(f"{kind.replace('_', ' ')} {bound}" for kind, bound in BOUNDS[name].items())
            raise ValueError(f"{name} is {number}; it must be {bounds}")


def kinds(hint):
    """The types of which a value has one: `int | None` is int and NoneType."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def is_of(value, kind):
    """Whether a value has a type as it is, nothing converted but a whole number to a float."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(is_of(item, *get_args(kind)) for item in value)
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max  # which NaN is not either
    return type(value) is kind


def in_words(kind):
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return f"a list (each item: {in_words(*get_args(kind))})" if get_origin(kind) is list else WORDS[kind]


# Command line and presets


class Flags(HfArgumentParser):
    """A flag for each setting. What is wrong is a ValueError of one line; a flag's list takes the preset's place."""

    def add_argument(self, *names, machine=None, bounds=None, **options):
        if options.get("nargs") == "+":
            options["action"] = Gather
        return super().add_argument(*names, **options)

    def error(self, message):
        raise ValueError(message)


class Gather(Action):
    """`--flag A B` and `--flag A --flag B` are both [A, B]; argparse's "extend" would add them to the default."""

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if before is self.default else [*before, *values])


def presets():
    """The names of the presets in recipes/configs."""
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def parse_settings(argv=None):
    """Settings from the command line: a preset named by `--model`, then the flags on top of it.

    Raises ValueError, in one line, for a wrong flag, a preset with a wrong key or value, and for settings that do not
    go together.
    """
    parser = Flags(
        Settings,
        description="Fine-tune an image classifier on chest X-rays. A preset's settings stand above the defaults here.",
        allow_abbrev=False,
    )
    asked, unknown = parser.parse_known_args(argv)
    if unknown:
        name = unknown[0].removeprefix("--").partition("=")[0].replace("-", "_")
        raise ValueError(f"{unknown[0]} is no flag; --help lists them{nearest(name, TYPES, flag=True)}")
    own = asked.model.endswith((".yaml", ".yml"))
    preset = Path(asked.model) if own else PRESETS / f"{asked.model}.yaml"
    if own or preset.is_file():
        values = read_preset(preset)
        parser.set_defaults(**values)
        asked = parser.parse_args(argv)
        asked.output_dir = asked.output_dir or f"runs/{preset.stem}"
        asked.model = values["model"]
    settings = Settings(**vars(asked))
    settings.refuse_contradictions()
    return settings


def read_preset(path):
    """A preset's settings; the .json of its model is looked for beside it."""
    values, lines = read_yaml(path)
    for name, value in values.items():
        if name not in TYPES:
            raise ValueError(f"{path}, line {lines[name]}: {name} is no setting{nearest(name, TYPES)}")
        check_at(f"{path}, line {lines[name]}", name, value)
    if "model" not in values:
        raise ValueError(f"{path} names no model")
    if values["model"].endswith(".json"):
        values["model"] = str(path.with_name(values["model"]))
    return values


# Files


def write_settings(settings, folder):
    marks = {"explicit_start": True, "explicit_end": True}  # which tell a file that was cut off from an older one
    text = yaml.safe_dump(asdict(settings), sort_keys=False, allow_unicode=True, **marks)
    (folder / "settings.yaml").write_text(text, encoding="utf-8")


def read_settings(place):
    """The settings a run was made with, from its settings.yaml or the folder that holds it.

    What an older version did not write yet has its default; `dataset` is [] where the file names none, as in a
    published checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, a value is none of its setting's, or a key is no setting. The message names the
            file and the line.
    """
    path = Path(place) / "settings.yaml" if Path(place).is_dir() else Path(place)
    values, lines = read_yaml(path)
    text = path.read_text(encoding="utf-8").rstrip()
    if text.startswith("---") and not text.endswith("\n..."):
        raise ValueError(f"{path} is cut off: what begins with --- ends with ... in a line of its own")
    return settings_of(values, lines, path)


def settings_of(values, lines, path):
    """Settings that a run has written down, {name: value}; lines and path: where, for a message.

    Raises ValueError as `read_settings`.
    """
    for name, value in values.items():
        place = f"{path}, line {lines[name]}" if lines else path
        if name not in TYPES:
            raise ValueError(
                f"{place}: {name} is no setting here. If another version of these recipes wrote the file, use that one"
                f"{nearest(name, TYPES)}"
            )
        check_at(place, name, value)
    return Settings(**{"dataset": [], **values})


def check_at(place, name, value):
    """`check`, its message with the place, and with what YAML may have made of the value."""
    try:
        check(name, value)
    except ValueError as error:
        hint = ""
        if isinstance(value, bool):
            hint = ". YAML takes a plain yes, no, on or off for true or false: put it in quotes"
        elif isinstance(value, str) and {int, float} & set(kinds(TYPES[name])):
            hint = ". YAML takes a number in quotes, and one like 1e-4, for text: write 1.0e-4"
        raise ValueError(f"{place}: {error}{hint}") from None


def read_yaml(path):
    """({key: value}, {key: line}) of a YAML file of `name: value`; ValueError in one line where it is no such file."""
    text = builder_file.read_text(path)
    try:
        values, tree = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no list of settings, each as `name: value`")
    lines = {}
    for key, _ in tree.value:
        line = key.start_mark.line + 1
        if lines.setdefault(key.value, line) != line:
            raise ValueError(f"{path}, line {line}: {key.value} comes a second time, first in line {lines[key.value]}")
    if odd := [key for key in values if key not in lines]:
        raise ValueError(f"{path} has {odd[0]!r} where the name of a setting is expected")
    return values, lines


def differing(settings, others):
    """What two `Settings` would learn differently: "epochs 15, not 1", one string each."""
    others = asdict(others)
    return [
        f"{name} {others[name]}, not {value}"
        for name, value in asdict(settings).items()
        if name not in MACHINE and others[name] != value and not is_same_file(others[name], value)
    ]


def is_same_file(one, other):
    """Whether two settings are two spellings of one file or folder."""
    paths = [Path(value) for value in (one, other) if isinstance(value, str)]
    return len(paths) == 2 and all(path.exists() for path in paths) and paths[0].samefile(paths[1])


def refuse_others(folder, settings):
    """Raise ValueError where the finished run in `folder` was made with other settings."""
    if found := differing(settings, read_settings(folder)):
        raise ValueError(f"{folder} holds a finished run with {'; '.join(found)}. Give another --output-dir.")
