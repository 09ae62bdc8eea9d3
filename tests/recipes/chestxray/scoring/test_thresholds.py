"""Thresholds by brute force, and what they do against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from chestxray.scoring import thresholds

RNG = np.random.default_rng(0)
LOGITS = np.round(RNG.normal(size=(200, 3)), 1)  # with ties
TARGETS = (RNG.random((200, 3)) < [0.05, 0.3, 0.6]).astype(float)


@pytest.mark.parametrize("column", range(3))
def test_no_other_threshold_does_better(column):
    logits, positive = LOGITS[:, column], TARGETS[:, column] == 1
    chosen = {rule: limits[column] for rule, limits in thresholds.fit(LOGITS, TARGETS, 0.9).items()}

    def youden(limit):
        return (logits[positive] >= limit).mean() - (logits[~positive] >= limit).mean()

    def f1(limit):
        return f1_score(positive, logits >= limit)

    everywhere = np.unique(logits)
    assert youden(chosen["youden"]) == pytest.approx(max(map(youden, everywhere)))
    assert f1(chosen["f1"]) == pytest.approx(max(map(f1, everywhere)))
    reached = (logits[positive] >= chosen["sensitivity"]).mean()
    assert reached >= 0.9
    higher = everywhere[everywhere > chosen["sensitivity"]][1:]
    assert all((logits[positive] >= limit).mean() < 0.9 for limit in higher)


@pytest.mark.parametrize(
    "rule, targets, limit",
    [
        ("youden", [0, 1, 0, 1], 0.5),  # 1 - 1/2 at the score 1, 1/2 - 0 at 3
        ("f1", [0, 1, 0, 0, 1, 0, 1], 0.5),  # 2/3 at the score 1 and at 4
        ("sensitivity", [0, 1, 0, 1], 2.5),  # the fewest calls: the highest threshold that finds one of two
    ],
)
def test_of_several_thresholds_as_good_the_one_that_is_promised_is_taken(rule, targets, limit):
    targets = np.array(targets, dtype=float)[:, None]
    logits = np.arange(len(targets), dtype=float)[:, None]
    assert thresholds.fit(logits, targets, 0.5)[rule].tolist() == [limit]


def test_what_thresholds_do_is_the_confusion_matrix():
    limits = np.array([0.0, 0.5, -0.3])
    table = thresholds.judge(LOGITS, TARGETS, limits)
    for column, limit in enumerate(limits):
        tn, fp, fn, tp = confusion_matrix(TARGETS[:, column], LOGITS[:, column] >= limit).ravel()
        expected = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)]
        np.testing.assert_allclose(table.iloc[column], expected)


def test_one_class_gives_no_threshold_and_no_figures():
    targets = TARGETS.copy()
    targets[:, 0], targets[:, 1] = 0, 1
    limits = thresholds.fit(LOGITS, targets, 0.9)
    for rule in thresholds.RULES:
        assert np.isnan(limits[rule]).tolist() == [True, True, False]
    assert thresholds.judge(LOGITS, TARGETS, limits["f1"]).isna().all(axis=1).tolist() == [True, True, False]
    assert thresholds.judge(LOGITS, targets, np.zeros(3)).isna().all(axis=1).tolist() == [True, True, False]


def test_unknown_targets_count_nowhere():
    targets = np.vstack([TARGETS, np.full((50, 3), np.nan)])
    logits = np.vstack([LOGITS, RNG.normal(size=(50, 3))])
    for rule, limits in thresholds.fit(logits, targets, 0.9).items():
        np.testing.assert_array_equal(limits, thresholds.fit(LOGITS, TARGETS, 0.9)[rule])
    zero = np.zeros(3)
    assert thresholds.judge(logits, targets, zero).equals(thresholds.judge(LOGITS, TARGETS, zero))


def test_a_sensitivity_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="sensitivity is 1.5"):
        thresholds.fit(LOGITS, TARGETS, 1.5)
