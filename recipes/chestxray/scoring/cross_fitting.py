"""A threshold for each row that is chosen on other patients: what a row is scored by never saw its own box."""

import numpy as np
import pandas as pd

FOLDS = 5


def assign_folds(patients: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """Divide patients into folds of equal number, give or take one, by a hash of their names. No random state is kept.

    Args:
        patients: (n,) str, the patient of each row.

    Returns:
        (n,) int, 0 to `folds` - 1. Rows of one patient have the same.
    """
    names, positions = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    order = np.argsort(pd.util.hash_array(names.astype(object), categorize=False), kind="stable")
    fold = np.empty(len(names), int)
    fold[order] = np.arange(len(names)) % folds
    return fold[positions]


def choose_for_others(gains: np.ndarray, findings: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """For each row the candidate whose mean gain is best on the rows of its finding in the other folds of patients.

    Patients are divided for each finding by itself, so that every fold has some of them. Of equally good candidates the
    first is taken. A finding of one patient has no other folds: its rows take the middle candidate.

    Args:
        gains: (n, c) float, what each of c candidates reaches on each row; NaN where a row has no say.
        findings, patients: (n,) str.

    Returns:
        (n,) int, positions of candidates.
    """
    chosen = np.full(len(gains), gains.shape[1] // 2)
    for finding in np.unique(findings):
        rows = np.flatnonzero(findings == finding)
        fold = assign_folds(patients[rows])
        for own in np.unique(fold):
            others = gains[rows[fold != own]]
            if len(others):
                counted = np.maximum((~np.isnan(others)).sum(axis=0), 1)
                chosen[rows[fold == own]] = np.argmax(np.nansum(others, axis=0) / counted)
    return chosen
