"""Changes of a recipe against its base, on the same validation images: differences, intervals and tests.

A run's score is its mean AUROC over findings, and the score of a change is the mean over its runs, one per seed. Two
things make it uncertain: other patients, and other seeds. The variance of a difference is the sum of both parts, as for
readers who read the same cases (Obuchowski and Rockette 1995, doi 10.1080/03610919508813243; a seed is a reader):

- patients: C(change) + C(base) - 2 C(change, base). Each C is the mean covariance, over patients, of two runs with
  *different* seeds (Obuchowski 1997 for one finding; see `multilabel_auroc.variance`). What patients and seed do
  together is in the other part, so it is not counted twice. With one seed it is the paired variance of the two runs.
- seeds: s^2 (1 / S + 1 / S_base) with S and S_base seeds. s^2 is the variance between seeds within a change, pooled
  over all changes and the base, because two or three seeds alone say little. So it takes the spread to be the same in
  all of them.

The test is Student's t. Its degrees of freedom are those of s^2, times (whole variance / part of the seeds)^2
(Hillis 2007, doi 10.1002/sim.2532). P-values are also adjusted for the number of changes (Holm 1979).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from chestxray.data.predictions import Predictions
from multilabel_auroc.inputs import read_groups
from multilabel_auroc.ranking import rank, roc_area
from multilabel_auroc.variance import influence, normal_quantile

LEVEL = 0.95  # of the intervals
MOST_VALUES = 10  # a column with more different numbers is cut at its quartiles
FEW = 0.05  # a value with a smaller share of the images joins its neighbour
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Score:
    """The mean AUROC of one run.

    Attributes:
        seed: of the run.
        auroc: mean over the findings in `findings`; NaN without any.
        influence: what each patient adds to its error; the product of two runs' influences is their covariance.
        findings: names that entered the mean.
    """

    seed: int
    auroc: float
    influence: np.ndarray
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A change minus the base.

    Attributes:
        value, low, high: of mean AUROC. p: of the two-sided test. p_holm: adjusted for the number of changes.
        patients, seeds: standard errors of the two parts.
    """

    value: float
    low: float
    high: float
    p: float
    patients: float
    seeds: float
    p_holm: float = math.nan


# One run


def score(predictions: Predictions, seed: int, strata: np.ndarray | None = None) -> Score:
    """The mean AUROC of one run's validation predictions.

    A finding counts if at least two patients are positive and two are negative in some stratum.

    Args:
        strata: (n,) text or numbers. Only images of the same stratum are compared with each other; see
            `stratified_auroc`. None: all with all.
    """
    units, n_units = read_groups(predictions.rows["patient"], len(predictions.rows))
    groups = [np.flatnonzero(strata == value) for value in np.unique(strata)] if strata is not None else [slice(None)]
    found = {
        name: stratified_auroc(predictions.logits[:, column], predictions.targets[:, column], units, n_units, groups)
        for column, name in enumerate(predictions.findings)
    }
    defined = {name: pair for name, pair in found.items() if not math.isnan(pair[0])}
    if not defined:
        return Score(seed, math.nan, np.full(3 * n_units, np.nan), ())
    auroc, influences = (np.mean(part, axis=0) for part in zip(*defined.values(), strict=True))
    return Score(seed, float(auroc), influences, tuple(defined))


def stratified_auroc(
    scores: np.ndarray, labels: np.ndarray, units: np.ndarray, n_units: int, groups: Sequence
) -> tuple[float, np.ndarray]:
    """AUROC of one finding from pairs within strata, and what each patient adds to its error.

    The weight of a stratum with m positive and n negative images is m n / (m + n), which is in inverse proportion to
    the variance of its AUROC if nothing is learnt (van Elteren 1960, for rank tests in blocks). Janes and Pepe 2009
    (Biometrika 96:371, doi 10.1093/biomet/asp002) define such an AUROC, adjusted for a covariate, with the weights m.
    A stratum with fewer than two positive or two negative patients has no weight.

    Args:
        scores: (n,) float. labels: (n,) of 0, 1 and NaN. units: (n,) int, the patient of each row, below `n_units`.
        groups: the rows of each stratum.

    Returns:
        (AUROC, (3 n_units,) influences), NaN where no stratum counts.
    """
    total, area, summed = 0.0, 0.0, np.zeros(3 * n_units)
    for rows in groups:
        ranking = rank(scores[rows], labels[rows])
        part = influence(ranking, units[rows], n_units)
        if np.isnan(part).any():
            continue
        positives, negatives = ranking.counts
        weight = positives * negatives / (positives + negatives)
        total, area, summed = total + weight, area + weight * roc_area(ranking), summed + weight * part
    return (area / total, summed / total) if total else (math.nan, np.full(3 * n_units, np.nan))


