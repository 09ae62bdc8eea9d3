"""Logistic regression with targets between 0 and 1, by its definition and beside scikit-learn's."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from chestxray.scoring import logistic

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(400, 3)) * [1, 5, 0.1]
HARD = (RNG.random(400) < expit(FEATURES @ [1, -0.3, 4] - 2)).astype(float)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_targets_of_0_and_1_give_what_scikit_learn_gives(ridge):
    theirs = LogisticRegression(C=1 / ridge if ridge else np.inf, tol=1e-10, max_iter=10_000).fit(FEATURES, HARD)
    expected = [*theirs.coef_[0], theirs.intercept_[0]]
    np.testing.assert_allclose(logistic.fit(FEATURES, HARD, ridge), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_at_the_fit_the_slope_of_the_loss_is_zero(ridge):
    targets = 0.1 + 0.7 * HARD
    weights = logistic.fit(FEATURES, targets, ridge)
    design = np.column_stack([FEATURES, np.ones(400)])
    gradient = design.T @ (expit(design @ weights) - targets) + ridge * np.append(weights[:-1], 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_penalty_bounds_the_fit_of_classes_that_do_not_overlap_and_of_a_constant_column():
    features = np.column_stack([np.arange(20.0) - 9.5, np.zeros(20)])
    slope, nothing, intercept = logistic.fit(features, (np.arange(20) >= 10).astype(float), ridge=1.0)
    assert 0 < slope < 10 and nothing == 0 and intercept == pytest.approx(0, abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_column_far_from_zero_that_hardly_varies_is_fitted_without_a_warning():
    features = 100 + 1e-5 * FEATURES[:, :1]
    targets = np.where(HARD, 0.99, 0.01)
    slope, intercept = logistic.fit(features, targets)
    plain_slope, plain_intercept = logistic.fit(FEATURES[:, :1], targets)
    assert slope == pytest.approx(plain_slope * 1e5, rel=1e-4)
    assert intercept == pytest.approx(plain_intercept - 100 * slope, rel=1e-4)
