"""What view, age and sex alone would score, without the image.

A model's AUROC says little if the projection alone gives a hint: a portable AP film is taken of a patient who is too
ill to stand. The regressions are fitted on validation, because a predictions file holds no training rows.
"""

import numpy as np
import pandas as pd

from chestxray.data.predictions import Predictions
from chestxray.scoring import logistic
from multilabel_auroc import auroc

ATTRIBUTES = ("view", "age", "sex")
RIDGE = 1.0  # on standardised features, scikit-learn's default; it keeps the fit finite where few are positive


def audit(validation: Predictions, scored: Predictions) -> pd.DataFrame:
    """AUROC per finding of logistic regressions on each attribute and on all together.

    Returns:
        A DataFrame with one row per finding. It has one column per attribute that both tables have, and `together` if
        there are several such attributes. NaN if one of the two tables has one class only.
    """
    present = [name for name in ATTRIBUTES if all(is_known(part.rows, name) for part in (validation, scored))]
    chosen = {name: [name] for name in present} | ({"together": present} if len(present) > 1 else {})
    scores = {name: auroc(_scores(validation, scored, columns), scored.targets) for name, columns in chosen.items()}
    table = pd.DataFrame(scores, index=scored.findings)
    table[~_both_classes(validation.targets)] = np.nan
    return table


def is_known(rows: pd.DataFrame, name: str) -> bool:
    """Whether any row has this attribute."""
    return name in rows and bool(rows[name].notna().any())


def _scores(validation, scored, columns):
    """(n, k): for each finding, the log odds that its regression gives the rows of `scored`."""
    fitted, wanted = (describe_rows(part.rows, validation.rows, columns) for part in (validation, scored))
    middle, spread = fitted.mean(axis=0), fitted.std(axis=0)
    spread[spread == 0] = 1
    fitted, wanted = (fitted - middle) / spread, (wanted - middle) / spread
    weights = [_fit_known(fitted, targets) for targets in validation.targets.T]
    return np.stack([wanted @ weight[:-1] for weight in weights], axis=1)


def _fit_known(fitted, targets):
    """(d + 1,) as `logistic.fit` gives it; zeros if there is one class only, and `audit` leaves this finding out."""
    known = ~np.isnan(targets)
    if len(np.unique(targets[known])) < 2:
        return np.zeros(fitted.shape[1] + 1)
    return logistic.fit(fitted[known], targets[known], RIDGE)


def describe_rows(rows: pd.DataFrame, reference: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Metadata as numbers, (n, d) float64: age and its square, and one column per category.

    Args:
        rows: n rows to describe.
        reference: the rows that say which categories there are. Their median age takes the place of a missing one.
        columns: some of ATTRIBUTES.
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