def strata_of(values: Sequence) -> np.ndarray:
    """The strata of a column's values, (n,) text.

    Each value is a stratum; without a value it is "unknown". A value with fewer than 5% of the images joins the nearest
    number that has more, or, if it is text, "other". More than ten different numbers are cut at their quartiles.

    >>> strata_of([128] * 60 + [1024] * 39 + [512]).tolist()[-2:]
    ['1024', '128 to 512']
    """
    column = pd.Series(list(values), dtype=object)
    known = column[column.notna()]
    strata = pd.Series(UNKNOWN, index=column.index, dtype=object)
    is_number = len(known) and known.map(lambda value: isinstance(value, int | float | np.number)).all()
    strata[known.index] = group_numbers(known.astype(float)) if is_number else group_texts(known.astype(str))
    return strata.to_numpy(str)


def group_texts(values: pd.Series) -> pd.Series:
    shares = values.value_counts(normalize=True)
    return values.where(values.map(shares) >= FEW, "other")


def group_numbers(values: pd.Series) -> pd.Series:
    """Numbers as texts, each the range of its stratum."""
    shares = values.value_counts(normalize=True)
    common = np.sort(shares.index[shares >= FEW])
    if len(shares) > MOST_VALUES or not len(common):
        group = pd.qcut(values, 4, labels=False, duplicates="drop")
    else:
        group = values.map({value: np.abs(common - value).argmin() for value in shares.index})
    bounds = values.groupby(group).agg(["min", "max"])
    return group.map({key: span(low, high) for key, low, high in bounds.itertuples()})


def span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


# Changes


def seed_variance(configurations: Sequence[Sequence[Score]]) -> tuple[float, int]:
    """(variance of a run's mean AUROC between seeds, its degrees of freedom), pooled over configurations.

    Both are 0 if none has two seeds.
    """
    several = [[run.auroc for run in runs] for runs in configurations if len(runs) > 1]
    freedom = sum(len(aurocs) - 1 for aurocs in several)
    squares = sum(float(np.var(aurocs)) * len(aurocs) for aurocs in several)
    return (squares / freedom, freedom) if freedom else (0.0, 0)


def compare_changes(scores: Mapping[str, Sequence[Score]], base: str, changes: Sequence[str]) -> dict[str, Difference]:
    """{change: its difference to the base}, for the changes that have a run. scores: of every configuration."""
    pooled = seed_variance([scores[name] for name in (base, *changes) if name in scores])
    present = [name for name in changes if scores.get(name)] if scores.get(base) else []
    differences = {name: compare_runs(scores[name], scores[base], *pooled) for name in present}
    adjusted = holm([difference.p for difference in differences.values()])
    return {
        name: Difference(**{**vars(difference), "p_holm": p})
        for (name, difference), p in zip(differences.items(), adjusted, strict=True)
    }


def compare_runs(change: Sequence[Score], base: Sequence[Score], variance: float, freedom: int) -> Difference:
    """The difference of two configurations. variance, freedom: see `seed_variance`."""
    value = float(np.mean([run.auroc for run in change]) - np.mean([run.auroc for run in base]))
    of_patients = patient_variance(change, base)
    of_seeds = variance * (1 / len(change) + 1 / len(base))
    error = math.sqrt(of_patients + of_seeds)
    degrees = freedom * ((of_patients + of_seeds) / of_seeds) ** 2 if of_seeds else math.inf
    low, high, p = test_difference(value, error, degrees)
    return Difference(value, low, high, p, patients=math.sqrt(of_patients), seeds=math.sqrt(of_seeds))


def test_difference(value: float, error: float, degrees: float) -> tuple[float, float, float]:
    """(low, high, p) of Student's t. Without an error, p is 1 for no difference and undefined for another."""
    if not error:
        return value, value, 1.0 if value == 0 else math.nan
    if math.isinf(degrees):
        half, p = normal_quantile(LEVEL) * error, math.erfc(abs(value) / error / math.sqrt(2))
    else:
        half, p = student.ppf((1 + LEVEL) / 2, degrees) * error, 2 * student.sf(abs(value) / error, degrees)
    return max(value - half, -1.0), min(value + half, 1.0), float(p)


def patient_variance(change: Sequence[Score], base: Sequence[Score]) -> float:
    """The variance, over patients, of the difference of two means over seeds; see the head of this file."""
    if min(len(change), len(base)) < 2:
        return float(((mean_influence(change) - mean_influence(base)) ** 2).sum())
    within = covariance(change, change) + covariance(base, base)
    return max(within - 2 * covariance(change, base), 0.0)


def mean_influence(runs: Sequence[Score]) -> np.ndarray:
    return np.mean([run.influence for run in runs], axis=0)


def covariance(some: Sequence[Score], others: Sequence[Score]) -> float:
    """The mean covariance, over patients, of two runs with different seeds."""
    return float(np.mean([a.influence @ b.influence for a in some for b in others if a.seed != b.seed]))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979). One that is undefined stays so, and is not counted.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    defined = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank_of, (p, place) in enumerate(defined):
        highest = max(highest, min(1.0, p * (len(defined) - rank_of)))
        adjusted[place] = highest
    return adjusted


def verdict(difference: Difference) -> str:
    """A difference in words."""
    if math.isnan(difference.p):
        return "undefined"
    if difference.p >= 1 - LEVEL:
        return "inside the noise"
    word = "better" if difference.value > 0 else "worse"
    return word if difference.p_holm < 1 - LEVEL else f"{word}, but not after Holm"
