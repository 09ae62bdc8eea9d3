"""Settings from the command line: a preset, and flags on top of it."""

import sys
from argparse import Action
from collections.abc import Sequence
from pathlib import Path

from transformers import HfArgumentParser

from chestxray.flags import nearest
from chestxray.repository import PRESETS
from chestxray.training.idle_settings import set_idle
from chestxray.training.settings import TYPES, Settings
from chestxray.training.settings_files import check_at, read_yaml


class Flags(HfArgumentParser):
    """A flag for each setting. An error is a ValueError of one line. A flag's list replaces the preset's."""

    def add_argument(self, *names, machine=None, bounds=None, **options):
        if options.get("nargs") == "+":
            options["action"] = Gather
        return super().add_argument(*names, **options)

    def error(self, message):
        raise ValueError(message)


class Gather(Action):
    """`--flag A B` and `--flag A --flag B` both give [A, B]; argparse's "extend" would add them to the default."""

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if before is self.default else [*before, *values])


def presets() -> list[str]:
    """The names of the presets in recipes/configs."""
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def parse_settings(argv: Sequence[str] | None = None) -> Settings:
    """Settings from the command line: a preset named by `--model`, then the flags on top of it.

    Raises:
        ValueError: in one line, for a wrong flag, for a preset with a wrong key or value, and for settings that do not
            go together.
    """
    parser = Flags(
        Settings,  # type: ignore[arg-type]  # mypy does not take a dataclass's type for what HfArgumentParser calls one
        description="Fine-tune an image classifier on chest X-rays. A preset's settings replace the defaults below.",
        allow_abbrev=False,
    )
    asked, unknown = parser.parse_known_args(argv)
    refuse_unknown(unknown)
    named = flag_names(sys.argv[1:] if argv is None else argv)
    if preset := find_preset(asked.model):
        values = read_preset(preset)
        parser.set_defaults(**values)
        asked = parser.parse_args(argv)
        asked.output_dir = asked.output_dir or f"runs/{preset.stem}"
        asked.model = values["model"]
        named |= set(values) if values.get("freeze") else set()
    if asked.freeze:
        set_idle(asked, named)
    settings = Settings(**vars(asked))
    settings.refuse_contradictions()
    return settings


def flag_names(argv):
    """The settings that a command line names, whatever their values."""
    return {word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")}


def refuse_unknown(flags):
    """Raise ValueError for the first of these flags, which no setting has."""
    if flags:
        name = flags[0].removeprefix("--").partition("=")[0].replace("-", "_")
        raise ValueError(f"{flags[0]} is no flag; --help lists them{nearest(name, TYPES, flag=True)}")


def find_preset(model):
    """The file of a preset: any .yaml, or the name of one of ours. None if `model` is something else."""
    if model.endswith((".yaml", ".yml")):
        return Path(model)
    preset = PRESETS / f"{model}.yaml"
    return preset if preset.is_file() else None


def read_preset(path):
    """A preset's settings, {name: value}. The .json of its model lies beside it."""
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
