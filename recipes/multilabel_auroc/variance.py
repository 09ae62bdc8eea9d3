"""The analytic variance of AUROC, for images that come in patients.

Notation, as in DeLong et al. (1988): a finding has m positive and n negative images. V10 of a positive
image is the share of negatives that score below it. V01 of a negative image is the share of positives that
score above it. A tie counts one half. The mean of V10 is AUROC, and so is the mean of V01.
"""

from collections.abc import Hashable, Iterable
from statistics import NormalDist
from typing import Any

import numpy as np

from .inputs import read_groups
from .ranking import Ranking, read_rankings, roc_area


def influence(ranking: Ranking, units: np.ndarray, n_units: int) -> np.ndarray:
    """What each patient adds to the error of one AUROC, scaled so that the squares sum to its variance.

    Let x and y be a patient's sums of (V10 - AUROC) / m over positive images and of (V01 - AUROC) / n over
    negative ones. With I patients, I10 of them with a positive image and I01 with a negative one, the
    variance of Obuchowski (1997, S10 / m + S01 / n + 2 S11 / (m n)) is

        a sum x^2 + b sum y^2 + 2 c sum x y,    a = I10 / (I10 - 1), b = I01 / (I01 - 1), c = I / (I - 1),

    which equals c sum (x + y)^2 + (a - c) sum x^2 + (b - c) sum y^2. These are three sums of squares, because
    c is the smallest factor. So the product of two such vectors is a covariance, and a matrix of such products
    is positive semi-definite. With one image per patient, x y = 0, and the variance is DeLong's.

    Args:
        ranking: the finding.
        units: `(rows,)` int, the patient of each row.
        n_units: the number of patients.

    Returns:
        `(3 * n_units,)` float64; NaN if fewer than two patients are positive, or negative.
    """
    undefined = np.full(3 * n_units, np.nan)
    if not ranking.defined:
        return undefined
    cell = units[ranking.rows] + n_units * ranking.positive
    y, x = np.bincount(cell, _errors(ranking), 2 * n_units).reshape(2, n_units)
    holds = np.bincount(cell, minlength=2 * n_units).reshape(2, n_units) > 0
    patients = np.array([*holds.sum(axis=1), holds.any(axis=0).sum()])
    if patients.min() < 2:
        return undefined
    b, a, c = patients / (patients - 1)
    return np.concatenate([np.sqrt(c) * (x + y), np.sqrt(a - c) * x, np.sqrt(b - c) * y])


def _errors(ranking):
    """(V10 - AUROC) / m of a positive image, (V01 - AUROC) / n of a negative one: `(images,)`, in the ranking's order.

    Both placements come from the running counts of the levels (Sun & Xu 2014), so nothing is compared in pairs.
    """
    (m, n), area, positives, negatives = ranking.counts, roc_area(ranking), ranking.positives, ranking.negatives
    v10 = (np.cumsum(negatives) - negatives / 2) / n
    v01 = 1 - (np.cumsum(positives) - positives / 2) / m
    of_positive, of_negative = (np.repeat(v, ranking.size) for v in ((v10 - area) / m, (v01 - area) / n))
    return np.where(ranking.positive, of_positive, of_negative)


def influences(rankings: list[Ranking], units: np.ndarray, n_units: int) -> np.ndarray:
    """`(k, 3 * n_units)`, one row per finding: see `influence`."""
    return np.stack([influence(ranking, units, n_units) for ranking in rankings])


def auroc_covariance(scores: Any, references: Any, groups: Iterable[Hashable] | None = None) -> np.ndarray:
    """Covariance of the findings' AUROCs: DeLong et al. (1988); with groups, Obuchowski (1997).

    O(n log n) per finding, because placements come from ranks (Sun & Xu 2014). The diagonal is exactly the
    published estimator. Between two findings, whose positive images differ, it is the same sum over patients
    with each finding's own small-sample factors: see `influence`.

    Args:
        scores, references: as for `auroc`.
        groups: `(n,)`, the patient of each image, of any hashable type. None: each image is its own patient.

    Returns:
        `(k, k)` float64; NaN for a finding with fewer than two positive, or two negative, patients.

    Raises:
        ValueError: as `auroc`; groups that are missing, or not one per row.

    >>> scores, references = [[0.1], [0.6], [0.5], [0.9]], [[0], [0], [1], [1]]
    >>> auroc_covariance(scores, references)  # V10 = 1/2, 1 and V01 = 1, 1/2: (1/8) / 2 + (1/8) / 2
    array([[0.125]])
    """
    rankings = read_rankings(scores, references)
    rows = influences(rankings, *read_groups(groups, len(references)))
    return rows @ rows.T


def normal_quantile(confidence_level: float) -> float:
    """How many standard errors a two-sided normal interval reaches to each side.

    >>> round(normal_quantile(0.95), 3)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + confidence_level / 2)


def logit_interval(
    area: float | np.ndarray, variance: float | np.ndarray, confidence_level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """A normal interval on the logit scale, brought back, so that it stays inside (0, 1).

    Args:
        area, variance: floats, or arrays of one shape.
        confidence_level: between 0 and 1.

    Returns:
        Low and high, of that shape. NaN where the area is 0 or 1: there the estimated variance is 0, which
        says nothing.

    >>> low, high = logit_interval(0.9, 0.03**2)
    >>> round(float(low), 3), round(float(high), 3)
    (0.824, 0.945)
    """
    area, variance = np.asarray(area, dtype=float), np.asarray(variance, dtype=float)
    with np.errstate(all="ignore"):
        half = normal_quantile(confidence_level) * np.sqrt(variance) / (area * (1 - area))
        odds = area / (1 - area)
        return 1 / (1 + np.exp(half) / odds), 1 / (1 + np.exp(-half) / odds)
