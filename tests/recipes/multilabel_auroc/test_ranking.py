"""AUROC and average precision: beside scikit-learn, and beside the count of pairs."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from auroc_by_hand import placements, tied_data
from multilabel_auroc import auroc, auroc_covariance, auroc_report, average_precision, ranking


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


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(ranking)
    assert failed == 0 and attempted >= 4
