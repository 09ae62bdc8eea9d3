"""`recipes/multilabel_auroc`: beside scikit-learn, beside the definitions, in simulation, and as users call it."""

import doctest
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist

import evaluate
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "multilabel_auroc"
sys.path.insert(0, str(FOLDER.parent))  # as for a script in recipes/

from multilabel_auroc import multilabel_auroc as module  # noqa: E402
from multilabel_auroc.multilabel_auroc import (  # noqa: E402
    auroc,
    auroc_covariance,
    auroc_report,
    average_precision,
    bootstrap_auroc,
    compare,
    logit_interval,
)

CLASS_NAMES = ["No Finding", "Mass", "Nodule", "Hernia"]
FINDINGS = CLASS_NAMES[1:]


def tied_data(seed, n=60, k=3, levels=6, dtype=np.float64):
    """Scores with many ties, references, and patients with one to several images."""
    rng = np.random.default_rng(seed)
    references = rng.random((n, k)) < 0.4
    references[:4] = [[True], [False], [True], [False]]
    scores = (rng.integers(levels, size=(n, k)) + references).astype(dtype)
    groups = np.append([0, 1, 2, 3], rng.integers(n // 3, size=n - 4))
    return scores, references, groups


# --- the definitions, by loops over pairs


def kernel(positive, negative):
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def placements(scores, labels):
    """V10 and V01 of DeLong et al. (1988), with the rows they belong to."""
    pos, neg = np.flatnonzero(labels), np.flatnonzero(~labels)
    v10 = np.array([np.mean([kernel(scores[i], scores[j]) for j in neg]) for i in pos])
    v01 = np.array([np.mean([kernel(scores[i], scores[j]) for i in pos]) for j in neg])
    return pos, v10, neg, v01


def delong_covariance(scores_a, scores_b, labels):
    """DeLong et al. (1988), equations 4 to 6, for two models on one finding."""
    _, v10_a, _, v01_a = placements(scores_a, labels)
    _, v10_b, _, v01_b = placements(scores_b, labels)
    area_a, area_b, m, n = v10_a.mean(), v10_b.mean(), len(v10_a), len(v01_a)
    s10 = sum((v10_a - area_a) * (v10_b - area_b)) / (m - 1)
    s01 = sum((v01_a - area_a) * (v01_b - area_b)) / (n - 1)
    return s10 / m + s01 / n


def obuchowski_covariance(scores_a, scores_b, labels, groups):
    """Obuchowski (1997): S10 / m + S01 / n + (S11 + S11') / (m n), sums over patients."""
    patients = sorted(set(groups))
    sums = []
    for scores in (scores_a, scores_b):
        pos, v10, neg, v01 = placements(scores, labels)
        area = v10.mean()
        x = np.array([sum(v - area for i, v in zip(pos, v10, strict=True) if groups[i] == g) for g in patients])
        y = np.array([sum(v - area for j, v in zip(neg, v01, strict=True) if groups[j] == g) for g in patients])
        sums.append((x, y))
    (xa, ya), (xb, yb) = sums
    m, n, i = len(pos), len(neg), len(patients)
    i10, i01 = len(set(groups[pos])), len(set(groups[neg]))
    s10 = i10 / ((i10 - 1) * m) * sum(xa * xb)
    s01 = i01 / ((i01 - 1) * n) * sum(ya * yb)
    s11 = i / (i - 1) * (sum(xa * yb) + sum(ya * xb))
    return s10 / m + s01 / n + s11 / (m * n)


# --- AUROC and average precision


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("seed, levels", [(0, 2), (1, 6), (2, 40), (3, 100_000)])
def test_equals_scikit_learn_with_ties(seed, levels, dtype):
    scores, references, _ = tied_data(seed, n=3000, levels=min(levels, 2000 if dtype == np.float16 else levels))
    scores = scores.astype(dtype)
    assert auroc(scores, references) == pytest.approx(roc_auc_score(references, scores, average=None), abs=1e-12)
    expected = average_precision_score(references, scores, average=None)
    assert average_precision(scores, references) == pytest.approx(expected, abs=1e-12)
    report = auroc_report(scores, references)
    assert report["auroc"] == pytest.approx(roc_auc_score(references, scores), abs=1e-12)
    assert report["auroc_micro"] == pytest.approx(roc_auc_score(references, scores, average="micro"), abs=1e-12)
    for key, average in (("average_precision", "macro"), ("average_precision_micro", "micro")):
        assert report[key] == pytest.approx(average_precision_score(references, scores, average=average), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_count_of_pairs(seed):
    scores, references, _ = tied_data(seed, n=25)
    pairs = [placements(s, r)[1].mean() for s, r in zip(scores.T, references.T, strict=True)]
    assert auroc(scores, references) == pytest.approx(pairs, abs=1e-15)


@pytest.mark.parametrize("change", [np.exp, np.cbrt, lambda s: 1 / (1 + np.exp(-s)), lambda s: 3 * s - 7])
def test_only_the_order_of_scores_counts(change):
    scores, references, groups = tied_data(4)
    assert auroc_report(change(scores), references, groups) == auroc_report(scores, references, groups)


def test_turning_scores_round_turns_the_result_round():
    scores, references, groups = tied_data(5)
    assert auroc(-scores, references) == pytest.approx(1 - auroc(scores, references))
    assert auroc_covariance(-scores, references, groups) == pytest.approx(auroc_covariance(scores, references, groups))


def test_the_order_of_rows_does_not_matter():
    scores, references, groups = tied_data(6)
    shuffled = np.random.default_rng(0).permutation(len(scores))
    report = auroc_report(scores, references, groups)
    again = auroc_report(scores[shuffled], references[shuffled], groups[shuffled])
    assert report.pop("undefined") == again.pop("undefined") == []
    assert again == pytest.approx(report)


def test_infinite_scores_are_ranked():
    assert auroc([[-np.inf], [np.inf], [np.inf], [0.0]], [[0], [1], [0], [0]]) == pytest.approx([2.5 / 3])


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


# --- the analytic interval


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


# --- the bootstrap


def test_resamples_equal_scikit_learn_on_repeated_rows():
    scores, references, groups = tied_data(12)
    resamples = bootstrap_auroc(scores, references, groups, n_resamples=20, seed=3)
    unit, n_units = module.read_groups(groups, len(groups))
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
    many, few = (bootstrap_auroc(scores, references, groups, n) for n in (800, 30))
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
    with pytest.warns(UserWarning, match=f"of 100 resamples, those with one class only .*: Hernia {lost}$"):
        report = auroc_report(scores, references, label_names=FINDINGS, interval="bootstrap", n_resamples=100)
    assert 0 <= report["auroc_low/Hernia"] <= report["auroc_high/Hernia"] <= 1


# --- coverage

SHIFTS = np.array([0.8, 1.4, 2.0])  # of positive scores; the unit variance of a score is the same in both classes
TRUTH = np.array([NormalDist().cdf(shift / math.sqrt(2)) for shift in SHIFTS])
TRUTH = np.append(TRUTH, TRUTH.mean())


def simulate_patients(rng, n_patients=400, mean_images=3, correlation=0.6):
    """Images of a patient share the risk of a finding, and part of the score; findings share part of that part."""
    groups = np.repeat(np.arange(n_patients), rng.geometric(1 / mean_images, n_patients))
    risk = rng.normal(-1.5, 1.5, size=(n_patients, 3))[groups]
    references = rng.random(risk.shape) < 1 / (1 + np.exp(-risk))
    patient = (rng.normal(size=(n_patients, 1)) + rng.normal(size=(n_patients, 3))) / math.sqrt(2)
    noise = rng.normal(size=risk.shape)
    scores = SHIFTS * references + math.sqrt(correlation) * patient[groups] + math.sqrt(1 - correlation) * noise
    return scores, references, groups


def coverage(n_simulations, clustered=True, n_patients=400, **settings):
    """Share of intervals that hold the true AUROC, of three findings and of their mean."""
    rng, hits = np.random.default_rng(2026), np.zeros(4)
    for _ in range(n_simulations):
        scores, references, groups = simulate_patients(rng, n_patients)
        report = auroc_report(scores, references, groups if clustered else None, **settings)
        keys = ("/0", "/1", "/2", "")
        low, high = (np.array([report[bound + key] for key in keys]) for bound in ("auroc_low", "auroc_high"))
        hits += (low <= TRUTH) & (TRUTH <= high)
    print(n_patients, "patients" if clustered else "patients, ignored", settings, hits / n_simulations)
    return hits / n_simulations


@pytest.mark.parametrize(
    "n_simulations, settings",
    [(2000, {"interval": "analytic"}), (1500, {"interval": "bootstrap", "n_resamples": 300})],
)
def test_clustered_intervals_cover_95_percent(n_simulations, settings):
    share = coverage(n_simulations, **settings)
    assert ((0.93 <= share) & (share <= 0.97)).all(), share


@pytest.mark.parametrize(
    "n_simulations, settings",
    [(300, {"interval": "analytic"}), (100, {"interval": "bootstrap", "n_resamples": 200})],
)
def test_intervals_that_ignore_patients_are_too_narrow(n_simulations, settings):
    share = coverage(n_simulations, clustered=False, **settings)
    assert (share < 0.91).all(), share


def test_few_patients_are_covered_less():
    """A limit that the README states, held to what it says."""
    share = coverage(1000, n_patients=60, interval="analytic")
    assert ((0.86 <= share) & (share <= 0.95)).all(), share


# --- the paired test


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


# --- what may be given


class OtherDevice:
    """A tensor that NumPy cannot read until it has been moved, as one on a GPU."""

    def __init__(self, tensor):
        self.tensor = tensor

    def detach(self):
        return self

    def cpu(self):
        return self.tensor.detach()

    def __array__(self, *args, **kwargs):
        raise TypeError("can't convert device tensor to numpy")


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.tolist(),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(int),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x).half(),
        lambda x: torch.tensor(x).bfloat16(),
        lambda x: list(torch.tensor(x).bfloat16()),
        lambda x: OtherDevice(torch.tensor(x).bfloat16()),
    ],
)
def test_scores_of_any_kind_give_the_same(convert):
    scores, references, groups = tied_data(22)
    expected = auroc_report(scores, references, groups)
    assert auroc_report(convert(scores), references, groups) == expected
    assert compare(convert(scores), scores, references)["difference"] == 0


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.tolist(),
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(np.float32),
        torch.tensor,
        lambda x: torch.tensor(x).float(),
        lambda x: list(torch.tensor(x).long()),
    ],
)
def test_references_of_any_kind_give_the_same(convert):
    scores, references, groups = tied_data(23)
    assert auroc_report(scores, convert(references), groups) == auroc_report(scores, references, groups)


