"""The power law through a learning curve."""

import numpy as np
import pytest

from chestxray.scoring import learning_curve
from chestxray.scoring.ablation import Score

IMAGES = [1000, 2500, 5000, 9000]


def points(aurocs, noise=0.0, seeds=2, draw=None):
    draw = draw or np.random.default_rng(0)
    return [
        [Score(seed, auroc + draw.normal() * noise, np.zeros(3), ("Mass",)) for seed in range(seeds)]
        for auroc in aurocs
    ]


def law(images, a=0.82, b=2.5, c=0.4):
    return a - b * np.asarray(images, float) ** -c


def test_a_known_curve_is_found_again():
    curve = learning_curve.fit_curve(IMAGES, points(law(IMAGES)))
    assert (curve.a, curve.b, curve.c) == pytest.approx((0.82, 2.5, 0.4), rel=1e-6)
    assert curve.at(learning_curve.FULL) == pytest.approx(law(86_524))


def test_the_interval_at_the_full_number_holds_the_truth_most_of_the_time():
    draw, hits = np.random.default_rng(1), []
    for _ in range(40):
        low, high = learning_curve.fit_curve(IMAGES, points(law(IMAGES), 0.002, 3, draw)).interval(86_524)
        hits.append(bool(low[0] <= law(86_524) <= high[0]))
    assert np.mean(hits) >= 0.85


@pytest.mark.parametrize("aurocs, a", [([0.9, 0.95, 0.999, 1.2], 1.0), ([0.7, 0.65, 0.6, 0.55], None)])
def test_limits_hold_for_odd_scores(aurocs, a):
    curve = learning_curve.fit_curve(IMAGES, points(aurocs))
    assert 0.5 <= curve.a <= 1 and curve.b >= 0
    assert curve.a == a or a is None and curve.b == 0


def test_two_points_are_too_few():
    with pytest.raises(ValueError, match="needs three numbers of training images, not 2"):
        learning_curve.fit_curve([1000, 1000, 2000], points([0.7, 0.7, 0.8]))
