"""One label space for NIH ChestX-ray14, CheXpert and MIMIC-CXR-JPG, and what uncertain labels count as in training.

`TABLE`, at the end, says what each dataset's names mean. Two names share an output only where they mean the same; a
finding that a dataset does not label, or labels as part of something broader, is NaN in its targets: masked in the loss
and left out of its scores, never counted negative.

    names = findings("shared", [nih["train"], chexpert["train"]])
    targets(chexpert["train"], names, Policy.parse("chexpert-mix"), training=True)    # (n, 7), NaN where unknown
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from datasets import ClassLabel

import chestxray
from chestxray.data import predictions
from chestxray.data.observations import DISAGREEMENT, NEGATIVE, NOT_MENTIONED, OBSERVATIONS, POSITIVE, STATES, UNCERTAIN
from chestxray.hashed_random import uniforms

NO_FINDING = "No Finding"
# Irvin et al. 2019 chose these five by clinical importance and prevalence; their test scores are of these.
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
CHOICES = ("nih14", "chexpert14", "chexpert5", "shared")

UNCERTAIN_CLASS = 2.0  # the target of an uncertain label under `multi-class`, where 0 and 1 are the other two classes
# Irvin et al. 2019: U-Ignore, U-Zeros, U-Ones, U-MultiClass. The ranges are of Pham et al. 2019
# (arXiv 1911.06475), U-Ones+LSR and U-Zeros+LSR.
CONSTANTS = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0, "multi-class": UNCERTAIN_CLASS}
RANGES = {"smooth-ones": (0.55, 0.85), "smooth-zeros": (0.0, 0.3)}
SELF_TRAINED = "self-trained"  # U-SelfTrained: the probability that a model trained without the uncertain ones gives
WORDS = (*CONSTANTS, *RANGES, SELF_TRAINED)
# LibAUC, EVA-X and jfhealthcare/Chexpert: Edema and Atelectasis ones, the rest of the five zeros.
PRESETS = {
    "chexpert-mix": "ignore,Atelectasis=ones,Edema=ones,Cardiomegaly=zeros,Consolidation=zeros,Pleural Effusion=zeros"
}
BLANKS = ("negative", "missing")


# Names


def canonical(name):
    """The finding a dataset's name stands for, `Effusion` for "Pleural Effusion"; an unknown name stands for itself."""
    return CANONICAL.get(name, name)


def own(rows):
    """The names of what a dataset labels, in its own order, read from its features.

    They are the classes of a column `labels` without "No Finding", which says only that none of the others was found,
    or else the columns of observations. Raises ValueError where it has neither.
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


def has_lists(rows):
    """Whether a column `labels` lists the classes of an image, as NIH's does."""
    return isinstance(getattr(rows.features.get("labels"), "feature", None), ClassLabel)


def is_state(feature):
    return isinstance(feature, ClassLabel) and tuple(feature.names) == STATES


def findings(choice, rows):
    """The names of a model's outputs.

    Args:
        choice: "nih14", NIH's 14 in the order of its classes; "chexpert14", CheXpert's observations; "chexpert5", those
            of its competition; "shared", what all the datasets label, by canonical name; None, what the first dataset
            labels and after it what only the next ones do, each named as it is there.
        rows: a list of datasets.Dataset, the train splits.

    Raises:
        ValueError: no such choice; a dataset labels nothing; they share nothing.
    """
    fixed = {"nih14": nih14, "chexpert14": lambda: list(OBSERVATIONS), "chexpert5": lambda: list(COMPETITION)}
    if choice in fixed:
        return fixed[choice]()
    if choice not in (None, "shared"):
        raise ValueError(f"there are no findings {choice!r}; choose from {', '.join(CHOICES)}")
    named = [{canonical(name): name for name in own(part)} for part in rows]
    return shared(named) if choice else list(united(named).values())


def shared(named):
    """What is in all of `named`, a dict {canonical finding: name} for each dataset, in the order of the first."""
    common = [finding for finding in named[0] if all(finding in part for part in named)]
    if not common:
        raise ValueError(f"the datasets share no finding: {'; '.join(', '.join(part.values()) for part in named)}")
    return common


def united(named):
    """All that is in any of `named`, each as the first that has it names it."""
    union = {}
    for part in named:
        union |= part | union  # what is there already keeps its place and its name
    return union


def nih14():
    return own(chestxray.NIHChestXray("metadata").info)


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
                    f"there is no policy {word!r}; there are {', '.join(WORDS)} and, to begin with, {presets}"
                )
        if unknown := set(self.words) - set(CANONICAL.values()):
            raise ValueError(f"the policy names {', '.join(sorted(unknown))}; the findings are {', '.join(CANONICAL)}")
        if self.blank not in BLANKS:
            raise ValueError(f"a blank is {' or '.join(BLANKS)}, not {self.blank!r}")
        if bool(self.teacher) != (SELF_TRAINED in (self.default, *self.words.values())):
            raise ValueError(f"the policy {SELF_TRAINED} and a teacher, a predictions file, go together")

    @classmethod
    def parse(cls, text="ignore", blank="negative", teacher=None):
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

    def word(self, finding):
        return self.words.get(finding, self.default)


