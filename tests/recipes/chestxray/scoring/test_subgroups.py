"""Subgroups, on predictions whose unfairness was put in."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from chestxray.data import predictions
from chestxray.scoring import subgroups
from unfair_predictions import make


def test_a_gap_that_is_there_is_found():
    table = make()
    scored = subgroups.measure(table, np.array([1.5, 0.0]))
    gaps = subgroups.gaps(scored).set_index(["attribute", "finding"])
    assert gaps.loc[("sex", "Mass"), "auroc_gap"] > 0.3
    assert gaps.loc[("sex", "Mass"), "missed_gap"] > 0.5
    assert (gaps.loc[("sex", "Mass"), "worst"], gaps.loc[("sex", "Mass"), "best"]) == ("F", "M")
    assert gaps.loc[("view", "Mass"), "auroc_gap"] < 0.1
    both = gaps.loc["sex"].loc[["Mass", "Hernia"], "auroc_gap"]
    assert gaps.loc[("sex", "mean"), "auroc_gap"] == pytest.approx(both.mean())


def test_a_subgroups_figures_are_those_of_its_rows_alone():
    table = make()
    row = subgroups.measure(table, np.array([1.5, 0.0])).query("subgroup == 'F' and finding == 'Mass'").iloc[0]
    women = (table.rows["sex"] == "F").to_numpy()
    logits, targets = table.logits[women, 0], table.targets[women, 0]
    assert row["auroc"] == pytest.approx(roc_auc_score(targets, logits))
    assert row["missed"] == pytest.approx((logits[targets == 1] < 1.5).mean())
    assert (row["images"], row["positives"]) == (women.sum(), targets.sum())
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_small_subgroups_are_warned_of_and_enter_no_gap():
    table = make(age=np.append(np.full(1_990, 50), np.full(10, 85)))
    scored = subgroups.measure(table, np.zeros(2))
    assert "age, years 80 and over: fewer than 20 positives or negatives of every finding." in subgroups.warnings(
        scored
    )
    assert subgroups.gaps(scored).query("attribute == 'age'")["auroc_gap"].isna().all()


def test_bands_take_every_age_and_count_to_one_place():
    ages = subgroups.to_bands([0, 17, 18, 39, 40, 59, 60, 79, 80, 120], subgroups.AGES)
    assert ages.tolist() == [name for _, name in subgroups.AGES for _ in range(2)]
    counts = subgroups.to_bands([1, 2, 4, 5, 9, 10, 19, 20, 184], subgroups.COUNTS)
    assert counts.tolist() == ["1", "2–4", "2–4", "5–9", "5–9", "10–19", "10–19", "20 and more", "20 and more"]


def test_an_attribute_that_the_dataset_lacks_is_left_out():
    table = make(view=None)
    table = predictions.Predictions(
        table.rows.drop(columns=["age", "sex"]), table.logits, table.targets, table.findings, {}
    )
    assert subgroups.measure(table, np.zeros(2))["attribute"].unique().tolist() == ["images"]
