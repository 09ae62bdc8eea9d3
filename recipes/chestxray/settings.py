"""Every setting of a fine-tune, and how a preset and the command line fill it."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from chestxray import labels

REPOSITORY = Path(__file__).parents[2]
PRESETS = REPOSITORY / "recipes" / "configs"
SAMPLE = str(REPOSITORY / "data" / "sample")
# What may differ between two starts of one run: it says where and how fast, not what is learnt.
MACHINE = (
    *(
        "output_dir",
        "allow_missing",
        "device_batch_size",
        "mixed_precision",
        "compile",
        "channels_last",
        "gradient_checkpointing",
    ),
    *("cache", "num_proc", "workers", "checkpoint_steps", "trackers", "push_to_hub", "public"),
)
COUNTS = (
    "epochs",
    "batch_size",
    "device_batch_size",
    "image_size",
    "resize",
    "num_proc",
    "patience",
    "checkpoint_steps",
    "layer_decay_blocks",
)


def setting(default, help, **parsed):
    return field(default=default, metadata={"help": help, **parsed})


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
        None, "side in pixels the model sees, its own by default; position embeddings are interpolated to another"
    )
    resize: int | None = setting(
        None,
        "side to which whole images are shrunk, of which image_size is cut from the middle; by default image_size, and "
        "without either what the checkpoint itself does",
    )
    drop_path: float | None = setting(
        None, "stochastic depth (Huang et al. 2016) of the last block, earlier ones have less; the model's own"
    )
    pooling: Literal["avg", "token"] | None = setting(None, "of a timm ViT's tokens before the head; the model's own")

    # Data
    dataset: list[str] | None = setting(
        None,
        "a folder: NIH's archive in any layout, CheXpert, MIMIC-CXR-JPG, tar shards or Parquet; or a Hub id. Several "
        "are trained on together. data/sample by default",
        action="extend",
    )
    dataset_weights: list[float] | None = setting(
        None, "how often images of each dataset are drawn, relative to the others; by default all images alike"
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
    output_dir: str | None = setting(None, "where checkpoint, results and picture go; runs/MODEL by default")
    allow_missing: bool = setting(False, "accept an archive that holds fewer images than its lists name")
    streaming: bool = setting(False, "read the images from the Hub as training goes; nothing is stored")
    validation_list: str | None = setting(
        None, "a file that names the images of train to validate on, one per line; by default one patient in eight"
    )
    equalize: bool = setting(False, "equalise every image's histogram, as MIMIC-CXR-JPG comes")

    # Augmentation, drawn anew in each epoch
    crop: float = setting(1.0, "smallest share of the area in a random crop; 1 for none")
    flip: float = setting(0.5, "probability of a mirror image")
    rotate: float = setting(7.0, "degrees at most, either way")
    scale: float = setting(0.1, "share by which images grow or shrink at most")
    shift: float = setting(0.05, "share of the side by which images move at most")
    contrast: float = setting(0.1, "share by which contrast, and half by which brightness, changes")
    randaugment: float = setting(0.0, "magnitude of RandAugment's two operations, of 10; 0 for none")
    mixup: float = setting(0.0, "alpha of mixup (Zhang et al. 2018); 0 for none")

    # Loss
    loss: Literal["bce", "asl"] = setting("bce", "binary cross-entropy, or the asymmetric loss of Ridnik et al. 2021")
    positive_weights: bool = setting(False, "weigh each finding's positives by negatives / positives of train")
    label_smoothing: float = setting(0.0, "targets become this much more like 1/2")

    # Optimisation: AdamW
    epochs: int = setting(10, "passes over the training images; the best one on validation is kept")
    batch_size: int = setting(64, "images per step, all processes and accumulated parts together")
    learning_rate: float = setting(1e-4, "at its peak")
    schedule: Literal["cosine", "constant"] = setting("cosine", "of the rate after warm-up, by step")
    warmup_epochs: float = setting(1.0, "over which the rate rises from 0; at most half of the run")
    final_rate: float = setting(0.0, "share of the peak at which the cosine ends")
    layer_decay: float = setting(1.0, "factor of the rate from each block to the one below it (Clark et al. 2020)")
    layer_decay_blocks: int = setting(1, 'how many neighbouring blocks share a rate; 3 is the "group" of ConvNeXt V2')
    weight_decay: float = setting(0.05, "of the matrices of layers; none on norms, biases, scales, positions, tokens")
    clip: float | None = setting(None, "norm to which gradients are clipped")
    ema: float = setting(0.0, "decay of the moving average of the weights, which is then what is scored; 0 for none")
    patience: int | None = setting(None, "epochs without a better validation AUROC after which to stop")
    seed: int = setting(0, "of the new head, the order of the images, dropout and augmentation")

    # Machine: changes nothing in what is learnt but rounding
    device_batch_size: int | None = setting(
        None, "images per pass on one device, the rest is accumulated; what fits by default, 32 on a CPU"
    )
    mixed_precision: Literal["no", "fp16", "bf16"] | None = setting(None, "bf16 by default on a GPU that has it")
    compile: bool = setting(False, "torch.compile the model")
    channels_last: bool | None = setting(None, "memory layout; by default on a GPU")
    gradient_checkpointing: bool = setting(False, "compute activations twice to need less memory")
    cache: bool = setting(True, "keep every image, shrunk, in datasets' cache; without, decode it in every epoch")
    num_proc: int | None = setting(None, "processes that decode images; one per core by default")
    workers: int | None = setting(None, "processes that read batches; 2 by default on a GPU, otherwise 0")
    checkpoint_steps: int = setting(500, "steps from one checkpoint to the next; there is one after each epoch too")
    trackers: list[str] = field(
        default_factory=list, metadata={"help": "tensorboard, wandb, trackio or another of Accelerate's, or all"}
    )
    push_to_hub: str | None = setting(None, "repository to which the finished checkpoint goes, with its model card")
    public: bool = setting(False, "let everybody see that repository where it is new; private by default")

    def __post_init__(self):
        self.dataset = [
            str(Path(source).resolve()) if Path(source).is_dir() else source for source in self.dataset or [SAMPLE]
        ]
        self.output_dir = self.output_dir or f"runs/{Path(self.model).stem}"
        self.pretrained = self.pretrained and not self.model.endswith(".json")  # which has no weights
        labels.Policy.parse(self.uncertain, self.blank, self.teacher)
        if self.classes > 1 and (self.mixup or self.label_smoothing or self.positive_weights or self.loss != "bce"):
            raise ValueError("multi-class labels take neither mixup, label_smoothing, positive_weights nor loss asl")
        if self.dataset_weights and len(self.dataset_weights) != len(self.dataset):
            raise ValueError(f"{len(self.dataset_weights)} dataset_weights for {len(self.dataset)} datasets")
        if self.validation_list and len(self.dataset) > 1:
            raise ValueError("a validation_list goes with one dataset")
        if self.public and not self.push_to_hub:
            raise ValueError("public says who sees the repository of push_to_hub: give --push-to-hub as well")
        if self.streaming and (len(self.dataset) > 1 or self.dataset_weights):
            raise ValueError("streaming goes with one dataset, without dataset_weights")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)}; choose from {', '.join(map(str, choices))}")
        for name in ("learning_rate", "warmup_epochs", "weight_decay", "mixup", "workers"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be less than 0")
        if self.clip is not None and self.clip <= 0:
            raise ValueError(f"clip is {self.clip}; it is a norm, above 0")
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < (name != "epochs"):
                raise ValueError(f"{name} is {value}; it counts and cannot be less than {int(name != 'epochs')}")
        for name in ("crop", "layer_decay"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share, above 0 and at most 1")
        for name in ("flip", "drop_path", "label_smoothing", "final_rate", "ema"):
            if not 0 <= (getattr(self, name) or 0) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it lies between 0 and 1")

    @property
    def classes(self):
        """Outputs per finding while training: 3 where uncertain is a class of its own."""
        return 3 if "multi-class" in self.uncertain else 1


def admitted(hint):
    """The values of a Literal, with None where it is optional; () for any other type."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    literals = [value for part in get_args(hint) for value in admitted(part)]
    return (*literals, None) if literals else ()


