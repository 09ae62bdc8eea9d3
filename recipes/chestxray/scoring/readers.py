"""A model against what radiologists read in the same images, beside the labels of the dataset.

The dataset's labels may be mined from reports. The readings are never used to fit anything: no threshold and no
calibration comes from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from chestxray.data.image_names import ImageNames
from chestxray.data.predictions import Predictions
from multilabel_auroc import auroc_report, bootstrap_auroc

if TYPE_CHECKING:
    from chestxray.data.reading_files import Reading, ReadingFile

RESAMPLES = 2_000  # p-values below 0.001 can be told
AREAS = ("auroc", "auroc_low", "auroc_high")
DIFFERENCE = ("difference", "difference_low", "difference_high", "p_value")
COMPARED = (*(f"{reference}_{key}" for reference in ("reader", "label") for key in AREAS), *DIFFERENCE)


@dataclass(frozen=True)
class ReaderScores:
    """Numbers of one file of readings on one split.

    Attributes:
        file: its name.
        table: a row for each column of readings that was scored. Index: the column. `findings` (their names, joined by
            " or ") and `reason`; `images` and `patients` with a reading and a label; `read` and `labelled`, the images
            that are positive in the readings and in the labels, and `both`; `sensitivity` and `ppv` of the labels,
            which are both / read and both / labelled; `reader_auroc`, `label_auroc` and their `_low` and `_high`:
            the model against the readings and against the labels; `difference` (the first minus the second),
            `difference_low`, `difference_high` and `p_value`. NaN where it is undefined.
        left_out: {column: why it was not scored}.
        n_scored: images of the split. n_covered: those that the file names. n_unused: images of the file that are not
            among the scored ones.
    """

    file: str
    table: pd.DataFrame
    left_out: dict[str, str]
    n_scored: int
    n_covered: int
    n_unused: int


def score(scored: Predictions, readings: "ReadingFile", seed: int = 0) -> ReaderScores:
    """Score predictions of one split against readings of the same images.

    Args:
        scored: images with their labels.
        readings: of any images. seed: of the bootstrap.

    Raises:
        ValueError: an image is named twice; none of the images is in the file.
    """
    names, table = ImageNames(scored.rows["image_file_path"]), readings.table
    found = table.find_images(names, table.names_column(names), "the scored images")
    here = found >= 0
    covered, left_out, rows = scored.where(found[here]), {}, {}
    for reading in readings.readings:
        if reason := why_left_out(reading, scored):
            left_out[reading.column] = reason
        else:
            rows[reading.column] = score_column(covered, reading, reading.states[here], seed)
    numbers = pd.DataFrame.from_dict(rows, orient="index")
    return ReaderScores(table.file, numbers, left_out, len(scored.rows), int(here.sum()), int((~here).sum()))


def why_left_out(reading: "Reading", scored: Predictions) -> str:
    """Why a column cannot be scored, "" if it can."""
    if not reading.answer.findings:
        return reading.answer.reason
    known = canonical_names(scored.findings)
    lacking = [finding for finding in reading.answer.findings if finding not in known]
    return f"the model has no score for {', '.join(lacking)}" if lacking else ""


def score_column(covered: Predictions, reading: "Reading", states: np.ndarray, seed: int) -> dict:
    """A row of `ReaderScores.table`.

    Args:
        covered: n images; states: (n,), their readings, 0, 1 or NaN.
    """
    known = canonical_names(covered.findings)
    columns = [known.index(finding) for finding in reading.answer.findings]
    targets = union_target(covered.targets[:, columns])
    both = ~np.isnan(states) & ~np.isnan(targets)
    scores, references = union_logit(covered.logits[both][:, columns]), np.column_stack([states, targets])[both]
    return {
        "findings": " or ".join(covered.findings[column] for column in columns),
        "reason": reading.answer.reason,
        "images": int(both.sum()),
        **agreement(*references.T),
        **compare_references(scores, references, covered.rows["patient"][both], seed),
    }


def canonical_names(findings: Sequence[str]) -> list[str]:
    from chestxray.data import labels  # imports `datasets`, which few scorecards need

    return list(map(labels.canonical, findings))


def union_target(targets: np.ndarray) -> np.ndarray:
    """Whether at least one finding is there: (n, k) to (n,) of 0, 1 and NaN. One positive is enough to know it."""
    present, unknown = (targets == 1).any(axis=1), np.isnan(targets).any(axis=1)
    return np.where(present, 1.0, np.where(unknown, np.nan, 0.0))


def union_logit(logits: np.ndarray) -> np.ndarray:
    """The logit of 1 - prod(1 - p), the probability of at least one of k findings if they are independent.

    Unlike the highest p, it grows when a second finding is likely as well. The sum is of logarithms, so that nothing
    rounds to 1. logits: (n, k); returns (n,).

    >>> union_logit(np.array([[0.0, 0.0], [2.0, -np.inf]])).round(4)  # 1 - 1/4, odds 3; one finding alone
    array([1.0986, 2.    ])
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    none = np.logaddexp(0, logits).sum(axis=1)  # minus the logarithm of the probability of none
    return none + np.log(-np.expm1(-none))


def agreement(states: np.ndarray, targets: np.ndarray) -> dict:
    """How the labels (n,) agree with the readings (n,), both of 0 and 1."""
    read, labelled, both = (int(count) for count in (states.sum(), targets.sum(), (states * targets).sum()))
    share = {"sensitivity": both / read if read else np.nan, "ppv": both / labelled if labelled else np.nan}
    return {"read": read, "labelled": labelled, "both": both, **share}


def compare_references(scores: np.ndarray, references: np.ndarray, patients: pd.Series, seed: int) -> dict:
    """The AUROC of one score against two references on the same images, and its difference.

    The interval and the two-sided p-value of the difference come from a bootstrap over patients. Both references have
    the same resamples. The interval has their percentiles, p is twice the smaller share on one side of 0.

    Args:
        scores: (n,). references: (n, 2) of 0 and 1, the readings and the labels. patients: (n,).
    """
    twice = np.column_stack([scores, scores])
    if not len(scores):
        return {"patients": 0} | dict.fromkeys(COMPARED, np.nan)
    report = auroc_report(twice, references, patients, label_names=["reader", "label"])
    areas = {f"{name}_{key}": report[f"{key}/{name}"] for name in ("reader", "label") for key in AREAS}
    drawn = bootstrap_auroc(twice, references, patients, RESAMPLES, seed)
    differences = drawn[:, 0] - drawn[:, 1]
    values = (areas["reader_auroc"] - areas["label_auroc"], *spread(differences[~np.isnan(differences)]))
    return {"patients": report["n_groups"], **areas, **dict(zip(DIFFERENCE, values, strict=True))}


def spread(differences: np.ndarray) -> tuple[float, float, float]:
    """The 95% interval of resampled differences, and the two-sided p-value; NaN without any.

    The observed sample counts as one more resample on each side, so that p is never 0 (Davison & Hinkley 1997,
    section 4.2).
    """
    if not len(differences):
        return np.nan, np.nan, np.nan
    low, high = np.quantile(differences, [0.025, 0.975])
    side = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(low), float(high), float(min(1.0, 2 * (side + 1) / (len(differences) + 1)))


def as_dict(scores: ReaderScores) -> dict:
    """All of it as dicts and plain values, for JSON."""
    return {**vars(scores), "table": scores.table.to_dict("index")}
