"""Logistic regression with targets between 0 and 1, for the small fits of a scorecard."""

import numpy as np


def fit(features: np.ndarray, targets: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """Coefficients that minimise the sum of the log loss over n rows, plus ridge / 2 times the sum of their squares.

    scikit-learn takes no target between 0 and 1. So it gets each row twice: as a positive with the weight of its
    target, and as a negative with the rest of the weight. The sum of losses is the same.

    Args:
        features: (n, d) float, not all the same in a column unless ridge is above zero.
        targets: (n,) in [0, 1], not all 0 and not all 1.
        ridge: the intercept is not penalised.

    Returns:
        (d + 1,) float64, the intercept last.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second, which reading a calibration does not need

    # A penalty depends on the scale of the features. Without one, a column far from zero or with a tiny spread would
    # give a Hessian that Newton's method cannot solve.
    shift, scale = (features.mean(0), features.std(0)) if not ridge else (0.0, 1.0)
    features = (features - shift) / scale
    # Newton's method: a few steps, to far more digits than lbfgs.
    model = LogisticRegression(C=1 / ridge if ridge else np.inf, solver="newton-cholesky", tol=1e-10)
    labels, weights = np.repeat([1, 0], len(targets)), np.concatenate([targets, 1 - targets])
    model.fit(np.concatenate([features, features]), labels, sample_weight=weights)
    slopes = model.coef_[0] / scale
    return np.append(slopes, model.intercept_ - (slopes * shift).sum())