@pytest.mark.parametrize(
    "name_groups",
    [
        lambda g: [f"patient-{i}" for i in g],
        lambda g: [(i, "x") for i in g],
        torch.tensor,
        lambda g: np.array([f"{i}" for i in g]),
        lambda g: g.tolist(),
    ],
)
def test_patients_of_any_kind_give_the_same(name_groups):
    scores, references, groups = tied_data(24)
    expected = auroc_report(scores, references, groups)
    assert auroc_report(scores, references, name_groups(groups)) == expected
    assert expected["n_groups"] == len(set(groups.tolist())) and expected["n_images"] == 60


def class_ids(references, first):
    return [(np.flatnonzero(row)[::-1] + first).tolist() for row in references]


def test_class_ids_with_and_without_no_finding():
    scores, references, groups = tied_data(25)
    expected = auroc_report(scores, references, groups, label_names=FINDINGS)
    with_no_finding = [ids or [0] for ids in class_ids(references, first=1)]
    assert [0] in with_no_finding
    assert auroc_report(scores, with_no_finding, groups, class_names=CLASS_NAMES) == expected
    assert auroc_report(scores, class_ids(references, first=0), groups, class_names=FINDINGS) == expected
    tensors = [torch.tensor(ids) for ids in with_no_finding]
    assert auroc_report(scores, tensors, groups, class_names=CLASS_NAMES) == expected


