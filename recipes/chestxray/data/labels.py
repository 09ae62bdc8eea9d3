"""One label space for all datasets, and what uncertain labels count as in training.

`TABLE`, at the end, is made of the meanings in the datasets' descriptors. Two names share an output only if they
mean the same. A finding that a dataset does not label, or labels as part of something broader, is NaN in its targets:
masked in the loss and left out of its scores, never counted negative.

    names = findings("shared", [nih["train"], chexpert["train"]])
    targets(chexpert["train"], names, Policy.parse("chexpert-mix"), training=True)    # (n, 7), NaN where unknown
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetInfo

from chestxray.data import predictions, registry
from chestxray.data.datasets_internals import column
from chestxray.data.descriptor import Descriptor, Meaning, no_counterpart
from chestxray.data.label_choices import (
    BLANKS,
    CHOICES,
    CONSTANTS,
    PRESETS,
    RANGES,
    SELF_TRAINED,
    WORDS,
)
from chestxray.data.nih import NIHChestXray
from chestxray.data.observations import DISAGREEMENT, NEGATIVE, NOT_MENTIONED, OBSERVATIONS, POSITIVE, STATES, UNCERTAIN
from chestxray.hashed_random import uniforms

NO_FINDING = "No Finding"
# Irvin et al. 2019 chose these five by clinical importance and prevalence, and report test scores for them.
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


# Names


def canonical(name: str) -> str:
    """The finding of a dataset's name, `Effusion` for "Pleural Effusion"; an unknown name is its own finding."""
    return CANONICAL.get(name, name)


def labelled_names(rows: Dataset | DatasetInfo) -> list[str]:
    """The names of what a dataset labels, in its own order, read from its features.

    They are the classes of a column `labels`, or else the columns of observations. The class "No Finding" is left out:
    it says only that none of the others was found. Raises ValueError if a dataset has neither.
    """
    if has_lists(rows):
        return [name for name in rows.features["labels"].feature.names if name != NO_FINDING]
    names = [name for name, feature in rows.features.items() if is_state(feature)]
    if not names:
        raise ValueError(
            "this dataset labels nothing: it has neither `labels`, a list of classes, nor a column of the states "
            f"{', '.join(STATES)}, only {', '.join(rows.features)}"
        )
    return names


def has_lists(rows: Dataset | DatasetInfo) -> bool:
    """Whether a column `labels` lists the classes of an image, as NIH's does."""
    return isinstance(getattr(rows.features.get("labels"), "feature", None), ClassLabel)


def is_state(feature: object) -> bool:
    """Whether a feature is an observation's column."""
    return isinstance(feature, ClassLabel) and tuple(feature.names) == STATES


def findings(choice: str | None, rows: Sequence[Dataset]) -> list[str]:
    """The names of a model's outputs.

    Args:
        choice: one of
            "nih14": NIH's 14, in the order of its classes;
            "chexpert14": CheXpert's observations;
            "chexpert5": the five of CheXpert's competition;
            "shared": what all the datasets label, by canonical name;
            None: what the first dataset labels, then what only the next ones label, by their own names.
        rows: the train split of each dataset.

    Raises:
        ValueError: no such choice; a dataset labels nothing; they share nothing.
    """
    fixed = {"nih14": nih14, "chexpert14": lambda: list(OBSERVATIONS), "chexpert5": lambda: list(COMPETITION)}
    if choice in fixed:
        return fixed[choice]()
    if choice not in (None, "shared"):
        raise ValueError(f"there are no findings {choice!r}; choose from {', '.join(CHOICES)}")
    named = [{canonical(name): name for name in labelled_names(part)} for part in rows]
    return common_findings(named) if choice else list(merge_names(named).values())


def common_findings(named: Sequence[Mapping[str, str]]) -> list[str]:
    """The findings of all datasets, in the order of the first. named: {canonical finding: name} of each dataset."""
    common = [finding for finding in named[0] if all(finding in part for part in named)]
    if not common:
        raise ValueError(f"the datasets share no finding: {'; '.join(', '.join(part.values()) for part in named)}")
    return common


