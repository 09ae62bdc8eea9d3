"""Predictions of any framework: a table of image names and findings, joined with a dataset's labels.

The values of the whole table are probabilities or logits, and the values decide which: see `is_logits`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from chestxray.data import image_tables, labels
from chestxray.data.image_names import ImageNames
from chestxray.data.image_tables import ImageTable, plain
from chestxray.data.nih import builder_file
from chestxray.data.predictions import Predictions
from chestxray.data.table_files import MARK
from chestxray.files import digest_files

KINDS = "prob|probs|probability|pred|prediction|logit|logits|score|p"
AROUND = re.compile(rf"^({KINDS})[_ /.-]+|[_ /.-]+({KINDS})$", re.IGNORECASE)
FEW_OUTSIDE = 0.1  # with a smaller share of values outside 0 to 1, a table is of probabilities, and has a fault
LARGEST = 38.0  # above the logit of every probability below 1 that a computer can write, 36.7


@dataclass(frozen=True)
class LabelledImages:
    """What is known of the images without any model.

    Attributes:
        rows: n rows with `predictions.REQUIRED` and those of `predictions.OPTIONAL` that are known.
        targets: (n, k) of 0, 1 and NaN for unknown, in the order of `findings`.
        findings: k names.
        about: see `Predictions`, without `models`.
    """

    rows: pd.DataFrame
    targets: np.ndarray
    findings: list[str]
    about: dict


@dataclass(frozen=True)
class PredictionTable:
    """A file of predictions; digest: SHA-256 of the file."""

    table: ImageTable
    digest: str


def read(path: str | Path) -> PredictionTable:
    """Read a table. Raises as `image_tables.read`."""
    return PredictionTable(image_tables.read(path), digest_files(path))


def join(
    predicted: PredictionTable,
    images: LabelledImages,
    split: str,
    allow_missing: bool = False,
    way_out: str = "To score the others: --allow-missing",
) -> Predictions:
    """The predictions of a table for the images of `split` and of validation, with their labels.

    Args:
        images: all images of the dataset.
        split: what is to be scored; the table must name all its images.
        allow_missing: score the images that the table names, and say how many it lacks.
        way_out: how the error about missing images ends.

    Returns:
        Predictions of the findings that both have, in the order of `images.findings`. `about["notes"]` says how the
        table was read: its kind of values, the columns that were not used, and images that only one side has.

    Raises:
        ValueError: an image is named twice or is missing; the table has no finding or no image of the dataset, or two
            columns for one finding; a value is not finite, no number, or out of range. The message names the file,
            the row and the column.
    """
    content = read_content(predicted.table, images)
    row_of = content.rows_of(len(images.rows))
    missing = find_missing(images, row_of, split)
    refuse_missing(predicted.table.file, images, missing, split, "" if allow_missing else way_out)
    kept = np.flatnonzero((row_of >= 0) & images.rows["split"].isin(["validation", split]).to_numpy())
    notes = content.notes + notes_on_images(predicted.table.file, images, content.found, split, missing)
    model = {"checkpoint": predicted.table.file, "sha256": predicted.digest, "tta": "none", MARK: True}
    about = {**images.about, "models": [model], "notes": [*images.about.get("notes", []), *notes]}
    columns = [images.findings.index(finding) for finding in content.findings]
    rows, targets = images.rows.iloc[kept].reset_index(drop=True), images.targets[kept][:, columns]
    return Predictions(rows, content.logits[row_of[kept]], targets, content.findings, about)


def read_rival(predicted: PredictionTable, ours: Predictions, split: str) -> Predictions:
    """A table as the predictions of another model on the images of `ours` in a split.

    Raises:
        ValueError: as `join`; the table lacks a finding of `ours`.
    """
    part, file = ours.of(split), predicted.table.file
    about = {key: value for key, value in part.about.items() if key != "notes"}
    images = LabelledImages(part.rows, part.targets, part.findings, about)
    content = read_content(predicted.table, images)
    if lacking := [finding for finding in ours.findings if finding not in content.findings]:
        raise ValueError(f"{file} has no column for {', '.join(lacking)}: two models are compared on the same findings")
    rival = join(predicted, images, split, way_out="Two models are compared on the same images")
    return replace(rival, about={**rival.about, "notes": content.notes})


@dataclass(frozen=True)
class TableContent:
    """What a table says: m rows.

    Attributes:
        found: (m,) int, the position of each row's image among those of the dataset, -1 where it is not there.
        findings: k names. logits: (m, k). notes: how the columns and values were read, one sentence each.
    """

    found: np.ndarray
    findings: list[str]
    logits: np.ndarray
    notes: list[str]

    def rows_of(self, n: int) -> np.ndarray:
        """The row of each of the dataset's n images: (n,) int, -1 where the table does not name it."""
        rows = np.full(n, -1)
        rows[self.found[self.found >= 0]] = np.flatnonzero(self.found >= 0)
        return rows


