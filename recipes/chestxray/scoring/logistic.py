"""Logistic regression by Newton's method, for the small fits of a scorecard."""

import numpy as np

HALVINGS = 50


def fit(features, targets, ridge=0.0, iterations=100):
    """Coefficients that minimise the log loss summed over n rows, plus ridge / 2 times their squares' sum.

    The same minimum as scikit-learn's `LogisticRegression(C=1 / ridge)`; the intercept is not penalised. Steps are
    halved until they go down, without which Newton's method can run away (Lin, Lin & Weng 2007, section 2.1).

    Args:
        features: (n, d) float.
        targets: (n,) in [0, 1]; they need not be 0 or 1.

    Returns:
        (d + 1,) float64, the intercept last.
    """
    design = np.column_stack([features, np.ones(len(features))])
    penalty = np.append(np.full(design.shape[1] - 1, ridge), 0.0)

    def loss(weights):
        z = design @ weights
        return np.logaddexp(0, z).sum() - targets @ z + penalty @ weights**2 / 2

    weights = np.zeros(design.shape[1])
    value = loss(weights)
    for _ in range(iterations):
        probability = sigmoid(design @ weights)
        gradient = design.T @ (probability - targets) + penalty * weights
        curvature = (design.T * (probability * (1 - probability))) @ design + np.diag(penalty + 1e-12)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        for _ in range(HALVINGS):
            if (lower := loss(weights - step)) < value:
                break
            step /= 2
        else:
            break  # no step goes down: this is the minimum
        weights, value = weights - step, lower
    return weights


def sigmoid(z):
    """Without overflow, for any z.

    >>> sigmoid(np.array([-1000.0, 0.0]))
    array([0. , 0.5])
    """
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return np.exp(-np.logaddexp(0, -np.asarray(z, dtype=np.float64)))
