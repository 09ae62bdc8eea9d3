"""Means per finding and over findings, with intervals from resampled patients."""

from dataclasses import dataclass

import numpy as np

from multilabel_auroc.bootstrap import percentile_interval

MACRO = "mean"


@dataclass(frozen=True)
class Means:
    """Means of q quantities over the rows of each of f findings and, last, the mean of the findings' means.

    Attributes:
        values: (f + 1, q) float64, NaN where a quantity has no rows; such a finding is left out of the last row.
        resamples: (resamples, f + 1, q), the same with patients drawn with replacement.
    """

    values: np.ndarray
    resamples: np.ndarray

    def interval(self, confidence_level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Low and high of each value: two arrays (f + 1, q), from the percentiles of the resamples."""
        flat = self.resamples.reshape(len(self.resamples), -1).T
        low, high = percentile_interval(flat, confidence_level)
        return low.reshape(self.values.shape), high.reshape(self.values.shape)

    def p_values(self) -> np.ndarray:
        """Two-sided p of each value against 0, for values that are differences: (f + 1, q) float64.

        It is twice the smaller share of resamples at or beyond 0, counted with the sample itself (Davison and Hinkley
        1997, section 4.2), so that it is never 0; 1 where all are 0.
        """
        known = (~np.isnan(self.resamples)).sum(axis=0)
        beyond = np.minimum((self.resamples <= 0).sum(axis=0), (self.resamples >= 0).sum(axis=0))
        return np.where(np.isnan(self.values), np.nan, np.minimum(1, 2 * (beyond + 1) / (known + 1)))


def average(
    values: np.ndarray, findings: np.ndarray, patients: np.ndarray, n_resamples: int = 1000, seed: int = 0
) -> Means:
    """Means by finding, in alphabetical order, and their mean.

    Each resample draws as many patients as there are, with replacement, for all findings and quantities together. A
    finding that a resample has no patient of is left out of that resample's mean. Two calls with the same patients and
    seed draw the same resamples.

    Args:
        values: (n, q) float64, NaN where a row does not count for a quantity.
        findings, patients: (n,) str.
        seed: of `numpy.random.default_rng`.
    """
    units, unit = np.unique(patients, return_inverse=True)
    names, name = np.unique(findings, return_inverse=True)
    sums, counts = (np.zeros((len(units), len(names), values.shape[1])) for _ in range(2))
    np.add.at(sums, (unit, name), np.nan_to_num(values))
    np.add.at(counts, (unit, name), ~np.isnan(values))
    drawn = draw_patients(len(units), n_resamples, seed)
    return Means(divide(sums.sum(axis=0), counts.sum(axis=0)), divide(*(weigh(drawn, part) for part in (sums, counts))))


def draw_patients(count: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each patient is in each resample: (n_resamples, count) float64."""
    draws = np.random.default_rng(seed).integers(count, size=(n_resamples, count))
    return np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(np.float64)


def weigh(drawn: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Sums over patients by their weights: (resamples, p) and (p, f, q) give (resamples, f, q)."""
    return (drawn @ parts.reshape(len(parts), -1)).reshape(len(drawn), *parts.shape[1:])


def divide(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(..., f + 1, q): sums over counts for each finding, and their mean over the findings that have a count."""
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    known = (counts > 0).sum(axis=-2, keepdims=True)
    macro = np.where(known > 0, np.nansum(means, axis=-2, keepdims=True) / np.maximum(known, 1), np.nan)
    return np.concatenate([means, macro], axis=-2)
