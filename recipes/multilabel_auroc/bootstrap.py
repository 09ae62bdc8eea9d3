"""The bootstrap over patients: each resample gives a finding's ranking new weights. Nothing is sorted again."""

import warnings
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from .inputs import read_groups
from .ranking import Ranking, read_rankings

CHUNK = 2**20  # rows drawn at once, in all resamples of a chunk together: some tens of MB


def bootstrap_auroc(
    scores: Any, references: Any, groups: Iterable[Hashable] | None = None, n_resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """AUROC of each finding in resamples of the patients, drawn with replacement. All findings use the same resamples.

    Args:
        scores, references, groups: as for `auroc_covariance`; without groups, images are drawn.
        n_resamples: how many.
        seed: for `numpy.random.default_rng`; the same seed draws the same resamples.

    Returns:
        `(n_resamples, k)` float64, NaN where a resample holds one class only.

    Raises:
        ValueError: as `auroc_covariance`.

    >>> bootstrap_auroc([[0.1], [0.6], [0.5], [0.9]], [[0], [0], [1], [1]], n_resamples=3).shape
    (3, 1)
    """
    rankings = read_rankings(scores, references)
    return resample(rankings, *read_groups(groups, len(references)), n_resamples, seed)


def resample(rankings: list[Ranking], units: np.ndarray, n_units: int, n_resamples: int, seed: int) -> np.ndarray:
    """`(n_resamples, k)` AUROCs, a chunk of resamples at a time.

    Args:
        rankings: of the k findings.
        units: `(rows,)` int, the patient of each row.
        n_units: the number of patients.
        n_resamples, seed: as for `bootstrap_auroc`.
    """
    rng, chunk, blocks = np.random.default_rng(seed), max(1, CHUNK // len(units)), []
    for start in range(0, n_resamples, chunk):
        draws = rng.integers(n_units, size=(min(chunk, n_resamples - start), n_units))
        counts = np.stack([np.bincount(draw, minlength=n_units) for draw in draws]).astype(np.int32)
        blocks.append(np.stack([_weighted_areas(ranking, units, counts) for ranking in rankings], axis=1))
    return np.concatenate(blocks)


def _weighted_areas(ranking, units, counts):
    """AUROC of one finding in resamples. `counts` says how often each patient is in each. One running sum, no sort.

    Args:
        ranking, units: as for `resample`.
        counts: `(resamples, n_units)` int32.

    Returns:
        `(resamples,)` float64, NaN where a resample holds one class only.
    """
    patients, positives, upto = units[ranking.rows], ranking.positives, np.cumsum(ranking.negatives)
    weight = counts.take(patients[ranking.positive], axis=1)
    below = np.zeros((len(counts), ranking.counts[1] + 1), dtype=np.int32)  # weight of the lowest negatives
    np.cumsum(counts.take(patients[~ranking.positive], axis=1), axis=1, dtype=np.int32, out=below[:, 1:])
    twice_below = below.take(np.repeat(upto - ranking.negatives, positives), axis=1)
    twice_below += below.take(np.repeat(upto, positives), axis=1)
    pairs = weight.sum(axis=1, dtype=np.int64) * below[:, -1]
    with np.errstate(invalid="ignore"):
        return np.multiply(weight, twice_below, dtype=np.int64).sum(axis=1) / (2 * pairs)


def percentile_interval(resamples: np.ndarray, confidence_level: float) -> tuple[np.ndarray, np.ndarray]:
    """Low and high over the resamples that have a value.

    Args:
        resamples: `(quantities, n_resamples)` float64.
        confidence_level: between 0 and 1.

    Returns:
        Two arrays `(quantities,)`, NaN where no resample has a value.
    """
    tail, some = (1 - confidence_level) / 2, ~np.isnan(resamples).all(axis=1)
    bounds = np.full((2, len(resamples)), np.nan)
    if some.any():
        bounds[:, some] = np.nanquantile(resamples[some], [tail, 1 - tail], axis=1)
    low, high = bounds
    return low, high


def warn_of_lost(resamples: np.ndarray, names: list[str], stacklevel: int) -> None:
    """Warn about findings that have one class only in some resamples, and so no AUROC there.

    Args:
        resamples: `(k, n_resamples)` float64.
        names: of the k findings.
        stacklevel: as for `warnings.warn`, counted from here.
    """
    n_resamples, lost = resamples.shape[1], np.isnan(resamples).sum(axis=1)
    partly = [f"{name} {n}" for name, n in zip(names, lost, strict=True) if 0 < n < n_resamples]
    if partly:
        warnings.warn(
            f"resamples with one class only are left out of the interval of the finding, and of the mean; how many "
            f"of {n_resamples}: {', '.join(partly)}",
            stacklevel=stacklevel + 1,
        )
