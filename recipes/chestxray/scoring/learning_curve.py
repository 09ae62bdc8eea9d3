"""A power law through mean AUROC over the number of training images: a - b n^-c.

The form is that of Hestness et al. 2017 (arXiv 1712.00409): an error that falls by a power, to a rest that stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chestxray.scoring.ablation import LEVEL, Score, covariance, mean_influence, seed_variance

FULL = 86_524  # images of NIH's official train_val list
DRAWS = 2000  # of the scores, each fitted again
EXPONENTS = np.linspace(0.02, 2.0, 199)  # that are tried for c
HIGHEST, LOWEST = 1.0, 0.5  # between which a lies


@dataclass(frozen=True)
class Curve:
    """A fitted curve.

    Attributes:
        images: (m,) numbers of training images; aurocs: (m,) mean AUROC over seeds.
        errors: (m,) standard errors, patients and seeds together.
        a, b, c: of the fit. draws: (DRAWS, 3) the same of drawn scores.
    """

    images: np.ndarray
    aurocs: np.ndarray
    errors: np.ndarray
    a: float
    b: float
    c: float
    draws: np.ndarray

    def at(self, images: np.ndarray | float) -> np.ndarray:
        """The fitted AUROC with so many training images."""
        return self.a - self.b * np.asarray(images, float) ** -self.c

    def interval(self, images: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the fitted AUROC: percentiles over the draws. It takes the power law for true."""
        a, b, c = (part[:, None] for part in self.draws.T)
        values = a - b * np.atleast_1d(np.asarray(images, float)) ** -c
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return low, high


def fit_curve(images: Sequence[int], points: Sequence[Sequence[Score]], seed: int = 0) -> Curve:
    """The curve through points, each the runs (one per seed) with so many training images.

    The scores are drawn again from a normal distribution with their covariance over patients and the variance between
    seeds, and each draw is fitted like the scores themselves.

    Raises ValueError for fewer than three different numbers of images: three parameters need as many points.
    """
    if len(set(images)) < 3:
        raise ValueError(f"a learning curve needs three numbers of training images, not {len(set(images))}")
    counts, aurocs = np.array(images, float), np.array([np.mean([run.auroc for run in runs]) for runs in points])
    spread = score_covariance(points)
    drawn = np.random.default_rng(seed).multivariate_normal(aurocs, spread, DRAWS, method="eigh")
    a, b, c = fit_power_law(counts, aurocs[None])[0].tolist()
    return Curve(counts, aurocs, np.sqrt(np.diag(spread)), a, b, c, draws=fit_power_law(counts, drawn))


def score_covariance(points: Sequence[Sequence[Score]]) -> np.ndarray:
    """(m, m) covariance of the points' mean AUROCs: patients, whom all points share, and seeds."""
    variance, _ = seed_variance(points)
    means = np.stack([mean_influence(runs) for runs in points])
    shared = means @ means.T
    for place, runs in enumerate(points):
        if len(runs) > 1:  # without what patients and seed do together: the variance between seeds has it
            shared[place, place] = max(covariance(runs, runs), 0.0)
    return shared + np.diag([variance / len(runs) for runs in points])


def fit_power_law(images: np.ndarray, aurocs: np.ndarray) -> np.ndarray:
    """Least squares of a - b n^-c with 0.5 <= a <= 1, b >= 0 and 0.02 <= c <= 2.

    For a given c the curve is linear in a and b, so c is searched on a grid, and a and b are exact.

    Args:
        images: (m,). aurocs: (draws, m).

    Returns:
        (draws, 3) a, b, c.
    """
    middle = np.exp(np.log(images).mean())  # keeps b of the size of the AUROCs
    fits = np.stack([fit_line((images / middle) ** -c, aurocs) for c in EXPONENTS])  # (exponents, draws, 3)
    best = fits[..., 2].argmin(axis=0)
    a, b, _ = fits[best, np.arange(len(aurocs))].T
    c = EXPONENTS[best]
    return np.stack([a, b * middle**c, c], axis=1)


def fit_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(draws, 3): a, b and the sum of squares of y = a - b x, with a and b inside their bounds. y: (draws, m)."""
    centred = x - x.mean()
    b = np.maximum(-(y @ centred) / (centred @ centred), 0)
    a = np.clip(y.mean(axis=1) + b * x.mean(), LOWEST, HIGHEST)
    b = np.maximum(((a[:, None] - y) @ x) / (x @ x), 0)  # the best b for this a: the same unless a was cut
    rest = ((y - a[:, None] + b[:, None] * x) ** 2).sum(axis=1)
    return np.stack([a, b, rest], axis=1)
