"""Where a score becomes a call: thresholds chosen on one split, judged on another.

An image is called positive where its logit is at or above the threshold. A finding with one class only has no
threshold: NaN, and NaN is all that follows from it.
"""

import numpy as np
import pandas as pd

from multilabel_auroc.multilabel_auroc import rank

RULES = ("youden", "f1", "sensitivity")  # in words: reporting/templates/rule.jinja


def fit(logits, targets, sensitivity):
    """A threshold per finding and rule, halfway between two scores that occur; the lowest of several as good.

    Args:
        logits: (n, k).
        targets: (n, k) of 0, 1 and NaN.
        sensitivity: what the rule of that name is to reach, above 0 and at most 1.

    Returns:
        {rule: (k,) float64}.
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity is {sensitivity}; it lies above 0 and is at most 1")
    columns = [_fit_one(*column, sensitivity) for column in zip(logits.T, targets.T, strict=True)]
    return {rule: np.array([column[rule] for column in columns]) for rule in RULES}


def _fit_one(logits, targets, sensitivity):
    ranking = rank(logits, targets)
    if not ranking.defined:
        return dict.fromkeys(RULES, np.nan)
    (m, n), levels = ranking.counts, logits[ranking.rows[np.cumsum(ranking.size) - 1]]
    levels[1:] = (levels[1:] + levels[:-1]) / 2  # the same calls here, and fairer ones of scores not seen yet
    found = np.cumsum(ranking.positives[::-1])[::-1]  # true and false positives at or above each level
    wrong = np.cumsum(ranking.negatives[::-1])[::-1]
    reached = np.flatnonzero(found >= sensitivity * m - 1e-9)
    return {
        "youden": levels[np.argmax(found / m - wrong / n)],
        "f1": levels[np.argmax(found / (found + wrong + m))],
        "sensitivity": levels[reached[-1]],
    }


def judge(logits, targets, threshold):
    """What the thresholds do on these images.

    Args:
        logits, targets: (n, k), as for `fit`.
        threshold: (k,), NaN where a finding has none.

    Returns:
        A DataFrame of k rows: `sensitivity`, `specificity`, `ppv`, `npv`. NaN where nothing is divided by nothing, and
        all four for a finding that has one class only here.
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