def test_label_names_choose_and_order_the_columns_of_class_ids():
    scores, references, _ = tied_data(26)
    ids = class_ids(references, first=1)
    chosen = auroc_report(scores[:, [2, 0]], ids, class_names=CLASS_NAMES, label_names=["Hernia", "Mass"])
    everything = auroc_report(scores, ids, class_names=CLASS_NAMES)
    assert chosen["auroc/Hernia"] == everything["auroc/Hernia"] and "auroc/Nodule" not in chosen
    as_class = auroc_report(np.hstack([scores[:, :1], scores]), ids, class_names=CLASS_NAMES, label_names=CLASS_NAMES)
    assert as_class["undefined"] == ["No Finding"] and as_class["auroc"] == everything["auroc"]


GOOD = ([[0.1, 0.9], [0.4, 0.3], [0.8, 0.2]], [[0, 1], [1, 0], [1, 0]])
TWO = ["Mass", "Hernia"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"prediction_scores": [[0.1, 0.9], [0.4, math.nan], [0.8, 0.2]]}, r"NaN in row 1, column 1 \(Hernia\)"),
        ({"prediction_scores": [[0.1, 0.9], [0.4, 0.3]]}, r"prediction_scores has shape \(2, 2\) .* \(3, 2\)"),
        ({"prediction_scores": [0.1, 0.4, 0.8]}, r"prediction_scores has shape \(3,\)"),
        ({"references": [[0, 1], [1, 0], [1, 2]]}, r"references is 2 in row 2, column 1 \(Hernia\): .* 0, 1 or NaN"),
        ({"references": [[0, 1], [0.5, 0], [1, 0]]}, r"references is 0.5 in row 1, column 0 \(Mass\)"),
        ({"references": [[1], [0, 1], []]}, "references is no table .* pass class_names"),
        ({"references": [[1, 0], [1], [5]], "class_names": TWO}, "class id 5 in row 2: class_names has 2.* 0 to 1"),
        ({"references": [[1, 0], [-1], []], "class_names": TWO}, "class id -1 in row 1"),
        ({"references": [[1, 0], [0.5], []], "class_names": TWO}, "class id 0.5 in row 1"),
        ({"references": [[1, 0], 1, []], "class_names": TWO}, "references is 1 in row 1: expected a list"),
        ({"references": [[1], [0], []], "class_names": CLASS_NAMES}, r"label_names .* out of class_names"),
        ({"references": [[1], [0], []], "class_names": ["Mass", "Mass", "Hernia"]}, "out of class_names"),
        ({"references": [[1], [0], []], "class_names": FINDINGS, "label_names": None}, r"references \(3, 3\)"),
        ({"groups": [1, 1]}, "groups has 2 entries for 3 rows"),
        ({"groups": [1, None, 1]}, "groups is missing in row 1"),
        ({"groups": [1, 1, math.nan]}, "groups is missing in row 2"),
        ({"label_names": ["Mass"]}, "label_names must be 2 different names"),
        ({"label_names": ["Mass", "Mass"]}, "label_names must be 2 different names"),
        ({"interval": "delong"}, "interval must be one of .*'delong'"),
        ({"confidence_level": 95}, "confidence_level must lie between 0 and 1, got 95"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    if change.get("class_names") == CLASS_NAMES:
        change = change | {"label_names": ["Mass", "Pneumonia"]}
    elif change.get("class_names") == ["Mass", "Mass", "Hernia"]:
        change = change | {"label_names": ["Mass", "Hernia"]}
    given = {"prediction_scores": GOOD[0], "references": GOOD[1], "label_names": TWO} | change
    with pytest.raises(ValueError, match=message):
        auroc_report(**given)


def test_compare_names_the_model_whose_scores_are_wrong():
    with pytest.raises(ValueError, match=r"scores_b has shape \(2, 2\)"):
        compare(GOOD[0], GOOD[0][:2], GOOD[1])
    with pytest.raises(ValueError, match=r"scores_a is NaN in row 0, column 0 \(0\)"):
        compare([[math.nan, 0.9], *GOOD[0][1:]], GOOD[0], GOOD[1])


# --- the evaluate module


@pytest.fixture
def metric(tmp_path):
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path))


