"""AUROC per finding of a multi-label classifier, with intervals that know images come in patients.

Pure functions of NumPy arrays come first; `MultilabelAUROC`, at the end, is the thin `evaluate` module
over them. All rests on one sort per finding (`Ranking`): AUROC and average precision are sums over its
levels, the analytic variance uses its placements, and the bootstrap weights it anew without sorting again.

Notation, as in DeLong et al. (1988): a finding has m positive and n negative images. V10 of a positive
image is the share of negatives that score below it, V01 of a negative image the share of positives that
score above it, a tie counting one half. AUROC is the mean of either.
"""

import itertools
import math
import warnings
from statistics import NormalDist
from typing import NamedTuple

import datasets
import evaluate
import numpy as np

INTERVALS = ("analytic", "bootstrap", None)
NO_FINDING = "No Finding"  # the class that means "none of the others", and so has no score column


# --- one sort per finding


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
    def negatives(self):
        """`(levels,)` int, negative images at each level."""
        return self.size - self.positives

    @property
    def counts(self):
        """m and n, the positive and the negative images."""
        m = int(self.positives.sum())
        return m, len(self.rows) - m

    @property
    def defined(self):
        """Whether both classes are there; without them no AUROC exists."""
        return min(self.counts) > 0


def rank(scores, labels):
    """Sort one finding's images.

    Args:
        scores: `(n,)` float, no NaN.
        labels: `(n,)` of 0 and 1, or NaN where unknown.

    Returns:
        A `Ranking`.

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


def _rank_columns(scores, labels):
    columns = zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(labels.T), strict=True)
    return [rank(*column) for column in columns]


def _area(ranking):
    """Positive-negative pairs in the right order, ties one half, over all pairs; counted in integers."""
    if not ranking.defined:
        return np.nan
    twice_below = 2 * np.cumsum(ranking.negatives) - ranking.negatives
    return float(ranking.positives @ twice_below / (2 * math.prod(ranking.counts)))


def _precision(ranking):
    """The sum over thresholds of the gain in recall times the precision there (scikit-learn's definition)."""
    if not ranking.defined:
        return np.nan
    positives = ranking.positives[::-1]
    precision = np.cumsum(positives) / np.cumsum(ranking.size[::-1])
    return float((positives * precision).sum() / positives.sum())


def auroc(scores, references):
    """Area under the ROC curve of each finding, exact with ties.

    Args:
        scores: `(n, k)` float. Only their order counts, so any increasing function of them does as well;
            infinities are ranked.
        references: `(n, k)` of 0 and 1, or NaN where unknown: that image is left out for that finding.

    Returns:
        `(k,)` float64, NaN where a finding has one class only.

    Raises:
        ValueError: shapes that differ, a NaN score, a reference that is not 0, 1 or NaN.

    >>> auroc([[0.1, 0.4], [0.8, 0.4], [0.3, 0.9]], [[0, 0], [1, 0], [0, 0]])
    array([ 1., nan])
    """
    return np.array([_area(ranking) for ranking in _read_rankings(scores, references)])


def average_precision(scores, references):
    """Average precision of each finding: arguments, result and errors as for `auroc`.

    >>> average_precision([[0.9], [0.8], [0.7]], [[1], [0], [1]]).round(4)
    array([0.8333])
    """
    return np.array([_precision(ranking) for ranking in _read_rankings(scores, references)])


# --- the analytic variance


def _influence(ranking, unit, n_units):
    """What each patient adds to the error of one AUROC, scaled so that the squares sum to its variance.

    Let x and y be a patient's sums of (V10 - AUROC) / m over positive images and of (V01 - AUROC) / n over
    negative ones. With I patients, I10 of them with a positive image and I01 with a negative one, the
    variance of Obuchowski (1997, S10 / m + S01 / n + 2 S11 / (m n)) is

        a sum x^2 + b sum y^2 + 2 c sum x y,    a = I10 / (I10 - 1), b = I01 / (I01 - 1), c = I / (I - 1),

    which equals c sum (x + y)^2 + (a - c) sum x^2 + (b - c) sum y^2. These are three sums of squares, as c
    is the smallest factor; so the products of two such vectors are a covariance, and a matrix of them is
    positive semi-definite. With one image per patient, x y = 0 and the variance is that of DeLong et al.

    Args:
        ranking: the finding.
        unit: `(rows,)` int, the patient of each row.
        n_units: the number of patients.

    Returns:
        `(3 * n_units,)` float64; NaN if fewer than two patients are positive, or negative.
    """
    nothing = np.full(3 * n_units, np.nan)
    if not ranking.defined:
        return nothing
    (m, n), area, positives, negatives = ranking.counts, _area(ranking), ranking.positives, ranking.negatives
    v10 = (np.cumsum(negatives) - negatives / 2) / n
    v01 = 1 - (np.cumsum(positives) - positives / 2) / m
    x, y = (np.repeat(v, ranking.size) for v in ((v10 - area) / m, (v01 - area) / n))
    cell = unit[ranking.rows] + n_units * ranking.positive
    y, x = np.bincount(cell, np.where(ranking.positive, x, y), 2 * n_units).reshape(2, n_units)
    holds = np.bincount(cell, minlength=2 * n_units).reshape(2, n_units) > 0
    patients = np.array([*holds.sum(axis=1), holds.any(axis=0).sum()])
    if patients.min() < 2:
        return nothing
    b, a, c = patients / (patients - 1)
    return np.concatenate([np.sqrt(c) * (x + y), np.sqrt(a - c) * x, np.sqrt(b - c) * y])


def _influences(rankings, unit, n_units):
    """`(k, 3 * n_units)`, one row per finding."""
    return np.stack([_influence(ranking, unit, n_units) for ranking in rankings])


def auroc_covariance(scores, references, groups=None):
    """Covariance of the findings' AUROCs: DeLong et al. (1988); with groups, Obuchowski (1997).

    O(n log n) per finding, because placements come from ranks (Sun & Xu 2014). The diagonal is exactly the
    published estimator. Between two findings, whose positive images differ, it is the same sum over patients
    with each finding's own small-sample factors: see `_influence`.

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
    rankings = _read_rankings(scores, references)
    influence = _influences(rankings, *read_groups(groups, len(references)))
    return influence @ influence.T


def _normal_quantile(confidence_level):
    return NormalDist().inv_cdf(0.5 + confidence_level / 2)


def logit_interval(area, variance, confidence_level=0.95):
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
        half = _normal_quantile(confidence_level) * np.sqrt(variance) / (area * (1 - area))
        odds = area / (1 - area)
        return 1 / (1 + np.exp(half) / odds), 1 / (1 + np.exp(-half) / odds)


# --- the bootstrap


def _resampled_area(ranking, unit, counts):
    """AUROC of one finding in resamples that hold each patient so many times; no sort, one running sum.

    Args:
        ranking, unit: as for `_influence`.
        counts: `(resamples, n_units)` int32.

    Returns:
        `(resamples,)` float64, NaN where a resample holds one class only.
    """
    patients, positives, upto = unit[ranking.rows], ranking.positives, np.cumsum(ranking.negatives)
    weight = counts.take(patients[ranking.positive], axis=1)
    below = np.zeros((len(counts), ranking.counts[1] + 1), dtype=np.int32)  # weight of the lowest negatives
    np.cumsum(counts.take(patients[~ranking.positive], axis=1), axis=1, dtype=np.int32, out=below[:, 1:])
    twice_below = below.take(np.repeat(upto - ranking.negatives, positives), axis=1)
    twice_below += below.take(np.repeat(upto, positives), axis=1)
    pairs = weight.sum(axis=1, dtype=np.int64) * below[:, -1]
    with np.errstate(invalid="ignore"):
        return np.multiply(weight, twice_below, dtype=np.int64).sum(axis=1) / (2 * pairs)


def _bootstrap(rankings, unit, n_units, n_resamples, seed):
    """`(n_resamples, k)` AUROCs, a few resamples at a time: some tens of MB whatever their number."""
    rng, chunk, blocks = np.random.default_rng(seed), max(1, 2**20 // len(unit)), []
    for start in range(0, n_resamples, chunk):
        draws = rng.integers(n_units, size=(min(chunk, n_resamples - start), n_units))
        counts = np.stack([np.bincount(draw, minlength=n_units) for draw in draws]).astype(np.int32)
        blocks.append(np.stack([_resampled_area(ranking, unit, counts) for ranking in rankings], axis=1))
    return np.concatenate(blocks)


def bootstrap_auroc(scores, references, groups=None, n_resamples=1000, seed=0):
    """AUROC of each finding in resamples of the patients, drawn with replacement; each serves all findings.

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
    rankings = _read_rankings(scores, references)
    return _bootstrap(rankings, *read_groups(groups, len(references)), n_resamples, seed)


# --- what people call


def auroc_report(
    prediction_scores,
    references,
    groups=None,
    *,
    label_names=None,
    class_names=None,
    interval="analytic",
    confidence_level=0.95,
    n_resamples=1000,
    seed=0,
):
    """Everything about one model, as a flat dict `{"auroc": 0.9, ..., "auroc/Hernia": 0.95, ...}`.

    Args:
        prediction_scores: `(n, k)` array, list, or torch tensor on any device; float16 to float64, bfloat16.
            Logits or probabilities; where both are at hand take logits, for a sigmoid rounds them into ties.
        references: `(n, k)` of 0 and 1, or NaN where unknown: that image is left out for that finding. With
            `class_names`: n lists of class ids.
        groups: `(n,)`, the patient of each image, of any hashable type. None: each image is its own patient.
        label_names: the k findings, in the order of the columns of scores. Default: `class_names` without
            "No Finding"; without those either, "0", "1", ...
        class_names: what the ids in `references` mean, `dataset.features["labels"].feature.names`. Its
            presence alone says that references are ids. Classes not among `label_names` are left out.
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
        - `n_findings`: how many entered the means; `undefined`: the names of those that did not;
        - `n_images`, `n_groups`: rows, and patients.
        What is undefined is NaN. Values are floats and ints, and `undefined` is a list.

    Raises:
        ValueError: input that is not as above; the message names the row or the column.

    Warns:
        UserWarning: a finding has one class only in some resamples, which its interval must do without.

    >>> scores = [[0.9, 0.2], [0.6, 0.7], [0.2, 0.4], [0.7, 0.1]]
    >>> report = auroc_report(scores, [[0], [1], [], [0]], class_names=["Mass", "Hernia"], interval=None)
    >>> report["auroc"], report["auroc/Hernia"], report["positives/Mass"], report["undefined"]
    (1.0, 1.0, 2, [])
    """
    _check_settings(confidence_level, interval, n_resamples)
    labels, names = read_references(references, label_names, class_names)
    scores = read_scores(prediction_scores, labels, names)
    unit, n_units = read_groups(groups, len(labels))
    rankings = _rank_columns(scores, labels)

    defined = np.array([ranking.defined for ranking in rankings], dtype=bool)
    area = _with_mean([_area(ranking) for ranking in rankings], defined)
    report = {"auroc": area}
    if interval == "analytic":
        variance = (_with_mean(_influences(rankings, unit, n_units), defined) ** 2).sum(axis=1)
        report["auroc_low"], report["auroc_high"] = logit_interval(area, variance, confidence_level)
    elif interval == "bootstrap":
        resamples = _with_mean(_bootstrap(rankings, unit, n_units, n_resamples, seed).T, defined)
        report["auroc_low"], report["auroc_high"] = _percentiles(resamples, names, confidence_level)
    report["average_precision"] = _with_mean([_precision(ranking) for ranking in rankings], defined)

    table = rank(scores.ravel(), labels.ravel())
    counts = np.array([ranking.counts for ranking in (*rankings, table)])
    report["positives"], report["negatives"] = counts.T
    micro = {"auroc_micro": _area(table), "average_precision_micro": _precision(table)}
    return _flat(report, names, **micro, **_sample(defined, names, len(labels), n_units))


def compare(scores_a, scores_b, references, groups=None, *, label_names=None, class_names=None, confidence_level=0.95):
    """The paired test of two models on the same images: is A's AUROC other than B's?

    The variance of the difference is that of DeLong et al. (1988) for correlated curves, with groups that of
    Obuchowski (1997), and for the mean it includes the covariance between findings. The interval and the
    p-value are normal, on the difference itself.

    Args:
        scores_a, scores_b: `(n, k)` each, as `prediction_scores` of `auroc_report`.
        references, groups, label_names, class_names, confidence_level: as for `auroc_report`.

    Returns:
        A flat dict as that of `auroc_report`: `auroc_a`, `auroc_b`, `difference` (A minus B),
        `difference_low`, `difference_high` and the two-sided `p_value`, of the mean and of each finding;
        `n_findings`, `undefined`, `n_images`, `n_groups`.

    Raises:
        ValueError: as `auroc_report`.

    >>> a, b = [[0.1], [0.6], [0.5], [0.9], [0.3]], [[0.1], [0.6], [0.3], [0.9], [0.5]]
    >>> result = compare(a, b, [[0], [0], [1], [1], [0]], label_names=["Hernia"])
    >>> round(result["difference/Hernia"], 4), round(result["p_value/Hernia"], 4)
    (0.1667, 0.4795)
    """
    _check_settings(confidence_level)
    labels, names = read_references(references, label_names, class_names)
    rankings_a = _rank_columns(read_scores(scores_a, labels, names, "scores_a"), labels)
    rankings_b = _rank_columns(read_scores(scores_b, labels, names, "scores_b"), labels)
    unit, n_units = read_groups(groups, len(labels))

    defined = np.array([ranking.defined for ranking in rankings_a], dtype=bool)
    area_a, area_b = (_with_mean([_area(r) for r in rankings], defined) for rankings in (rankings_a, rankings_b))
    # Squares of a difference: never negative, and exactly 0 for two models that rank alike.
    influence = _influences(rankings_a, unit, n_units) - _influences(rankings_b, unit, n_units)
    variance = (_with_mean(influence, defined) ** 2).sum(axis=1)
    result = {"auroc_a": area_a, "auroc_b": area_b, **_test(area_a - area_b, variance, confidence_level)}
    return _flat(result, names, **_sample(defined, names, len(labels), n_units))


def _with_mean(values, defined):
    """`(k, ...)` to `(k + 1, ...)`: one row per finding, then the mean over those defined, NaN if none is."""
    values = np.asarray(values)
    mean = values[defined].mean(axis=0) if defined.any() else np.full(values.shape[1:], np.nan)
    return np.concatenate([values, mean[None]])


def _percentiles(resamples, names, confidence_level):
    """Low and high of `(k + 1, resamples)`, over the resamples that have a value."""
    n_resamples, lost = resamples.shape[1], np.isnan(resamples).sum(axis=1)
    partly = [f"{name} {n}" for name, n in zip(names, lost[:-1], strict=True) if 0 < n < n_resamples]
    if partly:
        warnings.warn(
            f"of {n_resamples} resamples, those with one class only are left out of the finding's interval "
            f"and of the mean's: {', '.join(partly)}",
            stacklevel=3,
        )
    tail, some = (1 - confidence_level) / 2, lost < n_resamples
    bounds = np.full((2, len(resamples)), np.nan)
    if some.any():
        bounds[:, some] = np.nanquantile(resamples[some], [tail, 1 - tail], axis=1)
    return bounds


def _test(difference, variance, confidence_level):
    """The normal test of `(k + 1,)` differences. With variance 0 it can only say that nothing differs."""
    error = np.sqrt(np.where((variance == 0) & (difference != 0), np.nan, variance))
    half = _normal_quantile(confidence_level) * error
    z = np.abs(difference) / np.where(error == 0, 1, error)
    return {
        "difference": difference,
        "difference_low": np.maximum(difference - half, -1),
        "difference_high": np.minimum(difference + half, 1),
        "p_value": np.array([math.erfc(value / math.sqrt(2)) for value in z]),
    }


def _sample(defined, names, n_images, n_groups):
    undefined = [name for name, is_defined in zip(names, defined, strict=True) if not is_defined]
    return {
        "n_findings": int(defined.sum()),
        "undefined": undefined,
        "n_images": n_images,
        "n_groups": n_groups,
    }


def _flat(with_mean, names, **rest):
    """`quantity: mean`, then `rest`, then `quantity/finding: value`, in Python's own numbers."""
    flat = {quantity: values[-1].item() for quantity, values in with_mean.items()} | rest
    for quantity, values in with_mean.items():
        findings = zip(names, values[:-1].tolist(), strict=True)
        flat |= {f"{quantity}/{name}": value for name, value in findings}
    return flat


# --- reading what people have


def to_numpy(values):
    """An array, a list or a torch tensor on any device, as an array; torch itself is not imported."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16; float32 holds all its values.
        return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, list | tuple) and len(values) and hasattr(values[0], "detach"):
        values = [to_numpy(row) for row in values]
    return np.asarray(values)


def _place(wrong, names):
    """Where the first True of a table is, in words."""
    row, column = np.argwhere(wrong)[0].tolist()
    return f"row {row}, column {column} ({names[column]})"


def read_scores(scores, labels, names, argument="prediction_scores"):
    """Scores as a float32 or float64 table of the shape of `labels`, without NaN.

    >>> read_scores([[0.5, float("nan")]], np.zeros((1, 2)), ["Mass", "Hernia"])
    Traceback (most recent call last):
    ValueError: prediction_scores is NaN in row 0, column 1 (Hernia)
    """
    scores = to_numpy(scores)
    if scores.shape != labels.shape:
        raise ValueError(
            f"{argument} has shape {scores.shape} and references {labels.shape}: "
            "expected one row per image and one column per finding in both"
        )
    scores = scores.astype(np.result_type(scores.dtype, np.float32), copy=False)  # float16 sorts slowly
    if np.isnan(scores).any():
        raise ValueError(f"{argument} is NaN in {_place(np.isnan(scores), names)}")
    return scores


def read_references(references, label_names=None, class_names=None):
    """References as a table, and the names of its columns.

    Args:
        references, label_names, class_names: as for `auroc_report`.

    Returns:
        `(n, k)` labels, bool, or float64 where some are unknown (NaN); and a list of k names.

    Raises:
        ValueError: an entry other than 0, 1 and NaN; names that repeat, or are not one per column; and as
            `multi_hot`.
    """
    if class_names is not None:
        names = [name for name in class_names if name != NO_FINDING] if label_names is None else list(label_names)
        return multi_hot(references, class_names, names), names
    try:
        labels = to_numpy(references)
    except ValueError:  # rows of different lengths
        labels = np.empty(0)
    if labels.ndim != 2:
        raise ValueError("references is no table (images, findings); for lists of class ids pass class_names")
    names = [str(column) for column in range(labels.shape[1])] if label_names is None else list(label_names)
    if len(names) != labels.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"label_names must be {labels.shape[1]} different names, one per column, got {names}")
    return _zeros_and_ones(labels, names), names


def _zeros_and_ones(labels, names):
    if labels.dtype == bool:
        return labels
    unknown = np.isnan(labels)
    wrong = ~((labels == 0) | (labels == 1) | unknown)
    if wrong.any():
        raise ValueError(
            f"references is {labels[wrong][0]} in {_place(wrong, names)}: expected 0, 1 or NaN; "
            "for lists of class ids pass class_names"
        )
    return labels.astype(float) if unknown.any() else labels.astype(bool)


def multi_hot(class_ids, class_names, label_names):
    """Lists of class ids as a table of 0 and 1.

    Args:
        class_ids: n lists, or 1-d arrays or tensors, of whole numbers; an empty one has no finding.
        class_names: the names of class 0, 1, ...
        label_names: the k classes that become columns, in this order.

    Returns:
        `(n, k)` bool.

    Raises:
        ValueError: an id that is no class, a row that is no list, names that repeat or are no class.

    >>> multi_hot([[2, 1], [0]], ["No Finding", "Mass", "Hernia"], ["Hernia", "Mass"]).astype(int)
    array([[1, 1],
           [0, 0]])
    """
    class_names, label_names = list(class_names), list(label_names)
    if len(set(label_names) & set(class_names)) < len(label_names) or len(set(class_names)) < len(class_names):
        raise ValueError(f"label_names {label_names} must be different names out of class_names {class_names}")
    rows = [ids.tolist() if hasattr(ids, "tolist") else ids for ids in class_ids]
    for row, ids in enumerate(rows):
        if not isinstance(ids, list | tuple):
            raise ValueError(f"references is {ids!r} in row {row}: expected a list of class ids")
    image = np.repeat(np.arange(len(rows)), [len(ids) for ids in rows])
    ids = np.array(list(itertools.chain.from_iterable(rows)), dtype=float)
    wrong = np.flatnonzero(~np.isin(ids, np.arange(len(class_names))))
    if len(wrong):
        raise ValueError(
            f"references holds class id {ids[wrong[0]]:g} in row {image[wrong[0]]}: "
            f"class_names has {len(class_names)}, so ids go from 0 to {len(class_names) - 1}"
        )
    table = np.zeros((len(rows), len(class_names)), dtype=bool)
    table[image, ids.astype(int)] = True
    return table[:, [class_names.index(name) for name in label_names]]


def read_groups(groups, n):
    """Groups as numbers 0, 1, ... in order of appearance, `(n,)` int, and how many there are.

    >>> read_groups(["p7", "p3", "p7"], 3)
    (array([0, 1, 0]), 2)
    """
    if groups is None:
        return np.arange(n), n
    groups = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len(groups) != n:
        raise ValueError(f"groups has {len(groups)} entries for {n} rows: expected the patient of each row")
    number = {}  # a dict: faster than sorting strings
    for row, group in enumerate(groups):
        if group is None or group != group:
            raise ValueError(f"groups is missing in row {row}")
        groups[row] = number.setdefault(group, len(number))
    return np.array(groups, dtype=int), len(number)


def _read_rankings(scores, references):
    labels, names = read_references(references)
    return _rank_columns(read_scores(scores, labels, names, "scores"), labels)


def _check_settings(confidence_level, interval=None, n_resamples=1):
    if interval not in INTERVALS:
        raise ValueError(f"interval must be one of {INTERVALS}, got {interval!r}")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must lie between 0 and 1, got {confidence_level}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")


# --- the evaluate module

_DESCRIPTION = """\
AUROC of each finding of a multi-label classifier and their mean, with average precision, and with intervals
for data that holds several images of a patient: DeLong's in its clustered form, or the bootstrap over
patients. A finding with one class only is undefined: it is named, and left out of the mean.
"""

_INPUTS_DESCRIPTION = """
Inputs:
    prediction_scores: one row per image, in it one score per finding; logits or probabilities.
    references: one row per image, in it 0, 1 or NaN (unknown) per finding; with class_names, class ids.
    groups, label_names, class_names, interval, confidence_level, n_resamples, seed: for `compute`, see
        `auroc_report`; groups in the order in which rows were added.
"""

_CITATION = """\
@article{delong1988comparing,
    author = {DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.},
    title = {Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves:
        A Nonparametric Approach},
    journal = {Biometrics}, volume = {44}, number = {3}, pages = {837--845}, year = {1988}
}
@article{obuchowski1997nonparametric,
    author = {Obuchowski, Nancy A.},
    title = {Nonparametric Analysis of Clustered {ROC} Curve Data},
    journal = {Biometrics}, volume = {53}, number = {2}, pages = {567--578}, year = {1997}
}
@article{sun2014fast,
    author = {Sun, Xu and Xu, Weichao},
    title = {Fast Implementation of {DeLong}'s Algorithm for Comparing the Areas Under Correlated Receiver
        Operating Characteristic Curves},
    journal = {IEEE Signal Processing Letters}, volume = {21}, number = {11}, pages = {1389--1393},
    year = {2014}
}
"""


class MultilabelAUROC(evaluate.Metric):
    """`auroc_report` behind `evaluate.load`, with `add` and `add_batch` for scores that come in pieces."""

    def _info(self):
        row = datasets.Sequence(datasets.Value("float64"))  # float32 would round float64 scores into ties
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=datasets.Features({"prediction_scores": row, "references": row}),
        )

    def compute(self, *, prediction_scores=None, references=None, **settings):
        """`auroc_report` of what was added, or of what is given here, or of both together."""
        if (prediction_scores is None) != (references is None):
            raise ValueError("give prediction_scores and references, or neither after add_batch")
        if prediction_scores is not None and self.writer is None and self.num_process == 1:
            return auroc_report(prediction_scores, references, **settings)  # all here: spare the way by disk
        return super().compute(prediction_scores=prediction_scores, references=references, **settings)

    def add_batch(self, *, prediction_scores, references):
        """Add rows; scores and references as for `auroc_report`."""
        references = references if isinstance(references, list) else to_numpy(references)
        super().add_batch(prediction_scores=to_numpy(prediction_scores), references=references)

    def compare(self, scores_a, scores_b, references, groups=None, **settings):
        """The paired test of two models: see the function `compare`."""
        return compare(scores_a, scores_b, references, groups, **settings)

    def _compute(self, prediction_scores, references, **settings):
        return auroc_report(prediction_scores, references, **settings)
