"""The paired test of two models: beside the published one, and in simulation."""

import doctest
import math
from statistics import NormalDist

import numpy as np
import pytest

from auroc_by_hand import FINDINGS, delong_covariance, obuchowski_covariance, placements, simulate_patients, tied_data
from multilabel_auroc import auroc_covariance, compare, comparison


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clustered", [False, True])
def test_compare_is_the_published_paired_test(seed, clustered):
    scores_a, references, groups = tied_data(seed, n=30, k=1)
    scores_b = tied_data(seed + 100, n=30, k=1)[0]
    a, b, labels = scores_a[:, 0], scores_b[:, 0], references[:, 0]

    def covariance(p, q):
        return obuchowski_covariance(p, q, labels, groups) if clustered else delong_covariance(p, q, labels)

    difference = placements(a, labels)[1].mean() - placements(b, labels)[1].mean()
    error = math.sqrt(covariance(a, a) + covariance(b, b) - 2 * covariance(a, b))
    result = compare(scores_a, scores_b, references, groups if clustered else None)
    assert result["difference/0"] == pytest.approx(difference, abs=1e-12)
    assert result["p_value/0"] == pytest.approx(2 * (1 - NormalDist().cdf(abs(difference / error))), abs=1e-12)
    assert result["difference_high/0"] - result["difference/0"] == pytest.approx(1.959964 * error, rel=1e-6)
    assert result["p_value"] == pytest.approx(result["p_value/0"])  # the mean of one finding


def test_compare_of_the_mean_is_the_contrast_of_all_columns():
    scores_a, references, groups = tied_data(17)
    scores_b = tied_data(18)[0]
    both = auroc_covariance(np.hstack([scores_a, scores_b]), np.hstack([references, references]), groups)
    contrast = np.repeat([1 / 3, -1 / 3], 3)
    error = math.sqrt(contrast @ both @ contrast)
    result = compare(scores_a, scores_b, references, groups)
    assert result["difference"] == pytest.approx(result["auroc_a"] - result["auroc_b"])
    assert result["p_value"] == pytest.approx(math.erfc(abs(result["difference"]) / error / math.sqrt(2)))


def test_compare_is_antisymmetric_and_names_the_undefined():
    scores_a, references, groups = tied_data(19)
    scores_b = tied_data(20)[0]
    references[:, 0] = True
    one = compare(scores_a, scores_b, references, groups, label_names=FINDINGS)
    other = compare(scores_b, scores_a, references, groups, label_names=FINDINGS)
    assert one["undefined"] == ["Mass"] and one["n_findings"] == 2 and math.isnan(one["p_value/Mass"])
    assert one["difference"] == pytest.approx(-other["difference"]) and one["p_value"] == other["p_value"]
    assert one["difference_low/Hernia"] == pytest.approx(-other["difference_high/Hernia"])


def test_models_that_rank_alike_differ_by_exactly_nothing():
    scores, references, groups = tied_data(21)
    result = compare(scores, np.exp(scores), references, groups)
    assert (result["difference"], result["difference_low"], result["p_value"]) == (0, 0, 1)


def test_compare_says_nothing_when_it_sees_no_spread():
    result = compare([[0.0], [0.0], [1.0], [1.0]], [[0.0]] * 4, [[0], [0], [1], [1]])
    assert result["difference"] == 0.5 and math.isnan(result["p_value"]) and math.isnan(result["difference_low"])


def test_p_values_of_equal_models_are_uniform():
    rng, p_values = np.random.default_rng(0), []
    for _ in range(500):
        scores, references, groups = simulate_patients(rng, n_patients=200)
        other = scores + rng.normal(size=scores.shape)
        noisy = scores + rng.normal(size=scores.shape)
        p_values.append(compare(noisy, other, references, groups)["p_value"])
    assert 0.025 < np.mean(np.array(p_values) < 0.05) < 0.085  # 0.05 give or take 2.6 standard errors


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(comparison)
    assert failed == 0 and attempted >= 3