def test_one_call_and_many_batches_give_the_report(metric):
    scores, references, groups = tied_data(27)
    scores += 1e-9 * np.arange(60)[:, None]  # differences that float32 would lose
    settings = {"groups": groups, "label_names": FINDINGS}
    expected = auroc_report(scores, references, **settings)
    assert metric.compute(prediction_scores=scores, references=references, **settings) == expected
    for start in range(0, 60, 16):  # the last batch is smaller
        metric.add_batch(
            prediction_scores=torch.tensor(scores[start : start + 16]),
            references=torch.tensor(references[start : start + 16]),
        )
    assert metric.compute(**settings) == expected
    metric.add_batch(prediction_scores=scores[:50], references=references[:50].tolist())
    rest = {"prediction_scores": scores[50:], "references": references[50:]}
    assert metric.compute(**rest, **settings) == expected  # what is given joins what was added
    for score, reference in zip(scores, references, strict=True):
        metric.add(prediction_scores=score, references=reference)
    assert metric.compute(**settings) == expected


def test_class_ids_and_unknown_labels_pass_through_batches(metric):
    scores, references, _ = tied_data(28)
    ids = [row or [0] for row in class_ids(references, first=1)]
    for rows in (slice(0, 30), slice(30, 60)):
        metric.add_batch(prediction_scores=scores[rows], references=ids[rows])
    expected = auroc_report(scores, references, label_names=FINDINGS)
    assert metric.compute(class_names=CLASS_NAMES) == expected
    masked = references.astype(float)
    masked[5:9, 0] = np.nan
    metric.add_batch(prediction_scores=torch.tensor(scores).bfloat16(), references=torch.tensor(masked))
    assert metric.compute() == auroc_report(scores, masked)


