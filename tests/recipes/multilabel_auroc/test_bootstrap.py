"""The bootstrap over patients: beside scikit-learn on rows that are repeated for real."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auroc_by_hand import FINDINGS, tied_data
from multilabel_auroc import auroc_report, bootstrap, bootstrap_auroc
from multilabel_auroc.inputs import read_groups


def test_resamples_equal_scikit_learn_on_repeated_rows():
    scores, references, groups = tied_data(12)
    resamples = bootstrap_auroc(scores, references, groups, n_resamples=20, seed=3)
    unit, n_units = read_groups(groups, len(groups))
    draws = np.random.default_rng(3).integers(n_units, size=(20, n_units))
    for draw, result in zip(draws, resamples, strict=True):
        rows = np.concatenate([np.flatnonzero(unit == patient) for patient in draw])
        assert result == pytest.approx(roc_auc_score(references[rows], scores[rows], average=None), abs=1e-12)


def test_the_seed_decides_the_resamples():
    scores, references, groups = tied_data(13)
    first, again, other = (bootstrap_auroc(scores, references, groups, 30, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_number_resampled_at_once_changes_nothing():
    scores, references, groups = tied_data(14, n=3000)  # more than one chunk of 2**20 // 3000 resamples
    many, few = (bootstrap_auroc(scores, references, groups, n) for n in (400, 30))
    assert np.array_equal(many[:30], few)


def test_the_interval_is_the_percentiles_of_the_resamples():
    scores, references, groups = tied_data(15)
    resamples = bootstrap_auroc(scores, references, groups, 200, seed=5)
    report = auroc_report(
        scores, references, groups, interval="bootstrap", n_resamples=200, seed=5, confidence_level=0.8
    )
    bounds = [report["auroc_low/1"], report["auroc_high/1"]]
    assert bounds == pytest.approx(np.quantile(resamples[:, 1], [0.1, 0.9]))
    assert report["auroc_low"] == pytest.approx(np.quantile(resamples.mean(axis=1), 0.1))


def test_resamples_without_a_positive_are_counted_aloud():
    scores, references, groups = tied_data(16)
    references[:, 2] = False
    references[4, 2] = True
    lost = int(np.isnan(bootstrap_auroc(scores, references, n_resamples=100)[:, 2]).sum())
    assert 20 < lost < 60  # one of 60 images is missing from a share of (1 - 1/60)**60 = 0.365 of resamples
    with pytest.warns(UserWarning, match=f"resamples with one class only .* of 100: Hernia {lost}$") as caught:
        report = auroc_report(scores, references, label_names=FINDINGS, interval="bootstrap", n_resamples=100)
    assert 0 <= report["auroc_low/Hernia"] <= report["auroc_high/Hernia"] <= 1
    assert caught[0].filename == __file__, "the warning names the line that asked for the report"


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(bootstrap)
    assert failed == 0 and attempted >= 1
