"""A plan of fine-tunes: a base, changes of its settings, numbers of training images, and seeds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chestxray.data import opening, registry, sources
from chestxray.data.datasets_internals import column
from chestxray.data.image_names import ImageNames
from chestxray.files import digest, write
from chestxray.flags import nearest
from chestxray.places import public_settings
from chestxray.training.command_line import parse_settings
from chestxray.training.settings import TYPES, Settings
from chestxray.training.settings_files import check_at, read_yaml

BASE = "base"
KEYS = ("base", "seeds", "changes", "subsets", "validation_share")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # a name is a folder's name too
RESERVED = ("seed", "test", "output_dir", "push_to_hub", "public")  # settings that this command gives itself
ALL = "all"

Words = dict[str, list[str]]  # {setting: the words after its flag}


@dataclass(frozen=True)
class PlannedRun:
    """One fine-tune of a plan.

    Attributes:
        name: of the change, or `base`; seed: of the run.
        flags: for finetune.py, with the output folder.
        settings: what the flags mean.
    """

    name: str
    seed: int
    flags: tuple[str, ...]
    settings: Settings

    @property
    def folder(self) -> Path:
        return Path(str(self.settings.output_dir))


@dataclass(frozen=True)
class Plan:
    """What a plan's file says.

    Attributes:
        base: the settings of the base. changes: {name: settings that differ}.
        seeds: each change has a run with each of them.
        subsets: {name: settings that differ} of the points of the learning curve, fewest images first. The point
            `base` is the base itself.
        validation_share: share of the patients of train that validate, or None for finetune.py's own rule.
    """

    base: Words
    seeds: tuple[int, ...]
    changes: dict[str, Words]
    subsets: dict[str, Words]
    validation_share: float | None

    def variants(self) -> dict[str, Words]:
        """{name: settings that differ from the base}, the base first, each of them once."""
        return {BASE: {}, **self.changes, **self.subsets}

    def runs(self, output: Path, validation_list: Path | None) -> list[PlannedRun]:
        """All runs, seed by seed, so that an early look sees every change.

        Raises ValueError, with the name of the change, for settings that finetune.py refuses.
        """
        listed = {"validation_list": [str(validation_list)]} if validation_list else {}
        return [
            plan_run(name, seed, {**self.base, **listed, **words}, output)
            for seed in self.seeds
            for name, words in self.variants().items()
        ]


def plan_run(name: str, seed: int, words: Words, output: Path) -> PlannedRun:
    """One run; its folder is `output/NAME/seed-SEED`."""
    own = {"seed": [str(seed)], "test": ["false"], "output_dir": [str(output / name / f"seed-{seed}")]}
    flags = tuple(word for setting, values in {**words, **own}.items() for word in (flag_of(setting), *values))
    try:
        settings = parse_settings(flags)
    except (ValueError, OSError) as error:
        raise ValueError(f"{name}: {error}") from None
    if len(settings.dataset or ()) != 1:
        raise ValueError(f"{name}: an ablation takes one dataset, not {len(settings.dataset or ())}")
    return PlannedRun(name, seed, flags, settings)


def flag_of(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


# The file


def read_plan(path: str | Path, flags: Sequence[str] = ()) -> Plan:
    """A plan from its YAML file. flags: of finetune.py, for all runs; a change replaces them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, or it has a wrong key, name or value. The message names it.
    """
    values, lines = read_yaml(Path(path))
    for key in values:
        if key not in KEYS:
            raise ValueError(f"{path}, line {lines[key]}: {key} is no part of a plan{nearest(key, KEYS)}")
    seeds = values.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise ValueError(f"{path}: seeds is {seeds!r:.80}; it must be a list of whole numbers")
    return Plan(
        base={**words_of(path, BASE, values.get("base")), **words_of_flags(flags)},
        seeds=tuple(dict.fromkeys(seeds)),
        changes=read_changes(path, values.get("changes")),
        subsets=read_subsets(path, values.get("subsets")),
        validation_share=read_share(path, values.get("validation_share")),
    )


def read_changes(path: str | Path, changes: Any) -> dict[str, Words]:
    if not isinstance(changes, dict | None):
        raise ValueError(f"{path}: changes must be `name: {{setting: value}}` lines")
    for name in changes or {}:
        if not NAME.fullmatch(str(name)) or name == BASE or str(name).startswith("images-"):
            raise ValueError(f"{path}: {name} cannot name a change: use letters, digits, `-`, `_` and `.`; not {BASE}")
    return {str(name): words_of(path, str(name), settings) for name, settings in (changes or {}).items()}


def read_subsets(path: str | Path, subsets: Any) -> dict[str, Words]:
    """Each subset is a number of images, `all`, or `train_images` with other settings, such as more epochs."""
    if not isinstance(subsets, list | None):
        raise ValueError(f"{path}: subsets must be a list of numbers of training images")
    found = {}
    for subset in subsets or []:
        settings = dict(subset) if isinstance(subset, dict) else {"train_images": subset}
        images = settings.pop("train_images", None)
        if images != ALL and (type(images) is not int or images < 1):
            raise ValueError(f"{path}: a subset has train_images {images!r}; it must be a number of images, or all")
        wanted = settings if images == ALL else {"train_images": images, **settings}
        found[f"images-{images}" if wanted else BASE] = words_of(path, f"images-{images}", wanted)
    return found


def read_share(path: str | Path, share: Any) -> float | None:
    if share is not None and not (type(share) is float and 0 < share < 1):
        raise ValueError(f"{path}: validation_share is {share!r}; it must be a number above 0 and below 1")
    return share


def words_of(path: str | Path, name: str, settings: Any) -> Words:
    """{setting: the words after its flag}. Raises ValueError for a setting that no run has, or a wrong value."""
    if not isinstance(settings, dict | None):
        raise ValueError(f"{path}: {name} must be `setting: value` lines")
    words = {}
    for setting, value in (settings or {}).items():
        if setting not in TYPES:
            raise ValueError(f"{path}: {name}: {setting} is no setting{nearest(setting, TYPES)}")
        refuse_reserved(setting, f"{path}: {name}")
        check_at(f"{path}: {name}", setting, value)
        if value is None:
            raise ValueError(f"{path}: {name}: {setting} is null, which no flag can say: leave it out")
        words[setting] = [as_word(item) for item in (value if isinstance(value, list) else [value])]
    return words


def as_word(value: Any) -> str:
    """A value as a person writes it after a flag."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def words_of_flags(flags: Sequence[str]) -> Words:
    """The same of flags from the command line. Raises ValueError for a word that follows no flag."""
    words: Words = {}
    for word in flags:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            setting = name.replace("-", "_")
            refuse_reserved(setting, word)
            words.setdefault(setting, []).extend([value] if equals else [])
        elif not words:
            raise ValueError(f"{word} follows no flag")
        else:
            words[setting].append(word)
    return words


