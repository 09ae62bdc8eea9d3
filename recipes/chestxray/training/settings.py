"""Every setting of a fine-tune: its type, default, bounds and meaning."""

import json
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from chestxray.data import label_choices
from chestxray.repository import SAMPLE

if TYPE_CHECKING:
    from chestxray.data.labels import Policy
    from chestxray.images.augment import Strength


def setting(default: Any, help: str, machine: bool = False, without: str = "", group: str = "", **bounds: float) -> Any:
    """A field of `Settings` with all that is known of it.

    Args:
        machine: the setting says where and how fast a run learns, not what. It may change when the run goes on.
        without: the help of `--no-NAME`, for a setting that is true by default.
        group: the heading of this setting and of those that follow.
        bounds: `at_least`, `above`, `below`, `at_most`: of the number, or of each number in a list.
    """
    kept = {"default_factory": list} if default is list else {"default": default}
    return field(
        **kept, metadata={"help": help, "machine": machine, "without": without, "group": group, "bounds": bounds}
    )


@dataclass
class Settings:
    """The recipe, from top to bottom: model, data, augmentation, loss, optimisation; then the machine."""

    model: str = setting(
        "sample",
        "a preset in recipes/configs or your own as .yaml, a Hub repository (transformers or timm), a checkpoint's "
        "folder, a timm name, or a transformers config as .json: an architecture without weights",
        group="Model",
    )
    weights: str | None = setting(
        None,
        "a folder with a copy of the model's repository (config.json, model.safetensors), if there is no network; "
        "by default the Hub has it",
    )
    pretrained: bool = setting(True, "start from the model's weights", without="start from random weights")
    image_size: int | None = setting(
        None,
        "side of the images that the model sees, in pixels; by default its own. Position embeddings are interpolated",
        at_least=1,
    )
    resize: int | None = setting(
        None,
        "side to which whole images are shrunk before image_size is cut from the middle; by default image_size. "
        "Without both settings, the checkpoint's own way is used",
        at_least=1,
    )
    drop_path: float | None = setting(
        None,
        "stochastic depth (Huang et al. 2016) of the last block; earlier blocks have less; by default the model's own",
        at_least=0,
        below=1,
    )
    pooling: Literal["avg", "token", "lse"] | None = setting(
        None,
        "how a timm ViT pools its tokens before the head; lse, for timm's networks of convolutions, is a soft maximum "
        "of the class activation map. By default the model's own",
    )
    stages: int | None = setting(
        None,
        "how many stages of a timm EfficientNet are kept, so that a cell of its map sees a part of the image; all by "
        "default",
        at_least=1,
    )
    freeze: bool = setting(
        False,
        "train the head alone: a linear probe. Each image's features are computed once, so nothing is augmented",
    )

    dataset: list[str] | None = setting(
        None,
        "a folder: NIH's archive in any layout, CheXpert, MIMIC-CXR-JPG, tar shards or Parquet; or a Hub id. Several "
        "are trained on together. data/sample by default",
        group="Data",
    )
    dataset_weights: list[float] | None = setting(
        None, "how often images of each dataset are drawn, relative to the others; by default all images alike", above=0
    )
    findings: Literal[label_choices.CHOICES] | None = setting(  # type: ignore[valid-type]
        None, "which findings the model predicts; by default all that the datasets label"
    )
    uncertain: str = setting(
        "ignore",
        f"what an uncertain label counts as: {', '.join(label_choices.WORDS)} or {', '.join(label_choices.PRESETS)}; "
        "for single findings with commas: zeros,Edema=ones",
    )
    blank: Literal[label_choices.BLANKS] = setting(  # type: ignore[valid-type]
        "negative", "what an observation counts as if the report does not mention it"
    )
    teacher: str | None = setting(None, "predictions file of score.py --split train, for --uncertain self-trained")
    labeler: Literal["chexpert", "negbio", "both", "radiologist"] = setting(
        "chexpert", "whose labels of MIMIC-CXR to use"
    )
    views: Literal["all", "frontal"] = setting("all", "which images are trained on and scored")
    output_dir: str | None = setting(
        None, "where checkpoint, results and picture go; runs/MODEL by default", machine=True
    )
    allow_missing: bool = setting(False, "accept an archive that holds fewer images than its lists name", machine=True)
    streaming: bool = setting(False, "read the images from the Hub during training; nothing is stored")
    validation_list: str | None = setting(
        None, "a file that names the images of train to validate on, one per line; by default one patient in eight"
    )
    train_images: int | None = setting(
        None,
        "keep only so many images of train: patients in the order of a hash, so that fewer images are among more; all "
        "by default. Validation and test stay whole",
        at_least=1,
    )
    test: bool = setting(
        True,
        "score the best model on test at the end",
        without="leave test unread, to compare settings on validation",
    )
    equalize: bool = setting(False, "equalise every image's histogram; MIMIC-CXR-JPG's are equalised already")

    crop: float = setting(
        1.0,
        "smallest share of the area in a random crop; 1 for none",
        above=0,
        at_most=1,
        group="Augmentation, with new random numbers in each epoch",
    )
    flip: float = setting(0.5, "probability of a mirror image", at_least=0, at_most=1)
    rotate: float = setting(7.0, "largest rotation in degrees, to both sides", at_least=0, at_most=180)
    scale: float = setting(0.1, "share by which images grow or shrink at most", at_least=0, below=1)
    shift: float = setting(0.05, "share of the side by which images move at most", at_least=0, at_most=1)
    contrast: float = setting(
        0.1, "share by which contrast changes at most; brightness changes by half of it", at_least=0, at_most=1
    )
    randaugment: float = setting(
        0.0, "magnitude of RandAugment's two operations, of 10; 0 for none", at_least=0, at_most=10
    )
    mixup: float = setting(0.0, "alpha of mixup (Zhang et al. 2018); 0 for none", at_least=0)

    loss: Literal["bce", "asl"] = setting(
        "bce", "binary cross-entropy, or the asymmetric loss of Ridnik et al. 2021", group="Loss"
    )
    positive_weights: bool = setting(False, "weigh each finding's positives by negatives / positives of train")
    label_smoothing: float = setting(0.0, "share by which targets move towards 1/2", at_least=0, at_most=1)
    box_weight: float = setting(
        0.0,
        "weight of each box in train beside one label: the class activation map learns to lie in the boxes; 0 for none",
        at_least=0,
    )

    epochs: int = setting(
        10,
        "passes over the training images; the best one on validation is kept",
        at_least=0,
        group="Optimisation (AdamW)",
    )
    batch_size: int = setting(64, "images per step, all processes and accumulated parts together", at_least=1)
    learning_rate: float = setting(1e-4, "the highest rate, after warm-up", at_least=0)
    schedule: Literal["cosine", "constant"] = setting("cosine", "how the rate changes after warm-up, in each step")
    warmup_epochs: float = setting(1.0, "epochs in which the rate rises from 0; at most half of the run", at_least=0)
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
        0.0, "decay of the moving average of the weights; the average is then scored; 0 for none", at_least=0, below=1
    )
    patience: int | None = setting(None, "epochs without a better validation AUROC after which to stop", at_least=1)
    seed: int = setting(
        0, "of the new head, the order of the images, dropout and augmentation", at_least=0, below=2**32
    )

    device_batch_size: int | None = setting(
        None,
        "images per pass on one device, the rest is accumulated; by default what fits, 32 on a CPU",
        machine=True,
        at_least=1,
        group="Machine (changes only rounding, not what is learnt)",
    )
    mixed_precision: Literal["no", "fp16", "bf16"] | None = setting(
        None, "bf16 by default on a GPU that has it", machine=True
    )
    compile: bool = setting(False, "torch.compile the model", machine=True)
    channels_last: bool | None = setting(
        None, "memory layout; by default on a GPU, or if the model has batch norm", machine=True
    )
    gradient_checkpointing: bool = setting(False, "compute activations twice to need less memory", machine=True)
    cache: bool = setting(
        True,
        "keep every image, shrunk, in datasets' cache",
        machine=True,
        without="decode the images again in every epoch, and keep none of them",
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
        """Raise ValueError for a value of another type, not among the choices, or out of bounds."""
        for name in TYPES:
            check(name, getattr(self, name))
        self.dataset = [
            str(Path(source).resolve()) if Path(source).is_dir() else source
            for source in ([str(SAMPLE)] if self.dataset is None else self.dataset)
        ]
        self.output_dir = self.output_dir or f"runs/{Path(self.model).stem}"
        self.pretrained = self.pretrained and not self.model.endswith(".json")  # which has no weights

    def refuse_contradictions(self) -> None:
        """Raise ValueError for settings that do not go together, or name no dataset: no run can begin with them."""
        _ = self.policy  # refuses a wrong one
        if self.classes > 1 and (self.mixup or self.label_smoothing or self.positive_weights or self.loss != "bce"):
            raise ValueError("multi-class labels take neither mixup, label_smoothing, positive_weights nor loss asl")
        if not self.dataset:
            raise ValueError("dataset is []; name one, or leave the setting out for data/sample")
        if self.dataset_weights and len(self.dataset_weights) != len(self.dataset):
            raise ValueError(f"{len(self.dataset_weights)} dataset_weights for {len(self.dataset)} datasets")
        if self.validation_list and len(self.dataset) > 1:
            raise ValueError("a validation_list goes with one dataset")
        if self.weights:
            self._refuse_other_weights()
        if self.train_images and len(self.dataset) > 1:
            raise ValueError("train_images goes with one dataset")
        if self.push_to_hub and not self.test:
            raise ValueError("push_to_hub scores test for the model card: leave test false out")
        if self.public and not self.push_to_hub:
            raise ValueError("public says who sees the repository of push_to_hub: give --push-to-hub as well")
        if self.streaming and (len(self.dataset) > 1 or self.dataset_weights):
            raise ValueError("streaming goes with one dataset, without dataset_weights")
        if self.streaming and self.freeze:
            raise ValueError("freeze keeps features, which streaming would not: give --no-cache to keep no pixels")
        if self.freeze and (self.pooling == "lse" or self.stages):
            name = "stages" if self.stages else "pooling lse"
            raise ValueError(f"{name} changes what the body learns, and freeze keeps it as it is: leave one out")
        if self.box_weight:
            self._refuse_without_maps()

    def _refuse_without_maps(self):
        """Raise ValueError if a step has no class activation maps, or no place for a box in them."""
        reasons = {
            "freeze": "learns from features, which have no map",
            "mixup": "lays two images over each other, so that a box would be of one of them only",
            "compile": "leaves out the hooks that read the maps",
            "gradient_checkpointing": "does not keep the map that the boxes need",
        }
        for name, reason in reasons.items():
            if getattr(self, name):
                raise ValueError(f"{name} {reason}: leave it or box_weight out")

    def _refuse_other_weights(self):
        """Raise ValueError unless `weights` can be a copy of `model`."""
        if not self.pretrained:
            raise ValueError(f"weights is {self.weights}, but this run begins with random ones: leave one out")
        file = Path(self.weights or "", "config.json")
        if not file.is_file():
            raise ValueError(f"weights is {self.weights}, where there is no config.json: name a copy of {self.model}")
        try:
            config = dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{file} is damaged: {error}. Copy the repository again") from None
        architecture = config.get("architecture")  # as timm names it
        if architecture and self.model.rpartition("/")[2].partition(".")[0] != architecture:
            raise ValueError(f"{file} is of {architecture}, and so no copy of {self.model}: give it as --model")

    @property
    def source(self) -> str:
        """Where the model comes from: the copy that `weights` names, or `model` itself."""
        return self.weights or self.model

    @property
    def base(self) -> Path | None:
        """The folder or Hub id whose weights the run begins with; None if they are random."""
        return Path(self.source) if self.pretrained else None

    @property
    def policy(self) -> "Policy":
        """What labels that are neither positive nor negative count as."""
        from chestxray.data.labels import Policy  # imports `datasets`, which is not needed to read settings

        return Policy.parse(self.uncertain, self.blank, self.teacher)

    @property
    def classes(self) -> int:
        """Outputs per finding while training: 3 if uncertain is a class of its own."""
        return 3 if "multi-class" in self.uncertain else 1

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments of `classifiers.build_model` besides the model's name and the findings."""
        names = ("image_size", "pretrained", "resize", "drop_path", "pooling", "stages", "classes")
        return {name: getattr(self, name) for name in names}

    @property
    def augmentation(self) -> "Strength":
        """How much images change in training."""
        from chestxray.images.augment import Strength  # imports PyTorch, which is not needed to read settings

        return Strength(**{field.name: getattr(self, field.name) for field in fields(Strength)})


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


def check(name: str, value: Any) -> None:
    """Raise ValueError if the setting of this name cannot have the value."""
    if not any(is_of(value, kind) for kind in kinds(TYPES[name])):
        raise ValueError(f"{name} is {value!r:.80}; it must be {' or '.join(map(in_words, kinds(TYPES[name])))}")
    for number in value if isinstance(value, list) else [value]:
        if number is not None and not all(WITHIN[kind](number, bound) for kind, bound in BOUNDS[name].items()):
            bounds = " and ".join(f"{kind.replace('_', ' ')} {bound}" for kind, bound in BOUNDS[name].items())
            raise ValueError(f"{name} is {number}; it must be {bounds}")


def kinds(hint: Any) -> tuple:
    """The types that a value may have: int and NoneType for `int | None`."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def is_of(value, kind):
    """Whether a value has a type. Nothing is converted; only a whole number counts as a float too."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(is_of(item, *get_args(kind)) for item in value)
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max  # false for NaN
    return type(value) is kind


def in_words(kind):
    """A type as a message names it."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return f"a list (each item: {in_words(*get_args(kind))})" if get_origin(kind) is list else WORDS[kind]