# Targets


def targets(rows, findings, policy=None, training=False, seed=0):
    """What a model is to say of each image.

    Args:
        rows: a datasets.Dataset of n rows with a column `labels`, a list of classes, or columns of observations.
        findings: k names, of any dataset.
        policy: for training, `Policy()` without; in scores an uncertain label is unknown, a blank one negative.
        seed: of the smoothed policies, whose numbers depend on it, the finding and `image_file_path`, not on the order
            of rows.

    Returns:
        (n, k) float32: 0 to 1; NaN for unknown, which is what a finding that the dataset does not label, or on which
        two labelers disagree, always is; under `multi-class` also `UNCERTAIN_CLASS`.

    Raises:
        ValueError: as `own`; the teacher's predictions lack an image or a finding.
    """
    policy = (policy or Policy()) if training else None
    named = {canonical(name): name for name in own(rows)}
    hot = multi_hot(rows) if has_lists(rows) else None
    teacher = read_teacher(policy.teacher) if policy and policy.teacher else None
    values = np.full((len(rows), len(findings)), np.nan, np.float32)
    for position, finding in enumerate(map(canonical, findings)):
        if finding in named and hot:
            values[:, position] = hot[named[finding]]
        elif finding in named:
            values[:, position] = from_states(rows, named[finding], policy, teacher, seed)
    return values


