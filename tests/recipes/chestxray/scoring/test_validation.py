"""What a finding gets from validation, and what is said of one that gets nothing."""

import numpy as np
import pandas as pd
import pytest

from chestxray.data import predictions
from chestxray.scoring import calibration, validation

FITTED, NONE = [1.0, 0.0], [np.nan, np.nan]


def of(**counts):
    """`of(Mass=(3, 40))`: 3 positives and 40 negatives of Mass."""
    return pd.DataFrame(counts, index=["positives", "negatives"]).T


def make(*positives, n=40):
    targets = np.stack([(np.arange(n) < count).astype(float) for count in positives], axis=1)
    rows = pd.DataFrame({"image_file_path": map(str, range(n)), "split": "validation", "patient": map(str, range(n))})
    names = [f"finding {number}" for number in range(len(positives))]
    return predictions.Predictions(rows, np.zeros(targets.shape), targets, names, {})


def test_too_few_positives_or_negatives_are_as_good_as_none():
    kept = validation.keep_enough(make(4, 5, 20, 35, 36)).targets
    assert np.isnan(kept).all(axis=0).tolist() == [True, False, False, False, True]
    np.testing.assert_array_equal(kept[:, 1:4], make(5, 20, 35).targets)


def test_unknown_targets_are_neither_positive_nor_negative():
    table = make(20)
    table.targets[16:, 0] = np.nan
    assert validation.count(table).to_numpy().tolist() == [[16, 0]]


def test_each_finding_without_a_threshold_or_calibration_is_named_with_its_reason():
    counts = of(Rare=(3, 900), Never=(0, 903), Common=(900, 2), Turned=(60, 840), Other=(0, 0), Fine=(60, 840))
    said = validation.notes(counts, np.array([NONE, NONE, NONE, NONE, NONE, FITTED]))
    neither = "no threshold and no calibration, because validation has"
    assert said == [
        f"Other: {neither} no labels for it.",
        f"Rare, Never: {neither} fewer than 5 positives (3, 0).",
        f"Common: {neither} fewer than 5 negatives (2).",
        "Turned: no calibration, because the slope fitted on validation is not above zero. It would reverse "
        "the ranking, or all logits are the same.",
    ]


def test_what_rests_on_few_is_called_rough():
    said = validation.notes(of(Few=(5, 90), Many=(20, 75), Full=(90, 19)), np.array([FITTED] * 3))
    assert said == [
        "Few, Full: threshold and calibration are rough, because validation has fewer than 20 positives or negatives "
        "(5, 19)."
    ]


def test_the_minimum_is_where_slopes_stop_turning_the_ranking_round():
    """The table in the module's docstring, with fewer draws."""
    rng = np.random.default_rng(0)

    def turned(positives, draws=200):
        logits = np.concatenate([rng.normal(0.954, 1, (positives, draws)), rng.normal(0, 1, (1_000, draws))])
        targets = np.repeat(np.repeat([1.0, 0.0], [positives, 1_000])[:, None], draws, axis=1)
        return np.isnan(calibration.fit(logits, targets)[:, 0]).mean()

    assert turned(2) > 0.04 > turned(validation.FEWEST)


@pytest.mark.parametrize("slope", [-1.0, 0.0])
def test_a_slope_that_is_not_above_zero_is_refused(slope):
    rng = np.random.default_rng(1)
    targets = np.repeat([1.0, 0.0], 50)
    logits = rng.normal(size=100) + targets * slope * 2 if slope else np.zeros(100)
    assert np.isnan(calibration.fit(logits[:, None], targets[:, None])).all()
