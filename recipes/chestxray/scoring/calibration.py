"""Platt scaling, and how far probabilities are from the truth before and after it.

In this module, logits and targets are (n, k), and a target is 0, 1, or NaN for unknown. A result has one entry per
finding, NaN where it is undefined.
"""

import math

import numpy as np
from scipy.special import expit

from chestxray.scoring import logistic

BINS = 15  # of equal width, as in Guo et al. 2017, section 5


def fit(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Slope and intercept per finding, by Platt scaling (Platt 1999, section 2.2) on the logits.

    With N+ positives and N- negatives the targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2), as in Platt, not 1 and 0.
    So the fit stays finite with few images, and with classes that do not overlap. The caller decides how many positives
    are enough: see `validation.FEWEST`.

    Returns:
        (k, 2) float64. NaN for a finding with one class only, or with one logit for all images: there is nothing to
        fit. NaN also if the slope is not above zero, because it would reverse the ranking.
    """
    return np.stack([_fit_one(*column) for column in zip(logits.T, targets.T, strict=True)])


def _fit_one(logits, targets):
    known = ~np.isnan(targets)
    logits, positive = logits[known], targets[known] == 1
    m, n = positive.sum(), (~positive).sum()
    if not m or not n or np.ptp(logits) == 0:
        return np.full(2, np.nan)
    fitted = logistic.fit(logits[:, None], np.where(positive, (m + 1) / (m + 2), 1 / (n + 2)))
    return fitted if fitted[0] > 0 else np.full(2, np.nan)


def apply(logits: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Calibrated probabilities, (n, k), by the (k, 2) parameters of `fit`; NaN for findings without parameters."""
    return expit(logits * parameters[:, 0] + parameters[:, 1])


def brier(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean squared distance between probability and target (Brier 1950), (k,)."""
    squares, known = (probabilities - targets) ** 2, ~np.isnan(targets)
    return _ratio(np.where(known, squares, 0).sum(axis=0), known.sum(axis=0))


def calibration_error(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The expected calibration error, (k,): see `reliability` for the bins.

    It is the mean over images of |share of positives - mean probability| of the image's bin (Guo et al. 2017, equation
    3). The probability is that of the finding, not the confidence in the likelier answer (Naeini et al. 2015).
    """
    bins = [reliability(*column) for column in zip(probabilities.T, targets.T, strict=True)]
    return np.array(
        [(count * np.abs(share - mean)).sum() / count.sum() if len(count) else np.nan for mean, share, count in bins]
    )


def chance_error(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The calibration error that chance alone gives a model with perfect probabilities, (k,).

    With few images every model has a high error (Roelofs et al. 2022, AISTATS). In a bin of n images, with mean
    probability p, the number of positives is taken as binomial; `_mean_distance` is how far its share is from p.
    """
    return np.array([_chance_error_of(*column) for column in zip(probabilities.T, targets.T, strict=True)])


def _chance_error_of(probabilities, targets):
    mean, _, count = reliability(probabilities, targets)
    distances = [_mean_distance(n, p) for n, p in zip(count.tolist(), mean.tolist(), strict=True)]
    return count @ distances / count.sum() if len(count) else np.nan


def _mean_distance(n, p):
    """E|K / n - p| of a binomial K (De Moivre 1730; Diaconis & Zabell 1991, doi 10.1214/ss/1177011699).

    >>> round(_mean_distance(1, 0.1), 6)  # 0.1 × 0.9 + 0.9 × 0.1
    0.18
    """
    k = math.floor(n * p) + 1
    if not 0 < p < 1 or k > n:
        return 0.0
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return 2 * k * (1 - p) / n * math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))


def reliability(probabilities: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One finding's images in BINS bins of its probability, all of the same width; empty bins are left out.

    Args:
        probabilities, targets: (n,).

    Returns:
        Mean probability, share of positives and number of images of each bin, three arrays; empty where nothing is
        known.
    """
    known = ~np.isnan(targets) & ~np.isnan(probabilities)
    probabilities, targets = probabilities[known], targets[known]
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    filled = count > 0
    mean, share = (np.bincount(place, values, BINS)[filled] / count[filled] for values in (probabilities, targets))
    return mean, share, count[filled]


def _ratio(part, whole):
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
