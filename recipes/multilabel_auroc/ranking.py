"""One sort per finding. AUROC and average precision are sums over its levels, the distinct scores.

This is our own code and not scikit-learn's, because the variance and the bootstrap use the same sort. With
scikit-learn each would sort again.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .inputs import read_references, read_scores


class Ranking(NamedTuple):
    """One finding's images in ascending order of score, and its levels, the distinct scores.

    An image whose label is unknown (NaN) is not in it.

    Attributes:
        rows: `(images,)` int, the row of each image.
        positive: `(images,)` bool, the label of each image.
        size: `(levels,)` int, images at each level.
        positives: `(levels,)` int, positive images at each level.
    """

    rows: np.ndarray
    positive: np.ndarray
    size: np.ndarray
    positives: np.ndarray

    @property
    def negatives(self) -> np.ndarray:
        """`(levels,)` int, negative images at each level."""
        return self.size - self.positives

    @property
    def counts(self) -> tuple[int, int]:
        """m and n, the positive and the negative images."""
        m = int(self.positives.sum())
        return m, len(self.rows) - m

    @property
    def defined(self) -> bool:
        """Whether both classes are there; without them no AUROC exists."""
        return min(self.counts) > 0


def rank(scores: np.ndarray, labels: np.ndarray) -> Ranking:
    """Sort one finding's images.

    Args:
        scores: `(n,)` float, no NaN.
        labels: `(n,)` of 0 and 1, or NaN where unknown.

    >>> ranking = rank(np.array([0.2, 0.9, 0.2]), np.array([0, 1, 1]))
    >>> ranking.size.tolist(), ranking.positives.tolist()
    ([2, 1], [1, 1])
    """
    rows = np.argsort(scores)
    if labels.dtype.kind == "f":
        rows = rows[~np.isnan(labels[rows])]
    ordered, positive = scores[rows], labels[rows].astype(bool)
    is_last = np.ones(len(rows), dtype=bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    last = np.flatnonzero(is_last)  # of each level
    return Ranking(rows, positive, np.diff(last, prepend=-1), np.diff(np.cumsum(positive)[last], prepend=0))


def rank_columns(scores: np.ndarray, labels: np.ndarray) -> list[Ranking]:
    """The `Ranking` of each column of two `(n, k)` tables."""
    columns = zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(labels.T), strict=True)
    return [rank(*column) for column in columns]


def read_rankings(scores: Any, references: Any) -> list[Ranking]:
    """The `Ranking` of each finding: arguments and errors as for `auroc`."""
    labels, names = read_references(references)
    return rank_columns(read_scores(scores, labels, names, "scores"), labels)


def roc_area(ranking: Ranking) -> float:
    """Positive-negative pairs in the right order, ties one half, over all pairs; counted in integers."""
    if not ranking.defined:
        return np.nan
    twice_below = 2 * np.cumsum(ranking.negatives) - ranking.negatives
    return float(ranking.positives @ twice_below / (2 * math.prod(ranking.counts)))


def mean_precision(ranking: Ranking) -> float:
    """The sum over thresholds of the gain in recall times the precision there (scikit-learn's definition)."""
    if not ranking.defined:
        return np.nan
    positives = ranking.positives[::-1]
    precision = np.cumsum(positives) / np.cumsum(ranking.size[::-1])
    return float((positives * precision).sum() / positives.sum())


def auroc(scores: Any, references: Any) -> np.ndarray:
    """Area under the ROC curve of each finding, exact with ties.

    Args:
        scores: `(n, k)` float. Only their order counts, so any increasing function of them gives the same;
            infinities are ranked.
        references: `(n, k)` of 0 and 1, or NaN where unknown: that image is left out for that finding.

    Returns:
        `(k,)` float64, NaN where a finding has one class only.

    Raises:
        ValueError: shapes that differ, a NaN score, a reference that is not 0, 1 or NaN.

    >>> auroc([[0.1, 0.4], [0.8, 0.4], [0.3, 0.9]], [[0, 0], [1, 0], [0, 0]])
    array([ 1., nan])
    """
    return np.array([roc_area(ranking) for ranking in read_rankings(scores, references)])


def average_precision(scores: Any, references: Any) -> np.ndarray:
    """Average precision of each finding: arguments, result and errors as for `auroc`.

    >>> average_precision([[0.9], [0.8], [0.7]], [[1], [0], [1]]).round(4)
    array([0.8333])
    """
    return np.array([mean_precision(ranking) for ranking in read_rankings(scores, references)])
