"""Paths as others may see them: only the last part, or the id of a Hub repository, no place on this machine."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
LOCAL_FILES = (".json", ".yaml", ".yml", ".txt", ".csv", ".parquet")  # no repository's id ends like this
HUB_SETTINGS = ("model", "dataset", "push_to_hub")  # the only settings that may name a repository of the Hub


def place(source: str | Path) -> Path:
    """The same path for every spelling of one folder, or of one Hub id."""
    return Path(source).resolve()


def public_name(source: str) -> str:
    """A Hub id as it is; the last part of a path.

    >>> public_name("/home/someone/nih"), public_name("timm/resnet18.a1_in1k"), public_name("lists/val.txt")
    ('nih', 'timm/resnet18.a1_in1k', 'val.txt')
    """
    return source if is_hub_id(source) else last_part(source)


def is_hub_id(source: str) -> bool:
    """Whether a text has the form of a Hub id and is no file or folder here."""
    return bool(HUB_ID.fullmatch(source)) and not source.endswith(LOCAL_FILES) and not Path(source).exists()


def last_part(text: str) -> str:
    """The last part of a path; for `.` and `~` the name of their folder; a text without a slash as it is."""
    if is_windows(text):
        return PureWindowsPath(text).name
    return os.path.basename(os.path.abspath(os.path.expanduser(text))) if text else text


def is_windows(text: str) -> bool:
    """Whether a text is an absolute path of Windows."""
    return PureWindowsPath(text).is_absolute() and not text.startswith("/")


def without_paths(value: Any) -> Any:
    """A JSON value with every absolute path in it cut to its last part, however deep it lies."""
    if isinstance(value, dict):
        return {without_paths(name): without_paths(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    is_path = isinstance(value, str) and (value.startswith(("/", "~/")) or is_windows(value))
    return last_part(value) if is_path else value


def public_settings(values: dict[str, Any]) -> dict[str, Any]:
    """A fine-tune's settings, in the form that others may read.

    Each string is cut to its last part. A Hub id stays only in the settings that `HUB_SETTINGS` names. So a setting
    that is new, or that somebody wrote by hand, shows no path.
    """
    return {name: shorten(value, public_name if name in HUB_SETTINGS else last_part) for name, value in values.items()}


def shorten(value: Any, name_of: Callable[[str], str]) -> Any:
    """A JSON value with `name_of(text)` in the place of each text, however deep it lies."""
    if isinstance(value, dict):
        return {name: shorten(item, name_of) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shorten(item, name_of) for item in value]
    return name_of(value) if isinstance(value, str) else value


def public_about(about: dict[str, Any]) -> dict[str, Any]:
    """The `about` of `predictions.Predictions`, in the form that others may read."""
    public = without_paths(about)
    if "source" in about:
        public["source"] = public_name(about["source"])
    if "models" in about:
        public["models"] = public_models(about["models"])
    return public


def public_models(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The `models` in `about`, in the form that others may read."""
    return [without_paths(model) | {"checkpoint": last_part(model["checkpoint"])} for model in models]


def folder_names(sources: Sequence[str]) -> list[str]:
    """A different name for each folder or Hub id: the last part of its path, and as many before it as are needed.

    Raises ValueError if one is given twice.

    >>> folder_names(["runs/a/best", "runs/b/best"])
    ['a-best', 'b-best']
    """
    for number, source in enumerate(sources):
        if place(source) in map(place, sources[:number]):
            raise ValueError(f"{source} is given twice")
    parts, depth = [Path(source).absolute().parts[1:] for source in sources], 1  # without the root
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["-".join(part[-depth:]) for part in parts]


def number_repeats(names: Sequence[str]) -> list[str]:
    """The same names, with a number after one that has come before.

    >>> number_repeats(["nih", "mimic", "nih"])
    ['nih', 'mimic', 'nih (2)']
    """
    counts = [names[: number + 1].count(name) for number, name in enumerate(names)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
