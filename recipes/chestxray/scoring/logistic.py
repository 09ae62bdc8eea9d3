"""Logistic regression with targets between 0 and 1, for the small fits of a scorecard.

In NumPy alone: the imports of scikit-learn and SciPy would take longer than a whole scorecard.
"""

import numpy as np

STEPS = 100  # of Newton's method; five to ten are enough
TOLERANCE = 1e-10  # the largest slope of the mean loss at the end


def expit(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logit)) of each logit, in its shape and dtype."""
    with np.errstate(over="ignore"):  # a logit below -709 overflows to infinity, and its probability is 0
        return 1 / (1 + np.exp(-logits))


def fit(features: np.ndarray, targets: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """Coefficients that minimise the sum of the log loss over n rows, plus ridge / 2 times the sum of their squares.

    Newton's method with halved steps (Boyd and Vandenberghe 2004, section 9.5).

    Args:
        features: (n, d) float, not all the same in a column unless ridge is above zero.
        targets: (n,) in [0, 1], not all 0 and not all 1.
        ridge: the intercept is not penalised.

    Returns:
        (d + 1,) float64, the intercept last.
    """
    # A penalty depends on the scale of the features. Without one, a column far from zero or with a tiny spread would
    # give a Hessian that Newton's method cannot solve.
    shift, scale = (features.mean(0), features.std(0)) if not ridge else (0.0, 1.0)
    design = np.column_stack([(features - shift) / scale, np.ones(len(features))])
    penalty = np.append(np.full(features.shape[1], ridge), 0.0)
    weights = minimise(design, targets, penalty)
    slopes = weights[:-1] / scale
    return np.append(slopes, weights[-1] - (slopes * shift).sum())


def minimise(design: np.ndarray, targets: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """The weights of least loss, (d,). design: (n, d), targets: (n,), penalty: (d,)."""
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = expit(design @ weights)
        slope = design.T @ (chance - targets) + penalty * weights
        if np.abs(slope).max() <= TOLERANCE * len(targets):
            break
        curvature = (design.T * (chance * (1 - chance))) @ design + np.diag(penalty)
        step, before = np.linalg.solve(curvature, slope), penalised_loss(design, targets, penalty, weights)
        while penalised_loss(design, targets, penalty, weights - step) > before and np.abs(step).max() > TOLERANCE:
            step = step / 2
        weights = weights - step
    return weights


def penalised_loss(design: np.ndarray, targets: np.ndarray, penalty: np.ndarray, weights: np.ndarray) -> float:
    logits = design @ weights
    return float(np.logaddexp(0, logits).sum() - targets @ logits + (penalty * weights**2).sum() / 2)
