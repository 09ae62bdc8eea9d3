"""The report of one model: what is undefined, what is unknown, and how often its intervals hold the truth."""

import doctest
import json
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auroc_by_hand import FINDINGS, TRUTH, simulate_patients, tied_data
from multilabel_auroc import auroc_report
from multilabel_auroc import report as module


@pytest.mark.parametrize("interval", ["analytic", "bootstrap", None])
def test_a_finding_with_one_class_is_nan_named_and_left_out(interval):
    scores, references, groups = tied_data(7)
    references[:, 1] = False
    report = auroc_report(scores, references, groups, label_names=FINDINGS, interval=interval, n_resamples=50)
    assert report["undefined"] == ["Nodule"] and report["n_findings"] == 2
    assert math.isnan(report["auroc/Nodule"]) and math.isnan(report["average_precision/Nodule"])
    assert report["auroc"] == pytest.approx((report["auroc/Mass"] + report["auroc/Hernia"]) / 2)
    assert (report["positives/Nodule"], report["negatives/Nodule"]) == (0, 60)
    if interval:
        assert math.isnan(report["auroc_low/Nodule"]) and report["auroc_low"] < report["auroc"] < report["auroc_high"]


@pytest.mark.parametrize("interval", ["analytic", "bootstrap", None])
def test_the_mean_of_nothing_is_nan(interval):
    report = auroc_report([[0.1, 0.2], [0.3, 0.1]], [[1, 0], [1, 0]], interval=interval, n_resamples=10)
    assert math.isnan(report["auroc"]) and report["n_findings"] == 0 and report["undefined"] == ["0", "1"]
    assert json.loads(json.dumps(report)).keys() == report.keys()


def test_an_unknown_label_leaves_the_image_out_for_that_finding_only():
    scores, references, groups = tied_data(8)
    references = references.astype(float)
    references[10:25, 1] = np.nan
    known = ~np.isnan(references[:, 1])
    report = auroc_report(scores, references, groups)
    alone = auroc_report(scores[known][:, [1]], references[known][:, [1]], groups[known])
    for quantity in ("auroc", "auroc_low", "auroc_high", "average_precision", "positives", "negatives"):
        assert report[f"{quantity}/1"] == pytest.approx(alone[f"{quantity}/0"], abs=1e-12)
    everything = auroc_report(scores, np.nan_to_num(references), groups)
    assert report["auroc/0"] == everything["auroc/0"] and report["auroc_low/2"] == everything["auroc_low/2"]
    entries = ~np.isnan(references)
    assert report["auroc_micro"] == pytest.approx(roc_auc_score(references[entries], scores[entries]), abs=1e-12)


def bounds(report):
    """Low and high, `(4,)` each: of three findings and of their mean."""
    keys = ("/0", "/1", "/2", "")
    return np.array([[report[bound + key] for key in keys] for bound in ("auroc_low", "auroc_high")])


def coverage(n_simulations, clustered=True, n_patients=400, **settings):
    """Share of intervals that hold the true AUROC, of three findings and of their mean."""
    rng, hits = np.random.default_rng(2026), np.zeros(4)
    for _ in range(n_simulations):
        scores, references, groups = simulate_patients(rng, n_patients)
        report = auroc_report(scores, references, groups if clustered else None, **settings)
        low, high = bounds(report)
        hits += (low <= TRUTH) & (TRUTH <= high)
    print(n_patients, "patients" if clustered else "patients, ignored", settings, hits / n_simulations)
    return hits / n_simulations


@pytest.mark.parametrize(
    "n_simulations, settings, fewest",
    [(1000, {"interval": "analytic"}, 0.93), (300, {"interval": "bootstrap", "n_resamples": 200}, 0.92)],
)
def test_clustered_intervals_cover_95_percent(n_simulations, settings, fewest):
    """The bounds are about three standard errors of this many simulations away from 0.945."""
    share = coverage(n_simulations, **settings)
    assert ((fewest <= share) & (share <= 0.97)).all(), share


def test_both_kinds_of_interval_agree():
    """Pair by pair, which sees a smaller difference than coverage does, in fewer simulations."""
    rng, widths = np.random.default_rng(0), []
    for _ in range(40):
        data = simulate_patients(rng)
        reports = auroc_report(*data), auroc_report(*data, interval="bootstrap", n_resamples=300)
        widths.append([bounds(report)[1] - bounds(report)[0] for report in reports])
    analytic, bootstrap = np.mean(widths, axis=0)
    assert bootstrap == pytest.approx(analytic, rel=0.05)  # images as if independent: 0.75


@pytest.mark.parametrize(
    "n_simulations, settings",
    [(300, {"interval": "analytic"}), (60, {"interval": "bootstrap", "n_resamples": 200})],
)
def test_intervals_that_ignore_patients_are_too_narrow(n_simulations, settings):
    share = coverage(n_simulations, clustered=False, **settings)
    assert (share < 0.91).all(), share


def test_few_patients_are_covered_less():
    """A limit that the README states, held to what it says."""
    share = coverage(600, n_patients=60, interval="analytic")
    assert ((0.86 <= share) & (share <= 0.95)).all(), share


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(module)
    assert failed == 0 and attempted >= 4
