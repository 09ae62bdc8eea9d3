"""Reading scores, references and patients, each as a NumPy array. An error names the row."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

INTERVALS = ("analytic", "bootstrap", None)


def to_numpy(values: Any) -> np.ndarray:
    """An array, a list or a torch tensor on any device, as an array; torch itself is not imported."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16; float32 holds all its values.
        return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, list | tuple) and len(values) and hasattr(values[0], "detach"):
        values = [to_numpy(row) for row in values]
    return np.asarray(values)


def read_scores(
    scores: Any, labels: np.ndarray, names: Sequence[str], argument: str = "prediction_scores"
) -> np.ndarray:
    """Scores as a table without NaN.

    Args:
        scores: `(n, k)`, anything that `to_numpy` reads.
        labels, names: as `read_references` returns them.
        argument: what an error calls the scores.

    Returns:
        `(n, k)` float32 or float64.

    Raises:
        ValueError: another shape than `labels`; a NaN.

    >>> read_scores([[0.5, float("nan")]], np.zeros((1, 2)), ["Mass", "Hernia"])
    Traceback (most recent call last):
    ValueError: prediction_scores is NaN in row 0, column 1 (Hernia)
    """
    scores = to_numpy(scores)
    if scores.shape != labels.shape:
        raise ValueError(
            f"{argument} has shape {scores.shape} and references {labels.shape}: "
            "expected one row per image and one column per finding in both"
        )
    scores = scores.astype(np.result_type(scores.dtype, np.float32), copy=False)  # float16 sorts slowly
    if np.isnan(scores).any():
        raise ValueError(f"{argument} is NaN in {_first_place(np.isnan(scores), names)}")
    return scores


def read_references(references: Any, label_names: Iterable[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """References as a table, and the names of its columns.

    Args:
        references: `(n, k)` of 0, 1 and NaN, anything that `to_numpy` reads.
        label_names: k names. Default: "0", "1", ...

    Returns:
        `(n, k)` labels, bool, or float64 where some are unknown (NaN); and a list of k names.

    Raises:
        ValueError: no table; an entry other than 0, 1 and NaN; names that repeat, or are not one per column.

    >>> read_references([[0, 1]], ["Mass", "Hernia"])
    (array([[False,  True]]), ['Mass', 'Hernia'])
    """
    try:
        labels = to_numpy(references)
    except ValueError:  # rows of different lengths
        labels = np.empty(0)
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        raise ValueError(
            "references is no table: expected one row per image and in it the number 0, 1 or NaN for each finding"
        )
    names = [str(column) for column in range(labels.shape[1])] if label_names is None else list(label_names)
    if len(names) != labels.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"label_names must be {labels.shape[1]} different names, one per column, got {names}")
    return _zeros_and_ones(labels, names), names


def _zeros_and_ones(labels, names):
    if labels.dtype == bool:
        return labels
    unknown = np.isnan(labels)
    wrong = ~((labels == 0) | (labels == 1) | unknown)
    if wrong.any():
        raise ValueError(f"references is {labels[wrong][0]} in {_first_place(wrong, names)}: expected 0, 1 or NaN")
    return labels.astype(float) if unknown.any() else labels.astype(bool)


def _first_place(wrong, names):
    """Where the first True of a table is, in words."""
    row, column = np.argwhere(wrong)[0].tolist()
    return f"row {row}, column {column} ({names[column]})"


def read_groups(groups: Iterable[Hashable] | None, n: int) -> tuple[np.ndarray, int]:
    """Patients as numbers 0, 1, ... in order of appearance, `(n,)` int, and how many there are.

    Args:
        groups: n patients. None: each row is its own patient.
        n: the number of rows.

    Raises:
        ValueError: a group that is missing (None or NaN); another number of groups than n.

    >>> read_groups(["p7", "p3", "p7"], 3)
    (array([0, 1, 0]), 2)
    """
    if groups is None:
        return np.arange(n), n
    groups = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len(groups) != n:
        raise ValueError(f"groups has {len(groups)} entries for {n} rows: expected the patient of each row")
    number: dict[Hashable, int] = {}  # a dict: faster than sorting strings
    for row, group in enumerate(groups):
        if group is None or group != group:
            raise ValueError(f"groups is missing in row {row}")
        groups[row] = number.setdefault(group, len(number))
    return np.array(groups, dtype=int), len(number)


def check_settings(confidence_level: float, interval: str | None = None, n_resamples: int = 1) -> None:
    """Raise ValueError for a setting that `auroc_report` does not know or cannot use."""
    if interval not in INTERVALS:
        raise ValueError(f"interval must be one of {INTERVALS}, got {interval!r}")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must lie between 0 and 1, got {confidence_level}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")