def read_content(table: ImageTable, images: LabelledImages) -> TableContent:
    """Find the columns, values and images of a table. Raises ValueError as `join`, but for missing images."""
    names, dataset = ImageNames(images.rows["image_file_path"]), images.about.get("dataset", "the dataset")
    header = table.names_column(names)
    columns = finding_columns(table, images.findings, dataset)
    found = table.find_images(names, header, dataset)
    headers = list(columns.values())
    logits, kind = to_logits(read_values(table, headers), table, headers)
    notes = [kind, *notes_on_columns(table, [header, *headers], images.findings, list(columns))]
    return TableContent(found, list(columns), logits, notes)


# Columns


def finding_columns(table: ImageTable, findings: Sequence[str], dataset: str) -> dict[str, str]:
    """{finding: its header}, in the order of `findings`, for the findings that the table has.

    Raises ValueError if there is none, or if two columns are of one finding.
    """
    spelt = {plain(name): finding for name, finding in labels.CANONICAL.items()}
    spelt |= {plain(name): labels.canonical(name) for name in findings}
    spelt |= {plain(name): finding for name, finding in builder_file.BOX_NAMES.items()}
    columns: dict[str, str] = {}
    for header in table.columns:
        finding = spelt.get(plain(header)) or spelt.get(plain(AROUND.sub("", header)))
        if finding and columns.setdefault(finding, header) != header:
            raise ValueError(
                f"{table.file} has two columns for {finding}, {columns[finding]!r} and {header!r}: remove one"
            )
    known = {name: columns[finding] for name in findings if (finding := labels.canonical(name)) in columns}
    if not known:
        raise ValueError(
            f"{table.file} has no column for a finding of {dataset}, which labels {', '.join(findings)}; it has "
            f"{', '.join(table.columns)}"
        )
    return known


def read_values(table: ImageTable, headers: Sequence[str]) -> np.ndarray:
    """(rows, headers) float64. Raises ValueError for a cell that is empty or no finite number."""
    values = np.column_stack(
        [pd.to_numeric(pd.Series(table.columns[header]), errors="coerce").to_numpy(np.float64) for header in headers]
    )
    if (wrong := ~np.isfinite(values)).any():
        raise ValueError(f"{place_of(table, wrong, headers)} is no finite number")
    return values


def place_of(table: ImageTable, wrong: np.ndarray, headers: Sequence[str]) -> str:
    """The file, row, column and cell where a table of truth values, (rows, headers), is first true."""
    row, column = np.argwhere(wrong)[0].tolist()
    cell = table.columns[headers[column]][row]
    return f"{table.file}, {table.places[row]}, column {headers[column]}: {str(cell)!r}"


# Values


def to_logits(values: np.ndarray, table: ImageTable, headers: Sequence[str]) -> tuple[np.ndarray, str]:
    """The values as logits, and a sentence that says what they were taken for. Raises as `is_logits`."""
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if is_logits(values, table, headers):
        return values, f"The values of {table.file} were taken as logits: they go from {low:.3g} to {high:.3g}."
    return logit(values), f"The values of {table.file} were taken as probabilities: all of them lie from 0 to 1."


