"""Everything about one model: AUROC, intervals, average precision and counts, of each finding and of their mean."""

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from .bootstrap import percentile_interval, resample, warn_of_lost
from .inputs import check_settings, read_groups, read_references, read_scores
from .ranking import Ranking, mean_precision, rank, rank_columns, roc_area
from .variance import influences, logit_interval


def auroc_report(
    prediction_scores: Any,
    references: Any,
    groups: Iterable[Hashable] | None = None,
    *,
    label_names: Iterable[str] | None = None,
    interval: str | None = "analytic",
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one model, as a flat dict `{"auroc": 0.9, ..., "auroc/Hernia": 0.95, ...}`.

    Args:
        prediction_scores: `(n, k)` array, list, or torch tensor on any device; float16 to float64, bfloat16.
            Logits or probabilities. If you have both, give logits: a sigmoid rounds some to the same value.
        references: `(n, k)` of 0 and 1, or NaN where unknown: that image is left out for that finding.
        groups: `(n,)`, the patient of each image, of any hashable type. None: each image is its own patient.
        label_names: the k findings, in the order of the columns. Default: "0", "1", ...
        interval: "analytic" (the normal interval, on the logit scale, with the variance of
            `auroc_covariance`), "bootstrap" (percentiles of `bootstrap_auroc`), or None.
        confidence_level: of the intervals.
        n_resamples, seed: of the bootstrap.

    Returns:
        A flat dict, `quantity` for all findings together and `quantity/finding` for each one:
        - `auroc`, `auroc_low`, `auroc_high`, `average_precision`: the mean over the findings that have both
          classes, and each finding's;
        - `positives`, `negatives`: known labels, in the whole table and for each finding;
        - `auroc_micro`, `average_precision_micro`: all entries of the table ranked as one finding;
        - `n_findings`: how many entered the means; `undefined`: the names of the other findings;
        - `n_images`, `n_groups`: rows, and patients.
        What is undefined is NaN. Values are floats and ints, and `undefined` is a list.

    Raises:
        ValueError: input that is not as above; the message names the row or the column.

    Warns:
        UserWarning: a finding has one class only in some resamples. Its interval leaves them out.

    >>> scores = [[0.9, 0.2], [0.6, 0.7], [0.2, 0.4], [0.7, 0.1]]
    >>> report = auroc_report(scores, [[1, 0], [0, 1], [0, 0], [1, 0]], label_names=["Mass", "Hernia"], interval=None)
    >>> report["auroc"], report["auroc/Hernia"], report["positives/Mass"], report["undefined"]
    (1.0, 1.0, 2, [])
    """
    check_settings(confidence_level, interval, n_resamples)
    labels, names = read_references(references, label_names)
    scores = read_scores(prediction_scores, labels, names)
    units, n_units = read_groups(groups, len(labels))
    rankings = rank_columns(scores, labels)
    area = append_mean([roc_area(ranking) for ranking in rankings], rankings)
    bounds = {}
    if interval == "analytic":
        bounds = _analytic_bounds(area, rankings, units, n_units, confidence_level)
    elif interval == "bootstrap":
        resamples = resample(rankings, units, n_units, n_resamples, seed).T
        warn_of_lost(resamples, names, stacklevel=2)
        bounds = _bootstrap_bounds(resamples, rankings, confidence_level)
    precision = append_mean([mean_precision(ranking) for ranking in rankings], rankings)

    table = rank(scores.ravel(), labels.ravel())
    positives, negatives = np.array([ranking.counts for ranking in (*rankings, table)]).T
    quantities = {"auroc": area, **bounds, "average_precision": precision}
    quantities |= {"positives": positives, "negatives": negatives}
    micro = {"auroc_micro": roc_area(table), "average_precision_micro": mean_precision(table)}
    return flatten(quantities, names, **micro, **describe_sample(rankings, names, len(labels), n_units))


def _analytic_bounds(area, rankings, units, n_units, confidence_level):
    variance = (append_mean(influences(rankings, units, n_units), rankings) ** 2).sum(axis=1)
    low, high = logit_interval(area, variance, confidence_level)
    return {"auroc_low": low, "auroc_high": high}


def _bootstrap_bounds(resamples, rankings, confidence_level):
    low, high = percentile_interval(append_mean(resamples, rankings), confidence_level)
    return {"auroc_low": low, "auroc_high": high}


def append_mean(values: Any, rankings: list[Ranking]) -> np.ndarray:
    """`(k, ...)` to `(k + 1, ...)`: one row per finding, then the mean over the defined findings, NaN without any."""
    values = np.asarray(values)
    defined = np.array([ranking.defined for ranking in rankings], dtype=bool)
    mean = values[defined].mean(axis=0) if defined.any() else np.full(values.shape[1:], np.nan)
    return np.concatenate([values, mean[None]])


def describe_sample(rankings: list[Ranking], names: list[str], n_images: int, n_groups: int) -> dict[str, Any]:
    """`n_findings`, `undefined`, `n_images` and `n_groups` of a report."""
    undefined = [name for name, ranking in zip(names, rankings, strict=True) if not ranking.defined]
    return {
        "n_findings": len(names) - len(undefined),
        "undefined": undefined,
        "n_images": n_images,
        "n_groups": n_groups,
    }


def flatten(quantities: dict[str, np.ndarray], names: list[str], **rest: Any) -> dict[str, Any]:
    """`quantity: mean`, then `rest`, then `quantity/finding: value`, in Python's own numbers.

    Args:
        quantities: `(k + 1,)` each, the mean last: see `append_mean`.
        names: of the k findings.

    >>> flatten({"auroc": np.array([0.5, 1.0, 0.75])}, ["Mass", "Hernia"], n_findings=2)
    {'auroc': 0.75, 'n_findings': 2, 'auroc/Mass': 0.5, 'auroc/Hernia': 1.0}
    """
    flat = {quantity: values[-1].item() for quantity, values in quantities.items()} | rest
    for quantity, values in quantities.items():
        findings = zip(names, values[:-1].tolist(), strict=True)
        flat |= {f"{quantity}/{name}": value for name, value in findings}
    return flat
