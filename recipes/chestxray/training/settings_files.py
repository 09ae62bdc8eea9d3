"""Settings as YAML: presets, and the settings.yaml that a run leaves beside its checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from chestxray.flags import nearest
from chestxray.training.settings import MACHINE, TYPES, Settings, check, kinds


def write_settings(settings: Settings, folder: Path) -> None:
    """Write `settings.yaml` into a folder."""
    marks = {"explicit_start": True, "explicit_end": True}  # without the end mark, a file is cut off
    text = yaml.safe_dump(asdict(settings), sort_keys=False, allow_unicode=True, **marks)
    (folder / "settings.yaml").write_text(text, encoding="utf-8")


def read_settings(place: str | Path) -> Settings:
    """The settings of a run, from its settings.yaml or the folder that holds it.

    If an older version did not know a setting, it has its default. `dataset` is [] if the file names none, as in a
    published checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, a setting cannot have its value, or a key is no setting. The message names the file
            and the line.
    """
    path = Path(place) / "settings.yaml" if Path(place).is_dir() else Path(place)
    values, lines = read_yaml(path)
    text = path.read_text(encoding="utf-8").rstrip()
    if text.startswith("---") and not text.endswith("\n..."):
        raise ValueError(f"{path} is cut off: what begins with --- ends with ... in a line of its own")
    return settings_from(values, lines, path)


def settings_from(values: Mapping[str, Any], lines: Mapping[str, int] | None, path: Path) -> Settings:
    """Settings from what a run has written, {name: value}. lines, path: where, for a message.

    Raises:
        ValueError: as `read_settings`.
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


def check_at(place: str | Path, name: str, value: Any) -> None:
    """`check` a value from YAML. The message names the place, and says what YAML may have made of the value."""
    try:
        check(name, value)
    except ValueError as error:
        hint = ""
        if isinstance(value, bool):
            hint = ". YAML takes a plain yes, no, on or off for true or false: put it in quotes"
        elif isinstance(value, str) and {int, float} & set(kinds(TYPES[name])):
            hint = ". YAML takes a number in quotes, and one like 1e-4, for text: write 1.0e-4"
        raise ValueError(f"{place}: {error}{hint}") from None


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """({key: value}, {key: line}) of a YAML file of `name: value`. Raises ValueError, in one line, for another file."""
    from chestxray.data.nih import builder_file  # imports `datasets`, which a wrong flag does not need

    text = builder_file.read_text(path)
    try:
        values, tree = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no list of settings, each as `name: value`")
    lines = line_numbers(tree, path)
    if odd := [key for key in values if key not in lines]:
        raise ValueError(f"{path} has {odd[0]!r} where the name of a setting is expected")
    return values, lines


def line_numbers(tree, path):
    """{key: line} of a YAML mapping. Raises ValueError for a key that comes twice."""
    lines = {}
    for key, _ in tree.value:
        line = key.start_mark.line + 1
        if lines.setdefault(key.value, line) != line:
            raise ValueError(f"{path}, line {line}: {key.value} comes a second time, first in line {lines[key.value]}")
    return lines


def differences(settings: Settings, others: Settings) -> list[str]:
    """Where `others` would learn something else than `settings`: "epochs 15, not 1", one string each."""
    theirs = asdict(others)
    return [
        f"{name} {theirs[name]}, not {value}"
        for name, value in asdict(settings).items()
        if name not in MACHINE and theirs[name] != value and not is_same_file(theirs[name], value)
    ]


def is_same_file(one, other):
    """Whether two values are two spellings of one file or folder."""
    paths = [Path(value) for value in (one, other) if isinstance(value, str)]
    return len(paths) == 2 and all(path.exists() for path in paths) and paths[0].samefile(paths[1])


def refuse_other_settings(folder: Path, settings: Settings) -> None:
    """Raise ValueError if the finished run in `folder` was made with other settings."""
    if found := differences(settings, read_settings(folder)):
        raise ValueError(
            f"{folder} holds a finished run with {'; '.join(found)}. Give another --output-dir. "
            f"--model {folder}/settings.yaml trains anew with the settings of this run; --model {folder} goes on from "
            "its weights, with a new schedule and default settings."
        )