def multi_hot(rows):
    """{class of `labels`: (n,) float32 of 0 and 1, NaN where an image has no list}."""
    lists, names = column(rows, "labels"), rows.features["labels"].feature.names
    hot = np.zeros((len(lists), len(names)), np.float32)
    hot[pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists).to_numpy()] = 1
    hot[lists.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return dict(zip(names, hot.T, strict=True))


def from_states(rows, name, policy, teacher, seed):
    """A column of observations as (n,) float32; policy: None for scores."""
    states = pc.fill_null(column(rows, name), DISAGREEMENT).to_numpy()
    values = worth(name, policy or Policy())[states]
    here = np.flatnonzero(states == UNCERTAIN)
    if policy and len(here):
        paths = column(rows, "image_file_path").take(here).to_numpy(zero_copy_only=False)
        values[here] = uncertain(canonical(name), paths, policy, teacher, seed)
    return values


def column(rows, name):
    """One column as a pyarrow Array, in the order of rows; no other column is read."""
    whole = rows.data.column(name).combine_chunks()
    if rows._indices is None:
        return whole
    # `rows[name]` gathers chosen rows one by one: 2.5 s a column for MIMIC's 377,110 images, against 0.01 s here.
    return whole.take(rows._indices.column(0).combine_chunks())


def worth(name, policy):
    """The target of each state, (states,) float32; NaN for one that says nothing."""
    # The labelers write "No Finding" as positive or leave it blank (chexpert-labeler, stages/aggregate.py, commit
    # 6dd0efa): a blank there says that something was found.
    blank = 0.0 if policy.blank == "negative" or name == NO_FINDING else np.nan
    values = np.full(len(STATES), np.nan, np.float32)
    values[[NEGATIVE, POSITIVE, NOT_MENTIONED]] = 0.0, 1.0, blank
    return values


def uncertain(finding, paths, policy, teacher, seed):
    """The targets of the images at `paths`, whose label for a finding is uncertain: (n,) floats or one for all."""
    word = policy.word(finding)
    if word in RANGES:
        low, high = RANGES[word]
        images = pd.util.hash_array(np.asarray(paths, object), categorize=False)
        return low + (high - low) * uniforms(seed, zlib.crc32(finding.encode()), images, 1)[:, 0]
    return taught(finding, paths, teacher, policy.teacher) if word == SELF_TRAINED else CONSTANTS[word]


def taught(finding, paths, teacher, file):
    """The probabilities that a teacher, see `read_teacher`, gives a finding on the images at `paths`."""
    if finding not in teacher:
        raise ValueError(f"{file} does not predict {finding}, only {', '.join(teacher)}")
    found = teacher.index.get_indexer(paths)
    if (lacking := found < 0).any():
        raise ValueError(
            f"{file} lacks {lacking.sum():,} of the {len(paths):,} images whose {finding} is uncertain, "
            f"{paths[lacking][0]} among them. Predict the training images too."
        )
    return teacher[finding].to_numpy()[found]


def read_teacher(file):
    """A predictions file as a table of probabilities: a row per image path, a column per canonical finding."""
    said = predictions.read(Path(file))
    probabilities = np.exp(-np.logaddexp(0, -said.logits))
    return pd.DataFrame(probabilities, said.rows["image_file_path"], map(canonical, said.findings))


# The table


class Meaning(NamedTuple):
    """How what a dataset's names mean stands to a finding: equal, broader, narrower or "no counterpart"."""

    relation: str
    names: tuple = ()


def equal(*names):
    return Meaning("equal", names)


def broader(*names):
    return Meaning("broader", names)


def narrower(*names):
    return Meaning("narrower", names)


NONE = Meaning("no counterpart")


class Finding(NamedTuple):
    """A canonical finding, what the names of NIH, CheXpert and MIMIC-CXR-JPG say of it, and where that is from."""

    name: str
    nih: Meaning
    chexpert: Meaning
    mimic: Meaning
    source: str


# XRV is mlmed/torchxrayvision, torchxrayvision/datasets.py, commit 891eae4, which merges the datasets by name and
# renames "Pleural Effusion" only. A .txt is a list of the words that make the labeler of CheXpert and MIMIC-CXR note an
# observation: stanfordmlgroup/chexpert-labeler, phrases/mention, commit 7cd62b2 where no other is given.
TABLE = (
    Finding("Atelectasis", equal("Atelectasis"), equal("Atelectasis"), equal("Atelectasis"), "XRV"),
    Finding("Cardiomegaly", equal("Cardiomegaly"), equal("Cardiomegaly"), equal("Cardiomegaly"), "XRV"),
    Finding(
        "Effusion",
        equal("Effusion"),
        equal("Pleural Effusion"),
        equal("Pleural Effusion"),
        "XRV; pleural_effusion.txt: effusion, pleural fluid",
    ),
    Finding(
        "Infiltration",
        equal("Infiltration"),
        broader("Lung Opacity"),
        broader("Lung Opacity", "Airspace Opacity"),
        "airspace_opacity.txt (commit 849bb96): infiltrate and infiltration beside any opacity",
    ),
    Finding("Mass", equal("Mass"), broader("Lung Lesion"), broader("Lung Lesion"), "lung_lesion.txt: mass, nodule, …"),
    Finding(
        "Nodule", equal("Nodule"), broader("Lung Lesion"), broader("Lung Lesion"), "lung_lesion.txt: mass, nodule, …"
    ),
    Finding("Pneumonia", equal("Pneumonia"), equal("Pneumonia"), equal("Pneumonia"), "XRV"),
    Finding("Pneumothorax", equal("Pneumothorax"), equal("Pneumothorax"), equal("Pneumothorax"), "XRV"),
    Finding("Consolidation", equal("Consolidation"), equal("Consolidation"), equal("Consolidation"), "XRV"),
    Finding(
        "Edema",
        equal("Edema"),
        equal("Edema"),
        equal("Edema"),
        "XRV; edema.txt also notes heart failure and vascular congestion",
    ),
    Finding("Emphysema", equal("Emphysema"), NONE, NONE, "no_finding.txt: emphysema only rules out No Finding"),
    Finding(
        "Fibrosis",
        equal("Fibrosis"),
        broader("Pleural Other"),
        broader("Pleural Other"),
        "pleural_other.txt: fibrosis beside fibrothorax and pleural thickening or scar",
    ),
    Finding(
        "Pleural_Thickening",
        equal("Pleural_Thickening"),
        broader("Pleural Other"),
        broader("Pleural Other"),
        "pleural_other.txt: fibrosis beside fibrothorax and pleural thickening or scar",
    ),
    Finding("Hernia", equal("Hernia"), NONE, NONE, "no_finding.txt: hernia only rules out No Finding"),
    Finding(
        "No Finding",
        broader("No Finding"),
        equal("No Finding"),
        equal("No Finding"),
        "NIH's: none of its 14; the labeler's: nothing of no_finding.txt either, only devices (stages/aggregate.py)",
    ),
    Finding(
        "Enlarged Cardiomediastinum",
        narrower("Cardiomegaly"),
        equal("Enlarged Cardiomediastinum"),
        equal("Enlarged Cardiomediastinum"),
        "Pham et al. 2019, hierarchy of the observations",
    ),
    Finding(
        "Lung Opacity",
        narrower("Infiltration", "Consolidation", "Edema", "Pneumonia", "Atelectasis"),
        equal("Lung Opacity"),
        equal("Lung Opacity", "Airspace Opacity"),
        "Infiltration as above, the others by the hierarchy of Pham et al. 2019; the labeler's list of Lung Opacity is "
        "airspace_opacity.txt (commit 849bb96), and MIMIC-CXR-JPG 2.1.0's test set says Airspace Opacity",
    ),
    Finding(
        "Lung Lesion",
        narrower("Mass", "Nodule"),
        equal("Lung Lesion"),
        equal("Lung Lesion"),
        "lung_lesion.txt: mass, nodule, cavitary lesion, carcinoma, …",
    ),
    Finding(
        "Pleural Other",
        narrower("Pleural_Thickening", "Fibrosis"),
        equal("Pleural Other"),
        equal("Pleural Other"),
        "pleural_other.txt: fibrosis beside fibrothorax and pleural thickening or scar",
    ),
    Finding("Fracture", NONE, equal("Fracture"), equal("Fracture"), "not among NIH's 14"),
    Finding("Support Devices", NONE, equal("Support Devices"), equal("Support Devices"), "not among NIH's 14"),
)
DATASETS = ("nih", "chexpert", "mimic")
CANONICAL = {
    name: finding.name
    for finding in TABLE
    for dataset in DATASETS
    for name in getattr(finding, dataset).names
    if getattr(finding, dataset).relation == "equal"
}