CHOICES = {name: admitted(hint) for name, hint in get_type_hints(Settings).items() if admitted(hint)}


def parse_settings(argv=None):
    """Settings from the command line: a preset named by `--model`, then the flags on top of it.

    Raises ValueError for a wrong flag and for a preset with a key that is no setting.
    """
    parser = HfArgumentParser(
        Settings,
        description="Fine-tune an image classifier on chest X-rays. A preset's settings stand above the defaults here.",
        allow_abbrev=False,
    )
    (asked,) = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    own = asked.model.endswith((".yaml", ".yml"))
    preset = Path(asked.model) if own else PRESETS / f"{asked.model}.yaml"
    if not own and not preset.is_file():
        return asked
    values = read_preset(preset)
    parser.set_defaults(**values)
    (settings,) = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    return replace(settings, model=values["model"])


def read_preset(path):
    """A preset's settings; the .json of its model is looked for beside it."""
    values = yaml.safe_load(path.read_text())
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no list of settings, each as `name: value`")
    if unknown := set(values) - {field.name for field in fields(Settings)}:
        raise ValueError(f"{path} has keys that are no settings: {', '.join(sorted(unknown))}")
    if "model" not in values:
        raise ValueError(f"{path} names no model")
    if values["model"].endswith(".json"):
        values["model"] = str(path.with_name(values["model"]))
    return values


def write_settings(settings, folder):
    (folder / "settings.yaml").write_text(yaml.safe_dump(asdict(settings), sort_keys=False))


def differing(settings, others):
    """What two sets of settings, one as a dict, would learn differently: "epochs 15, not 1", one string each."""
    return [
        f"{name} {others.get(name)}, not {value}"
        for name, value in asdict(settings).items()
        if name not in MACHINE and others.get(name) != value
    ]


def refuse_others(folder, settings):
    """Raise ValueError where the finished run in `folder` was made with other settings."""
    if found := differing(settings, yaml.safe_load((folder / "settings.yaml").read_text())):
        raise ValueError(f"{folder} holds a finished run with {'; '.join(found)}. Give another --output-dir.")
