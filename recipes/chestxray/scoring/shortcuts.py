"""What the metadata alone would score: view, age and sex, without a look at the image.

A model's AUROC counts for little where the projection gives the answer away: a portable AP film is taken of a patient
too ill to stand. Fitted on validation, the only rows besides the scored ones that a predictions file holds.
"""

import numpy as np
import pandas as pd

from chestxray.scoring import logistic
from multilabel_auroc import auroc

ATTRIBUTES = ("view", "age", "sex")
RIDGE = 1.0  # on standardised features, scikit-learn's default; it keeps the fit finite where few are positive


def audit(validation, scored):
    """AUROC per finding of logistic regressions on each attribute and on all together.

    Returns:
        A DataFrame, one row per finding and one column per attribute that rows of both have, and `together` where
        there are several; NaN where either split has one class only. Without any attribute it has no column.
    """
    present = [name for name in ATTRIBUTES if all(is_known(part.rows, name) for part in (validation, scored))]
    chosen = {name: [name] for name in present} | ({"together": present} if len(present) > 1 else {})
    scores = {name: auroc(_scores(validation, scored, columns), scored.targets) for name, columns in chosen.items()}
    table = pd.DataFrame(scores, index=scored.findings)
    table[~_both_classes(validation.targets)] = np.nan
    return table


def is_known(rows, name):
    return name in rows and rows[name].notna().any()


def _scores(validation, scored, columns):
    """(n, k): for each finding, the log odds that its regression gives the rows of `scored`."""
    fitted, wanted = (features(part.rows, validation.rows, columns) for part in (validation, scored))
    middle, spread = fitted.mean(axis=0), fitted.std(axis=0)
    spread[spread == 0] = 1
    fitted, wanted = (fitted - middle) / spread, (wanted - middle) / spread
    weights = [_fit_known(fitted, targets) for targets in validation.targets.T]
    return np.stack([wanted @ weight[:-1] for weight in weights], axis=1)


def _fit_known(fitted, targets):
    known = ~np.isnan(targets)
    return logistic.fit(fitted[known], targets[known], RIDGE, iterations=20)


def features(rows, reference, columns):
    """Metadata as numbers, (n, d): age and its square, and one column per category.

    Args:
        rows: what to describe.
        reference: the rows that say which categories exist, and what age stands in for a missing one (the median).
    """
    parts = []
    for name in columns:
        if name == "age":
            age = rows[name].astype(float).fillna(reference[name].astype(float).median())
            parts += [age, age**2]
        else:
            categories = sorted(reference[name].dropna().unique())
            # A missing value lies halfway between yes and no, so that it tells nothing.
            parts += [(rows[name] == category).astype(float).where(rows[name].notna(), 0.5) for category in categories]
    return np.column_stack(parts)


def _both_classes(targets):
    return (targets == 1).any(axis=0) & (targets == 0).any(axis=0)
