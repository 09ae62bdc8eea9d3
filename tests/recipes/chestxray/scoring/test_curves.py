"""The points of a finding's curves beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from chestxray.scoring.curves import count_calls

RNG = np.random.default_rng(0)
POSITIVE = (RNG.random(300) < 0.2).astype(float)


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_the_curves_are_those_of_scikit_learn_with_ties_and_without(digits):
    scores = np.round(RNG.normal(size=300) + POSITIVE, digits)
    curve = count_calls(POSITIVE, scores)
    false_rate, true_rate, levels = roc_curve(POSITIVE, scores, drop_intermediate=False)
    np.testing.assert_array_equal(curve.roc, (false_rate, true_rate))
    np.testing.assert_array_equal(curve.levels, levels[1:])  # theirs begins above all scores
    precision, recall, _ = precision_recall_curve(POSITIVE, scores)
    np.testing.assert_array_equal(curve.precision_recall, (precision[-2::-1], recall[-2::-1]))  # theirs ends at 0, 1


def test_truth_values_count_as_0_and_1():
    curve = count_calls(np.array([True, False, True]), np.array([2.0, 2.0, -1.0]))
    assert [list(values) for values in curve] == [[2.0, -1.0], [1, 2], [1, 1]]
