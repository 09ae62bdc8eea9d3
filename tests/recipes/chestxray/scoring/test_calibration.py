"""Platt scaling and the measures of calibration, against scikit-learn and against the truth."""

import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from chestxray.scoring import calibration


def test_platt_scaling_finds_what_the_logits_were_distorted_by():
    rng = np.random.default_rng(1)
    honest = rng.normal(-2, 1.5, (50_000, 2))
    targets = (rng.random(honest.shape) < expit(honest)).astype(float)
    distorted = (honest - [0.5, -1]) / [0.5, 2]
    parameters = calibration.fit(distorted, targets)
    np.testing.assert_allclose(parameters, [[0.5, 0.5], [2, -1]], atol=0.08)
    before, after = (
        calibration.calibration_error(probabilities, targets)
        for probabilities in (expit(distorted), calibration.apply(distorted, parameters))
    )
    assert (after < 0.01).all() and (before > 0.03).all()


def test_classes_that_do_not_overlap_give_a_finite_fit():
    slope, intercept = calibration.fit(np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.array([[0], [0], [1], [1.0]]))[0]
    assert 0 < slope < 10 and abs(intercept) < 1e-6


def test_a_finding_whose_logits_are_all_the_same_gets_no_parameters():
    assert np.isnan(calibration.fit(np.full((40, 1), 3.0), (np.arange(40) < 30.0)[:, None].astype(float))).all()


def test_a_finding_with_one_class_gets_no_parameters_and_no_probability():
    logits, targets = np.array([[0.0, 1], [1, 2]]), np.array([[0, 0], [1, 0.0]])
    parameters = calibration.fit(logits, targets)
    assert np.isnan(parameters).any(axis=1).tolist() == [False, True]
    probabilities = calibration.apply(logits, parameters)
    assert np.isnan(probabilities[:, 1]).all()
    assert np.isnan(calibration.brier(probabilities, targets)).tolist() == [False, True]
    assert np.isnan(calibration.calibration_error(probabilities, targets)).tolist() == [False, True]


def test_brier_is_scikit_learns_and_leaves_unknown_targets_out():
    rng = np.random.default_rng(2)
    probabilities, targets = rng.random((100, 1)), rng.integers(0, 2, (100, 1)).astype(float)
    ours = calibration.brier(np.vstack([probabilities, [[0.9]]]), np.vstack([targets, [[np.nan]]]))
    assert ours[0] == pytest.approx(brier_score_loss(targets[:, 0], probabilities[:, 0]))


def test_the_calibration_error_is_its_definition():
    rng = np.random.default_rng(3)
    probabilities, targets = rng.random(500) ** 3, rng.integers(0, 2, 500).astype(float)
    probabilities[0] = 1.0  # belongs to the last bin
    error = 0.0
    for low in np.arange(15) / 15:
        high = low + 1 / 15
        members = (probabilities >= low) & ((probabilities < high) | (low == 14 / 15))
        if members.any():
            error += members.mean() * abs(targets[members].mean() - probabilities[members].mean())
    assert calibration.calibration_error(probabilities[:, None], targets[:, None])[0] == pytest.approx(error)


def test_the_error_by_chance_is_what_right_probabilities_show():
    rng = np.random.default_rng(4)
    probabilities = rng.beta(1, 6, (60, 1))
    shown = [
        calibration.calibration_error(probabilities, (rng.random((60, 1)) < probabilities).astype(float))[0]
        for _ in range(400)
    ]
    expected = calibration.chance_error(probabilities, np.zeros((60, 1)))[0]
    assert expected == pytest.approx(np.mean(shown), rel=0.05) and expected > 0.05
    assert np.isnan(calibration.chance_error(probabilities, np.full((60, 1), np.nan))).all()


@pytest.mark.parametrize("n, p", [(1, 0.1), (5, 0.5), (7, 0.33), (40, 0.02), (3, 0.0), (3, 1.0), (4, 0.999)])
def test_the_mean_distance_of_a_binomial_is_its_sum(n, p):
    ways = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    expected = sum(way * abs(k / n - p) for k, way in enumerate(ways))
    assert calibration._mean_distance(n, p) == pytest.approx(expected, abs=1e-12)