def is_logits(values: np.ndarray, table: ImageTable, headers: Sequence[str]) -> bool:
    """Whether a table is of logits. If all values lie from 0 to 1, it is of probabilities, whatever its headers say.

    Raises:
        ValueError: a value is out of range. Some values lie outside 0 to 1, but a header says `prob` or `p`, or they
            are few, or none is negative. A header that says `logit` settles it.
    """
    outside = (values < 0) | (values > 1)
    if not outside.any():
        return False
    words = [(match.group(1) or match.group(2)).lower() if (match := AROUND.search(h)) else "" for h in headers]
    called_probability = outside & np.array([word.startswith("p") and "pred" not in word for word in words])
    if called_probability.any():
        raise ValueError(f"{place_of(table, called_probability, headers)} is no probability, from 0 to 1")
    called_logit = any(word.startswith("logit") for word in words)
    if not called_logit and (outside.mean() < FEW_OUTSIDE or values.min() >= 0):
        raise ValueError(
            f"{place_of(table, outside, headers)} is no probability, from 0 to 1, as most values are or none is "
            "negative. If these are logits, call the columns logit_NAME"
        )
    return True


def logit(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)); 0 and 1 become finite logits, beyond those of all other probabilities.

    >>> logit(np.array([0.0, 0.5, 1.0]))
    array([-38.,   0.,  38.])
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    finite = logits[np.isfinite(logits)]
    lowest = min(-LARGEST, finite.min(initial=0.0) - 1)
    return np.clip(logits, lowest, LARGEST)


# Words


def find_missing(images: LabelledImages, row_of: np.ndarray, split: str) -> np.ndarray:
    """Which of n images are of `split`, but not in the table: (n,) bool."""
    return (images.rows["split"] == split).to_numpy() & (row_of < 0)


def refuse_missing(file: str, images: LabelledImages, missing: np.ndarray, split: str, way_out: str) -> None:
    """Raise ValueError if a table lacks images of `split`; without a way out, only if it lacks all of them."""
    whole = int((images.rows["split"] == split).sum())
    if missing.any() and (way_out or missing.sum() == whole):
        example = images.rows["image_file_path"][missing].iloc[0]
        end = way_out if missing.sum() < whole else "Give another --split"
        raise ValueError(
            f"{file} lacks {missing.sum():,} of the {whole:,} images of {split}, for example {example}. {end}"
        )


def notes_on_columns(
    table: ImageTable, used: Sequence[str], findings: Sequence[str], found: Sequence[str]
) -> list[str]:
    """Which columns of a table were not used, and which findings it has no column for."""
    ignored = [header for header in table.columns if header not in used]
    lacking = [finding for finding in findings if finding not in found]
    notes = []
    if ignored:
        notes.append(f"Ignored columns of {table.file}, which are no finding of the dataset: {', '.join(ignored)}.")
    if lacking:
        notes.append(f"{table.file} has no column for {', '.join(lacking)}: these findings are in no score.")
    return notes


def notes_on_images(file: str, images: LabelledImages, found: np.ndarray, split: str, missing: np.ndarray) -> list[str]:
    """Which images only the table has, or only the dataset, and that nobody knows what the model was trained on."""
    splits, notes = images.rows["split"], []
    named = splits.iloc[found[found >= 0]].value_counts()
    others = {f"in {name}": count for name, count in named.items() if name not in (split, "validation")}
    others |= {"not found in the dataset": (found < 0).sum()}
    if total := sum(others.values()):
        where = ", ".join(f"{count:,} {name}" for name, count in others.items() if count)
        notes.append(f"{total:,} images of {file} were not scored: {where}.")
    if missing.any():
        whole = (splits == split).sum()
        notes.append(f"{file} lacks {missing.sum():,} of the {whole:,} images of {split}: only the others are scored.")
    n_validation, n_named = int((splits == "validation").sum()), int(named.get("validation", 0))
    if 0 < n_named < n_validation:
        notes.append(f"{file} names {n_named:,} of the {n_validation:,} images of validation: they alone are used.")
    return [*notes, f"It is not known which images the model of {file} was trained on."]
