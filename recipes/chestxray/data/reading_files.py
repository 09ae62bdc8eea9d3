"""Labels that radiologists gave to the images: a table of image names and what was read in each image.

`ANSWERS` is the one place that says what the columns of such files mean. A column with the name of a finding answers to
this finding and needs no line there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chestxray.data import image_tables, labels
from chestxray.data.image_tables import ImageTable, plain

# Majkowska et al. 2020, "Chest Radiograph Interpretation with Deep Learning Models: Assessment with Radiologist-
# adjudicated Reference Standards and Population-adjusted Evaluation", Radiology 294, doi 10.1148/radiol.2019191293.
# Three radiologists read each image, in up to five rounds until they agreed; otherwise the majority counts.
MAJKOWSKA = "Majkowska et al. 2020"


class Answer(NamedTuple):
    """What a column answers to: `present` in it means that at least one of the findings is there.

    Attributes:
        findings: canonical names, () if none of them fits.
        reason: why, and the source.
    """

    findings: tuple[str, ...]
    reason: str


# Airspace opacity: Google's announcement of the study (3 December 2019, as the news of that week quote it) explains it
# as the filling of the pulmonary tree with material. Atelectasis is a loss of volume, no filling, and is left out. The
# readings agree with this on the 2,414 images from NIH's list for training. The share that was read as airspace
# opacity, among images with one label, is 67% for Consolidation (28 of 42), 59% for Edema (17 of 29), 57% for
# Infiltration (124 of 218), 2 of 3 for Pneumonia and 41% for Atelectasis (39 of 96). Without a label it is 23% (309 of
# 1,320).
ANSWERS = {
    "Pneumothorax": Answer(("Pneumothorax",), f"the same word; {MAJKOWSKA}"),
    "Nodule or mass": Answer(("Nodule", "Mass"), f"one reading for what NIH divides by size; {MAJKOWSKA}"),
    "Airspace opacity": Answer(
        ("Consolidation", "Infiltration", "Pneumonia", "Edema"),
        f"airspaces filled with material; {MAJKOWSKA}. Atelectasis is a loss of volume",
    ),
    "Fracture": Answer((), "none of NIH's 14 findings is a fracture"),
}
STATES = {  # cells in lower case, "" for an empty one
    **dict.fromkeys(("yes", "true", "1", "1.0", "present"), 1.0),
    **dict.fromkeys(("no", "false", "0", "0.0", "absent"), 0.0),
    **dict.fromkeys(("", "-1", "-1.0", "nan", "hedge", "uncertain"), np.nan),
}


@dataclass(frozen=True)
class Reading:
    """One column: `answer` is what it means; states: (rows,) of 0, 1 and NaN for unknown."""

    column: str
    answer: Answer
    states: np.ndarray


@dataclass(frozen=True)
class ReadingFile:
    """A file of readings: its table, and the readings in the order of its columns."""

    table: ImageTable
    readings: list[Reading]


def read(path: str | Path, findings: Sequence[str] = ()) -> ReadingFile:
    """Read a file of radiologists' labels.

    A column counts if `ANSWERS` has it or if it has the name of a finding, in any spelling that `labels.canonical`
    knows. The other columns are not looked at.

    Args:
        findings: names of further findings, those of a model.

    Raises:
        FileNotFoundError, ValueError: as `image_tables.read`; no column counts; a cell of such a column is none of
            `STATES`. The message names the file, the row and the column.
    """
    table = image_tables.read(path)
    answers = {header: answer for header in table.columns if (answer := answer_of(header, findings))}
    if not answers:
        known = ", ".join(dict.fromkeys([*ANSWERS, *labels.CANONICAL]))
        raise ValueError(
            f"{table.file} has no column of readings; it has {', '.join(table.columns)}. Known names are {known}"
        )
    readings = [Reading(header, answer, states_of(table, header)) for header, answer in answers.items()]
    return ReadingFile(table, readings)


def answer_of(header: str, findings: Sequence[str]) -> Answer | None:
    """What a column answers to, None if nobody has said."""
    answers = {plain(name): answer for name, answer in ANSWERS.items()}
    if plain(header) in answers:
        return answers[plain(header)]
    names = {plain(name): labels.canonical(name) for name in (*labels.CANONICAL, *findings)}
    names.pop(plain(labels.NO_FINDING), None)
    finding = names.get(plain(header))
    return Answer((finding,), "the name of the finding") if finding else None


def states_of(table: ImageTable, header: str) -> np.ndarray:
    """The cells of a column as 0, 1 and NaN: (rows,) float64. Raises ValueError for any other cell."""
    cells = [str(cell).strip().lower() for cell in table.columns[header]]
    for row, cell in enumerate(cells):
        if cell not in STATES:
            raise ValueError(
                f"{table.file}, {table.places[row]}, column {header}: {table.columns[header][row]!r} is neither yes "
                "nor no, 1 nor 0, true nor false, and not empty or -1 for unknown"
            )
    return np.array([STATES[cell] for cell in cells])
