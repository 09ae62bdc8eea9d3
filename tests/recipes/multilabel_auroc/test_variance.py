"""The analytic variance: beside DeLong's and Obuchowski's definitions."""

import doctest
import math

import numpy as np
import pytest

from auroc_by_hand import delong_covariance, obuchowski_covariance, tied_data
from multilabel_auroc import auroc_covariance, auroc_report, logit_interval, variance


@pytest.mark.parametrize("seed", range(5))
def test_variance_is_delong_by_double_sum(seed):
    scores, references, _ = tied_data(seed, n=30)
    expected = [delong_covariance(s, s, r) for s, r in zip(scores.T, references.T, strict=True)]
    assert np.diag(auroc_covariance(scores, references)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_clustered_variance_is_obuchowski_by_definition(seed):
    scores, references, groups = tied_data(seed, n=30)
    expected = [obuchowski_covariance(s, s, r, groups) for s, r in zip(scores.T, references.T, strict=True)]
    assert np.diag(auroc_covariance(scores, references, groups)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_covariance_of_two_models_is_the_published_one(seed):
    """Two models on one finding are two columns with the same references."""
    scores, references, groups = tied_data(seed, n=30, k=2)
    references[:, 1] = references[:, 0]
    pair = (*scores.T, references[:, 0])
    assert auroc_covariance(scores, references)[0, 1] == pytest.approx(delong_covariance(*pair), rel=1e-10)
    clustered = auroc_covariance(scores, references, groups)[0, 1]
    assert clustered == pytest.approx(obuchowski_covariance(*pair, groups), rel=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_covariance_is_never_indefinite(seed):
    scores, references, groups = tied_data(seed, n=20, k=6)
    references[5:, ::2] = False  # patients with a positive are few, and not the same for all findings
    assert np.linalg.eigvalsh(auroc_covariance(scores, references, groups)).min() > -1e-12


def test_the_interval_of_the_mean_uses_the_whole_covariance():
    scores, references, groups = tied_data(9)
    report = auroc_report(scores, references, groups, confidence_level=0.9)
    variance = auroc_covariance(scores, references, groups).sum() / 9
    low, high = logit_interval(report["auroc"], variance, 0.9)
    assert (report["auroc_low"], report["auroc_high"]) == (pytest.approx(low), pytest.approx(high))


def test_copies_of_one_finding_have_the_interval_of_one():
    scores, references, groups = tied_data(10, k=1)
    report = auroc_report(np.repeat(scores, 4, axis=1), np.repeat(references, 4, axis=1), groups)
    assert report["auroc_low"] == pytest.approx(report["auroc_low/0"], rel=1e-12)


def test_doubling_every_image_leaves_the_clustered_interval_alone():
    scores, references, groups = tied_data(11)
    twice = [np.repeat(table, 2, axis=0) for table in (scores, references, groups)]
    once = auroc_report(scores, references, groups)
    assert auroc_report(*twice)["auroc_low"] == pytest.approx(once["auroc_low"], rel=1e-12)
    assert auroc_report(*twice[:2])["auroc_low"] > auroc_report(scores, references)["auroc_low"]


def test_no_interval_where_the_spread_cannot_be_seen():
    perfect = auroc_report([[0.1], [0.2], [0.8], [0.9]], [[0], [0], [1], [1]])
    assert perfect["auroc"] == 1 and math.isnan(perfect["auroc_low"])  # DeLong's variance is 0 here
    one_positive_patient = auroc_report([[0.1], [0.5], [0.4], [0.9]], [[0], [0], [1], [1]], [1, 2, 3, 3])
    assert one_positive_patient["auroc"] == 0.75 and math.isnan(one_positive_patient["auroc_high"])


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(variance)
    assert failed == 0 and attempted >= 5
