"""Settings from the command line: a preset, and flags on top of it.

Nothing here imports PyTorch, Transformers or `datasets`, so `--help` and a wrong flag are answered at once.
"""

import dataclasses
import os
import sys
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, HelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from chestxray.flags import nearest, nearest_choice, nearest_path
from chestxray.models.model_names import refuse_unknown_name
from chestxray.repository import PRESETS
from chestxray.training.idle_settings import set_idle
from chestxray.training.settings import TYPES, Settings, kinds
from chestxray.training.settings_files import check_at, read_yaml, refuse_other_settings

TRUTH = {"yes": True, "true": True, "t": True, "y": True, "1": True}
TRUTH |= {"no": False, "false": False, "f": False, "n": False, "0": False}


class Flags(ArgumentParser):
    """A parser whose error is a ValueError of one line."""

    def error(self, message):
        raise ValueError(message + nearest_choice(message))


class HelpText(HelpFormatter):
    """Defaults stand behind the help where there is a value to show; what is true or false shows no value."""

    def _get_help_string(self, action):
        no_value = isinstance(action.default, bool) or action.default in (None, [], SUPPRESS)
        return action.help if no_value else f"{action.help} (default: {action.default})"

    def _format_args(self, action, default_metavar):
        return "" if is_switch(action) else super()._format_args(action, default_metavar)


def is_switch(action):
    return action.type is truth and action.nargs == "?"


def settings_parser() -> Flags:
    """A parser with a flag for each setting: `--image-size`, or `--image_size` as of Transformers' HfArgumentParser."""
    parser = Flags(
        usage="finetune.py [--model MODEL] [--dataset DATASET ...] [--output-dir DIR] [more settings]",
        description="Fine-tune an image classifier on chest X-rays. A preset's settings replace the defaults below.",
        formatter_class=HelpText,
        allow_abbrev=False,
    )
    for field in dataclasses.fields(Settings):
        if title := field.metadata["group"]:
            group = parser.add_argument_group(title)
        add_flag(group, field)
    return parser


def add_flag(group: Any, field: dataclasses.Field) -> None:
    """Add the flag of a setting; `--no-NAME` too, if the setting is true by default. Help shows one spelling of one."""
    name, is_list, text = field.name, field.default is dataclasses.MISSING, field.metadata["help"]
    default = field.default_factory() if is_list else field.default  # type: ignore[misc,operator]
    options = {"dest": name, "default": default, **value_options(name, default)}
    shown, *others = spellings(name)
    group.add_argument(shown, help=SUPPRESS if default is True else text, **options)
    for other in others:
        group.add_argument(other, help=SUPPRESS, **options)
    if default is True:
        shown, *others = spellings(f"no-{name}")
        for flag in (shown, *others):
            text = field.metadata["without"] if flag == shown else SUPPRESS
            group.add_argument(flag, action="store_false", dest=name, default=default, help=text)


def spellings(name):
    return dict.fromkeys(f"--{word}" for word in (name.replace("_", "-"), name.replace("-", "_")))


def value_options(name: str, default: Any) -> dict[str, Any]:
    """What argparse has to know of a setting's value. A flag's list replaces the preset's."""
    kind = next(kind for kind in kinds(TYPES[name]) if kind is not type(None))
    word = name.rpartition("_")[2].upper()
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is list:
        return {"type": get_args(kind)[0], "nargs": "+", "action": Gather, "metavar": word}
    if kind is bool:
        return {"type": truth, "metavar": "true|false", **({} if default is None else {"nargs": "?", "const": True})}
    return {"type": kind, "metavar": {int: "N", float: "X"}.get(kind, word)}


def truth(text: str) -> bool:
    """Raises ArgumentTypeError for anything but a word of TRUTH."""
    if text.lower() not in TRUTH:
        raise ArgumentTypeError(f"{text} is neither true nor false")
    return TRUTH[text.lower()]


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
    parser = settings_parser()
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


def answer_at_once(script: str) -> None:
    """Print the help, or end with one line about a wrong flag, as `parse_settings` would later.

    A script calls this before it imports PyTorch, which takes seconds, and 20 where others use the machine.
    """
    asked = sys.argv[1:]
    try:
        found, unknown = settings_parser().parse_known_args(asked)
        refuse_unknown(unknown)
        refuse_missing_folders([*(found.dataset or []), found.model])
        if not find_preset(found.model):
            refuse_unknown_name(found.model, presets())
        answer_finished(Path(found.output_dir or f"runs/{Path(found.model).stem}"))
    except (ValueError, OSError) as error:
        raise SystemExit(f"{script}: {error}") from None


def answer_finished(output: Path) -> None:
    """Say at once that a run is finished. Raises ValueError if it was made with other settings."""
    if (output / "all_results.json").exists():
        refuse_other_settings(output, parse_settings())
        if not int(os.environ.get("RANK", 0)):
            print(f"{output} holds a finished run. Comparing its images with today's …", flush=True)


def flag_names(argv):
    """The settings that a command line names, whatever their values."""
    return {word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")}


def refuse_unknown(flags):
    """Raise ValueError for the first of these flags, which no setting has."""
    if flags:
        name = flags[0].removeprefix("--").partition("=")[0].replace("-", "_")
        known = [*TYPES, *(f"no_{field.name}" for field in dataclasses.fields(Settings) if field.default is True)]
        raise ValueError(f"{flags[0]} is no flag; --help lists them{nearest(name, known, flag=True)}")


def refuse_missing_folders(sources: Sequence[str]) -> None:
    """Raise FileNotFoundError for the first source that is no folder and, by its form, no Hub id either.

    `out/smaple` could be a Hub id. Where there is a folder with a similar name, it is taken for a folder. What is in
    `runs`, where finetune.py writes, always is one.
    """
    for source in sources:
        path = Path(source)
        near = "" if path.exists() else nearest_path(path)
        is_place = path.is_absolute() or source.startswith((".", "~", "runs/")) or len(path.parts) > 2
        if not path.exists() and (is_place or near and "/" in source):
            raise FileNotFoundError(f"{source} is neither a folder nor a repository on the Hub: no such folder{near}")


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
        values["model"] = str(path.parent / values["model"])
    return values
