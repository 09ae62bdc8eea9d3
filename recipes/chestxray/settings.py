"""Every setting of a fine-tune, and how a preset and the command line fill it."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import yaml
from transformers import HfArgumentParser

REPOSITORY = Path(__file__).parents[2]
PRESETS = REPOSITORY / "recipes" / "configs"


def setting(default, help):
    return field(default=default, metadata={"help": help})


@dataclass
class Settings:
    """One pass over this class is the recipe: data, model, augmentation, optimisation."""

    model: str = setting(
        "sample",
        "a preset in recipes/configs or your own as .yaml, a Hub repository (transformers or timm), a checkpoint's "
        "folder, a timm name, or a transformers config as .json: an architecture without weights",
    )
    dataset: str = setting(
        str(REPOSITORY / "data" / "sample"),
        "a folder with NIH's archive in any layout, a folder of Parquet, or a Hub id",
    )
    output_dir: str | None = setting(None, "where checkpoint, results and picture go; runs/MODEL by default")
    allow_missing: bool = setting(False, "accept an archive that holds fewer images than the official lists name")

    pretrained: bool = setting(True, "start from the model's weights; without, from random ones")
    image_size: int | None = setting(None, "side in pixels the model sees; the model's own by default")

    flip: float = setting(0.5, "augmentation: probability of a mirror image")
    rotate: float = setting(7.0, "augmentation: degrees at most, either way")
    scale: float = setting(0.1, "augmentation: share by which images grow or shrink at most")
    shift: float = setting(0.05, "augmentation: share of the side by which images move at most")
    contrast: float = setting(0.1, "augmentation: share by which contrast, and half by which brightness, changes")

    epochs: int = setting(10, "passes over the training images; the best one on validation is kept")
    batch_size: int = setting(64, "images per step, all processes together")
    learning_rate: float = setting(1e-4, "of AdamW, at its peak")
    weight_decay: float = setting(0.05, "of AdamW; none on norms and biases")
    warmup: float = setting(0.1, "share of the steps over which the rate rises, before it falls along a cosine")
    seed: int = setting(0, "of the new head, the order of the images and the augmentation")
    num_proc: int | None = setting(None, "processes that decode images; one per core by default")

    def __post_init__(self):
        self.output_dir = self.output_dir or f"runs/{Path(self.model).stem}"
        self.pretrained = self.pretrained and not self.model.endswith(".json")  # which has no weights
        for name in ("epochs", "batch_size", "image_size", "num_proc"):
            value = getattr(self, name)
            if value is not None and value < (name != "epochs"):
                raise ValueError(f"{name} is {value}; it counts and cannot be less than {int(name != 'epochs')}")


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
    if unknown := set(values) - {field.name for field in fields(Settings)}:
        raise ValueError(f"{path} has keys that are no settings: {', '.join(sorted(unknown))}")
    if "model" not in values:
        raise ValueError(f"{path} names no model")
    if values["model"].endswith(".json"):
        values["model"] = str(path.with_name(values["model"]))
    return values


def write_settings(settings, folder):
    (folder / "settings.yaml").write_text(yaml.safe_dump(asdict(settings), sort_keys=False))


def refuse_others(folder, settings):
    """Raise ValueError where the finished run in `folder` was made with other settings; num_proc changes nothing."""
    made_with = yaml.safe_load((folder / "settings.yaml").read_text())
    differing = [
        f"{name} {made_with.get(name)}, not {value}"
        for name, value in asdict(settings).items()
        if name not in ("num_proc", "output_dir") and made_with.get(name) != value
    ]
    if differing:
        raise ValueError(f"{folder} holds a finished run with {'; '.join(differing)}. Give another --output-dir.")
