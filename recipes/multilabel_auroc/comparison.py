"""The paired test of two models on the same images."""

import math
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from .inputs import check_settings, read_groups, read_references, read_scores
from .ranking import rank_columns, roc_area
from .report import append_mean, describe_sample, flatten
from .variance import influences, normal_quantile


def compare(
    scores_a: Any,
    scores_b: Any,
    references: Any,
    groups: Iterable[Hashable] | None = None,
    *,
    label_names: Iterable[str] | None = None,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """The paired test of two models on the same images: is A's AUROC other than B's?

    The variance of the difference is from DeLong et al. (1988) for correlated curves, or with groups from
    Obuchowski (1997). For the mean it includes the covariance between findings. The interval and the p-value
    are normal, on the difference itself.

    Args:
        scores_a, scores_b: `(n, k)` each, as `prediction_scores` of `auroc_report`.
        references, groups, label_names, confidence_level: as for `auroc_report`.

    Returns:
        A flat dict, as from `auroc_report`: `auroc_a`, `auroc_b`, `difference` (A minus B),
        `difference_low`, `difference_high` and the two-sided `p_value`, of the mean and of each finding;
        `n_findings`, `undefined`, `n_images`, `n_groups`.

    Raises:
        ValueError: as `auroc_report`.

    >>> a, b = [[0.1], [0.6], [0.5], [0.9], [0.3]], [[0.1], [0.6], [0.3], [0.9], [0.5]]
    >>> result = compare(a, b, [[0], [0], [1], [1], [0]], label_names=["Hernia"])
    >>> round(result["difference/Hernia"], 4), round(result["p_value/Hernia"], 4)
    (0.1667, 0.4795)
    """
    check_settings(confidence_level)
    labels, names = read_references(references, label_names)
    rankings_a = rank_columns(read_scores(scores_a, labels, names, "scores_a"), labels)
    rankings_b = rank_columns(read_scores(scores_b, labels, names, "scores_b"), labels)
    units, n_units = read_groups(groups, len(labels))

    areas = ([roc_area(ranking) for ranking in rankings] for rankings in (rankings_a, rankings_b))
    area_a, area_b = (append_mean(area, rankings_a) for area in areas)
    # Squares of a difference: never negative, and exactly 0 for two models that rank alike.
    difference = influences(rankings_a, units, n_units) - influences(rankings_b, units, n_units)
    variance = (append_mean(difference, rankings_a) ** 2).sum(axis=1)
    quantities = {"auroc_a": area_a, "auroc_b": area_b, **_test(area_a - area_b, variance, confidence_level)}
    return flatten(quantities, names, **describe_sample(rankings_a, names, len(labels), n_units))


def _test(difference, variance, confidence_level):
    """The normal test of `(k + 1,)` differences. With variance 0 it is NaN, unless the difference is 0 too."""
    error = np.sqrt(np.where((variance == 0) & (difference != 0), np.nan, variance))
    half = normal_quantile(confidence_level) * error
    z = np.abs(difference) / np.where(error == 0, 1, error)
    return {
        "difference": difference,
        "difference_low": np.maximum(difference - half, -1),
        "difference_high": np.minimum(difference + half, 1),
        "p_value": np.array([math.erfc(value / math.sqrt(2)) for value in z]),
    }