def test_the_module_compares_and_refuses_half_an_input(metric):
    scores, references, groups = tied_data(29)
    assert metric.compare(scores, -scores, references, groups) == compare(scores, -scores, references, groups)
    with pytest.raises(ValueError, match="prediction_scores and references"):
        metric.compute(prediction_scores=scores)


OFFLINE_USE = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError(f"a network request: {args}")
socket.socket.connect = socket.getaddrinfo = refuse
import evaluate
metric = evaluate.load("recipes/multilabel_auroc")
given = {"prediction_scores": [[0.1, 0.9], [0.4, 0.3], [0.8, 0.2]], "references": [[0, 1], [1, 0], [1, 0]]}
assert metric.compute(**given)["auroc"] == 1.0
metric.add_batch(**given)
assert metric.compute()["auroc"] == 1.0
print("done")
"""


@pytest.mark.parametrize("offline", ["0", "1"])
def test_loads_by_path_without_a_request(tmp_path, offline):
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": offline}
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE_USE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.stdout == "done\n", run.stderr


# --- what the documentation shows


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(module)
    assert failed == 0 and attempted >= 15


def test_readme_examples_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    failed, attempted = doctest.testfile(str(FOLDER / "README.md"), module_relative=False)
    assert failed == 0 and attempted >= 10


def test_readme_lists_every_key_of_the_report():
    report = auroc_report(*GOOD, label_names=TWO)
    first_cells = re.findall(r"^\|([^|]+)\|", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)
    documented = set(re.findall(r"`([a-z_]+)`", " ".join(first_cells)))
    assert documented >= {key.split("/")[0] for key in report}
    assert documented >= {key.split("/")[0] for key in compare(GOOD[0], GOOD[0], GOOD[1])}


def test_the_space_is_complete():
    front_matter = (FOLDER / "README.md").read_text().split("---")[1]
    for line in ("sdk: gradio", "app_file: app.py", "- evaluate", "- metric"):
        assert line in front_matter
    requirements = (FOLDER / "requirements.txt").read_text().split()
    assert {re.split("[<>=]", line)[0] for line in requirements} >= {"datasets", "evaluate", "numpy"}
    compile((FOLDER / "app.py").read_text(), "app.py", "exec")