def merge_names(named: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """{canonical finding: its name in the first dataset that has it}, of all findings that any dataset has."""
    union: dict[str, str] = {}
    for part in named:
        for finding, name in part.items():
            union.setdefault(finding, name)
    return union


def nih14() -> list[str]:
    """NIH's 14 findings, in the order of its classes."""
    return labelled_names(NIHChestXray("metadata").info)


# Uncertain labels


@dataclass(frozen=True)
class Policy:
    """What an uncertain or blank label counts as in training. Scores never depend on it.

    Attributes:
        default: one of `WORDS`, for every finding that has no word of its own.
        words: {canonical finding: word}.
        blank: whether an observation that a report does not mention is "negative" or "missing".
        teacher: for the word "self-trained", a predictions file that holds every image with an uncertain label.

    Raises:
        ValueError: no such word, finding or blank; "self-trained" without a teacher, or a teacher without it.
    """

    default: str = "ignore"
    words: dict = field(default_factory=dict)
    blank: str = "negative"
    teacher: str | None = None

    def __post_init__(self):
        for word in (self.default, *self.words.values()):
            if word not in WORDS:
                presets = ", ".join(PRESETS)
                raise ValueError(
                    f"there is no policy {word!r}; choose from {', '.join(WORDS)}, or begin with {presets}"
                )
        if unknown := set(self.words) - set(CANONICAL.values()):
            raise ValueError(f"the policy names {', '.join(sorted(unknown))}; the findings are {', '.join(CANONICAL)}")
        if self.blank not in BLANKS:
            raise ValueError(f"a blank is {' or '.join(BLANKS)}, not {self.blank!r}")
        if bool(self.teacher) != (SELF_TRAINED in (self.default, *self.words.values())):
            raise ValueError(f"the policy {SELF_TRAINED} and a teacher, a predictions file, go together")

    @classmethod
    def parse(cls, text: str = "ignore", blank: str = "negative", teacher: str | None = None) -> "Policy":
        """A policy from its text: a word or preset for all findings, then words for single ones; the last one counts.

        >>> Policy.parse("zeros, Edema=ones, Pleural Effusion=smooth-ones").words
        {'Edema': 'ones', 'Effusion': 'smooth-ones'}
        """
        first, comma, rest = text.partition(",")
        parts = (PRESETS.get(first.strip(), first) + comma + rest).split(",")
        default = parts.pop(0).strip() if "=" not in parts[0] else cls.default
        words = {}
        for part in parts:
            finding, equals, word = map(str.strip, part.partition("="))
            if not equals:
                raise ValueError(f"the policy {text!r} has {part.strip()!r} where FINDING=WORD is expected")
            words[canonical(finding)] = word
        return cls(default, words, blank, teacher)

    def word(self, finding: str) -> str:
        return self.words.get(finding, self.default)


# Targets


def targets(
    rows: Dataset, findings: Sequence[str], policy: Policy | None = None, training: bool = False, seed: int = 0
) -> np.ndarray:
    """The target of each image for each finding.

    Args:
        rows: n rows with a column `labels`, a list of classes, or with columns of observations.
        findings: k names, of any dataset.
        policy: what uncertain and blank labels count as in training, `Policy()` by default.
        training: without it the targets are for scores: an uncertain label is unknown, a blank one negative.
        seed: of the smoothed policies. Their numbers depend on the seed, the finding and `image_file_path`, not on the
            order of the rows.

    Returns:
        (n, k) float32: 0 to 1, NaN where it is unknown, and `UNCERTAIN_CLASS` under `multi-class`. A finding that the
        dataset does not label, or on which two labelers disagree, is unknown.

    Raises:
        ValueError: as `labelled_names`; the teacher's predictions lack an image or a finding.
    """
    policy = (policy or Policy()) if training else None
    named = {canonical(name): name for name in labelled_names(rows)}
    hot = multi_hot(rows) if has_lists(rows) else None
    teacher = read_teacher(policy.teacher) if policy and policy.teacher else None
    values = np.full((len(rows), len(findings)), np.nan, np.float32)
    for position, finding in enumerate(map(canonical, findings)):
        if finding in named and hot:
            values[:, position] = hot[named[finding]]
        elif finding in named:
            values[:, position] = observation_targets(rows, named[finding], policy, teacher, seed)
    return values


def multi_hot(rows: Dataset) -> dict[str, np.ndarray]:
    """{class of `labels`: (n,) float32 of 0 and 1, NaN where an image has no list}."""
    lists, names = column(rows, "labels"), rows.features["labels"].feature.names
    hot = np.zeros((len(lists), len(names)), np.float32)
    hot[pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists).to_numpy()] = 1
    hot[lists.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return dict(zip(names, hot.T, strict=True))


def observation_targets(rows, name, policy, teacher, seed):
    """A column of observations as (n,) float32; policy: None for scores."""
    states = pc.fill_null(column(rows, name), DISAGREEMENT).to_numpy()
    values = state_targets(name, policy or Policy())[states]
    here = np.flatnonzero(states == UNCERTAIN)
    if policy and len(here):
        paths = column(rows, "image_file_path").take(here).to_numpy(zero_copy_only=False)
        values[here] = uncertain_targets(canonical(name), paths, policy, teacher, seed)
    return values


def state_targets(name: str, policy: Policy) -> np.ndarray:
    """The target of each state, (states,) float32; NaN for a state without information."""
    # The labelers write "No Finding" as positive or leave it blank (chexpert-labeler, stages/aggregate.py, commit
    # 6dd0efa): a blank there says that something was found.
    blank = 0.0 if policy.blank == "negative" or name == NO_FINDING else np.nan
    values = np.full(len(STATES), np.nan, np.float32)
    values[[NEGATIVE, POSITIVE, NOT_MENTIONED]] = 0.0, 1.0, blank
    return values


def uncertain_targets(finding, paths, policy, teacher, seed):
    """The targets of the images at `paths`, whose label for a finding is uncertain: (n,) floats or one for all."""
    word = policy.word(finding)
    if word in RANGES:
        low, high = RANGES[word]
        images = pd.util.hash_array(np.asarray(paths, object), categorize=False)
        return low + (high - low) * uniforms(seed, zlib.crc32(finding.encode()), images, 1)[:, 0]
    return teacher_targets(finding, paths, teacher, policy.teacher) if word == SELF_TRAINED else CONSTANTS[word]


def teacher_targets(finding, paths, teacher, file):
    """The probabilities that a teacher, see `read_teacher`, gives a finding on the images at `paths`."""
    if finding not in teacher:
        raise ValueError(f"{file} does not predict {finding}, only {', '.join(teacher)}")
    found = teacher.index.get_indexer(paths)
    if (lacking := found < 0).any():
        raise ValueError(
            f"{file} lacks {lacking.sum():,} of the {len(paths):,} images whose {finding} is uncertain, for example "
            f"{paths[lacking][0]}. Predict the training images too."
        )
    return teacher[finding].to_numpy()[found]


def read_teacher(file: str) -> pd.DataFrame:
    """A predictions file as a table of probabilities: a row per image path, a column per canonical finding."""
    table = predictions.read(Path(file))
    probabilities = np.exp(-np.logaddexp(0, -table.logits))
    return pd.DataFrame(probabilities, table.rows["image_file_path"], map(canonical, table.findings))


# The table


class Finding(NamedTuple):
    """A canonical finding, and {vocabulary: what its names say about the finding}."""

    name: str
    meanings: dict[str, Meaning]


def merge_meanings(datasets: Mapping[str, Descriptor]) -> tuple[Finding, ...]:
    """The meanings of several datasets as one table, in the order in which they name the findings.

    Args:
        datasets: {vocabulary: a dataset that has it}.
    """
    names = dict.fromkeys(name for dataset in datasets.values() for name in dataset.meanings)
    return tuple(
        Finding(name, {word: dataset.meanings.get(name, no_counterpart()) for word, dataset in datasets.items()})
        for name in names
    )


def canonical_names(table: Iterable[Finding]) -> dict[str, str]:
    """{a dataset's name: the finding that it is equal to}. Raises ValueError if a name is equal to two findings."""
    names: dict[str, str] = {}
    for finding in table:
        for meaning in finding.meanings.values():
            for name in meaning.names if meaning.relation == "equal" else ():
                if names.setdefault(name, finding.name) != finding.name:
                    raise ValueError(f"{name} is said to be equal to {names[name]} and to {finding.name}")
    return names


TABLE = merge_meanings(registry.vocabularies())
CANONICAL = canonical_names(TABLE)
