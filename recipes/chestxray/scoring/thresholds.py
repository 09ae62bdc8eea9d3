"""Thresholds: chosen on one split, judged on another.

An image is called positive where its logit is at or above the threshold. A finding with one class only has no
threshold: it is NaN, and so is everything that is computed with it.
"""

import numpy as np
import pandas as pd

from chestxray.scoring.choices import RULES


def fit(logits: np.ndarray, targets: np.ndarray, sensitivity: float) -> dict[str, np.ndarray]:
    """A threshold per finding and rule, halfway between two scores that occur; the lowest if several are equally good.

    Args:
        logits: (n, k).
        targets: (n, k) of 0, 1 and NaN.
        sensitivity: the sensitivity that the rule "sensitivity" must reach here, above 0 and at most 1.

    Returns:
        {rule: (k,) float64}, NaN where a finding has one class only.

    Raises:
        ValueError: the sensitivity is not in this range.
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity is {sensitivity}; it lies above 0 and is at most 1")
    columns = [_fit_one(*column, sensitivity) for column in zip(logits.T, targets.T, strict=True)]
    return {rule: np.array([column[rule] for column in columns]) for rule in RULES}


def _fit_one(logits, targets, sensitivity):
    from sklearn.metrics import roc_curve  # takes a second, which reading a calibration does not need

    known = ~np.isnan(targets)
    positive = targets[known] == 1
    m, n = positive.sum(), (~positive).sum()
    if not m or not n:
        return dict.fromkeys(RULES, np.nan)
    curve = roc_curve(positive, logits[known], drop_intermediate=False)
    # In ascending order of the threshold, without the one that is above all scores.
    false_rate, true_rate, levels = (values[:0:-1] for values in curve)
    limits = levels.copy()
    limits[1:] = (levels[1:] + levels[:-1]) / 2  # the same calls here, and fairer calls of scores in between
    found, wrong = np.rint(true_rate * m), np.rint(false_rate * n)  # whole numbers, so that equal F1 are exactly equal
    reached = np.flatnonzero(found >= sensitivity * m - 1e-9)
    return {
        "youden": limits[np.argmax(true_rate - false_rate)],
        "f1": limits[np.argmax(found / (found + wrong + m))],
        "sensitivity": limits[reached[-1]],
    }


def judge(logits: np.ndarray, targets: np.ndarray, threshold: np.ndarray) -> pd.DataFrame:
    """What the thresholds do on these images.

    Args:
        logits, targets: (n, k), as for `fit`.
        threshold: (k,), NaN where a finding has none.

    Returns:
        A DataFrame of k rows: `sensitivity`, `specificity`, `ppv`, `npv`. NaN where there is nothing to divide by. All
        four are NaN for a finding that has one class only here.
    """
    called, positive, negative = logits >= threshold, targets == 1, targets == 0
    found, missed = (called & positive).sum(axis=0), (~called & positive).sum(axis=0)
    wrong, cleared = (called & negative).sum(axis=0), (~called & negative).sum(axis=0)
    pairs = {
        "sensitivity": (found, missed),
        "specificity": (cleared, wrong),
        "ppv": (found, wrong),
        "npv": (cleared, missed),
    }
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame({name: right / (right + other) for name, (right, other) in pairs.items()})
    table[np.isnan(threshold) | ~positive.any(axis=0) | ~negative.any(axis=0)] = np.nan
    return table