def refuse_reserved(setting: str, place: str) -> None:
    if setting in RESERVED:
        raise ValueError(f"{place}: {setting} is given by this command itself, for each run")


# Validation


def write_validation_list(plan: Plan, output: Path) -> Path | None:
    """Write `validation.txt`, the images of the plan's share of patients; None without a share.

    A patient is taken if the SHA-256 of its eight digits, as a number between 0 and 1, is below the share. So a larger
    share holds a smaller one, and 0.125 is finetune.py's own rule: see `sources.is_validation`.

    Raises:
        ValueError: the base has a validation_list, its dataset has a validation split, or the file there names others.
    """
    if plan.validation_share is None:
        return None
    if "validation_list" in plan.base:
        raise ValueError("the plan has both validation_share and validation_list: keep one")
    settings = plan_run(BASE, plan.seeds[0], plan.base, output).settings
    names = images_below(settings, plan.validation_share)
    path, text = output / "validation.txt", "".join(f"{name}\n" for name in names)
    if not path.exists():
        write(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} names other images than this plan's validation_share. Give another --output-dir")
    return path


def images_below(settings: Settings, share: float) -> Iterator[str]:
    """The names of a share of the training images, with as many parts of their paths as tell the images apart."""
    source = (settings.dataset or [])[0]
    descriptor = registry.recognise(source)
    splits, _ = opening.read_splits(source, descriptor, settings)
    if "validation" in splits:
        raise ValueError(f"{source} has a validation split of its own: leave validation_share out")
    if settings.views == "frontal":
        splits = sources.select_frontal(splits, registry.frontal_views(descriptor))
    rows = splits["train"]
    paths = column(rows, "image_file_path").to_pylist()
    depth = ImageNames(paths).depth
    for path, patient in zip(paths, sources.patients(rows), strict=True):
        if int(digest(patient)[:8], 16) < share * 16**8:
            yield "/".join(path.split("/")[-depth:])


def differing(words: Mapping[str, Sequence[str]]) -> str:
    """Settings as others may read them: "flip 0, rotate 0"."""
    return ", ".join(f"{setting} {' '.join(values)}" for setting, values in public_settings(dict(words)).items())
