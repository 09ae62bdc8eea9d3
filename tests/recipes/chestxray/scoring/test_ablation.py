"""Differences of changes to a base: against the metric's own test, by brute force, and by drawing worlds."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from chestxray.data.predictions import Predictions
from chestxray.scoring import ablation
from multilabel_auroc import auroc_report, compare

FINDINGS = ["Mass", "Hernia"]


def made_up(seed, n=120, patients=40, **rows):
    """Predictions of the same images whatever the seed, which draws the logits."""
    images = np.random.default_rng(0)
    targets = (images.random((n, 2)) < 0.3).astype(float)
    table = {"image_file_path": [str(i) for i in range(n)], "split": "validation"}
    table["patient"] = images.integers(patients, size=n).astype(str)
    logits = np.random.default_rng(seed).normal(size=(n, 2)) + targets
    return Predictions(pd.DataFrame({**table, **rows}), logits, targets, FINDINGS)


def test_one_seed_is_the_paired_test_of_the_metric():
    a, b = made_up(1), made_up(2)
    ours = ablation.compare_runs([ablation.score(a, 0)], [ablation.score(b, 0)], 0.0, 0)
    theirs = compare(a.logits, b.logits, a.targets, a.rows["patient"])
    assert ours.value == pytest.approx(theirs["difference"])
    assert (ours.low, ours.high) == pytest.approx((theirs["difference_low"], theirs["difference_high"]))
    assert ours.p == pytest.approx(theirs["p_value"])


def test_a_score_is_the_mean_auroc_of_the_report():
    read = made_up(3)
    assert ablation.score(read, 0).auroc == pytest.approx(auroc_report(read.logits, read.targets)["auroc"])


def test_within_strata_is_the_weighted_mean_of_pairs_counted_one_by_one():
    read, strata = made_up(4), np.random.default_rng(5).integers(3, size=120).astype(str)
    means = []
    for column in range(2):
        areas, weights = [], []
        for stratum in np.unique(strata):
            scores, labels = (part[strata == stratum, column] for part in (read.logits, read.targets))
            pairs = scores[labels == 1][:, None] - scores[labels == 0]
            areas.append((pairs > 0).mean() + (pairs == 0).mean() / 2)
            weights.append((labels == 1).sum() * (labels == 0).sum() / len(labels))
        means.append(np.average(areas, weights=weights))
    assert ablation.score(read, 0, strata).auroc == pytest.approx(np.mean(means))


def test_a_model_that_only_knows_the_source_has_one_half_within_sources():
    read = made_up(6)
    source = np.where(read.targets[:, 0] + np.random.default_rng(7).random(120) > 0.8, "here", "there")
    logits = np.repeat((source == "here")[:, None], 2, axis=1).astype(float)
    knows = Predictions(read.rows, logits, read.targets, FINDINGS)
    assert ablation.score(knows, 0).auroc > 0.6
    assert ablation.score(knows, 0, source).auroc == 0.5


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Worlds without any difference, with noise of patients, of seeds, and of both together."""
    draw = np.random.default_rng(8)
    n, hits = 200, []
    for _ in range(300):
        shared, scores = draw.normal(size=n) * 0.03, {}
        for change in "abcdef":
            own = shared + draw.normal(size=n) * 0.005
            influences = [(own + draw.normal(size=n) * 0.004) / np.sqrt(n) for _ in range(2)]
            scores[change] = [
                ablation.Score(seed, 0.7 + part.sum() + draw.normal() * 0.003, part, ("Mass",))
                for seed, part in enumerate(influences)
            ]
        found = ablation.compare_changes(scores, "a", list("bcdef"))
        hits += [each.low <= 0 <= each.high for each in found.values()]
    assert 0.92 < np.mean(hits) < 0.98


def test_the_spread_between_seeds_widens_the_interval():
    def runs(*aurocs):
        return [ablation.Score(seed, auroc, np.zeros(3), ("Mass",)) for seed, auroc in enumerate(aurocs)]

    calm = ablation.compare_changes({"base": runs(0.7, 0.701), "b": runs(0.71, 0.711)}, "base", ["b"])["b"]
    wild = ablation.compare_changes({"base": runs(0.69, 0.711), "b": runs(0.70, 0.721)}, "base", ["b"])["b"]
    assert calm.value == pytest.approx(wild.value) == pytest.approx(0.01)
    assert ablation.verdict(calm) == "better" and ablation.verdict(wild) == "inside the noise"
    # without patients' noise it is Student's test of two groups
    assert wild.p == pytest.approx(ttest_ind([0.70, 0.721], [0.69, 0.711]).pvalue)


def test_holm_never_orders_two_changes_anew_and_leaves_out_what_is_undefined():
    assert ablation.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert ablation.holm([0.5, float("nan"), 0.9])[0] == 1.0


def test_strata_of_numbers_texts_and_gaps():
    sides = [128] * 70 + [1024] * 26 + [512, 280, 256, None]
    assert sorted(set(ablation.strata_of(sides))) == ["1024", "128 to 512", "unknown"]
    assert sorted(set(ablation.strata_of(["PA"] * 60 + ["AP"] * 39 + ["LL"]))) == ["AP", "PA", "other"]
    ages = ablation.strata_of(range(100))
    assert sorted(set(ages)) == ["0 to 24", "25 to 49", "50 to 74", "75 to 99"]
