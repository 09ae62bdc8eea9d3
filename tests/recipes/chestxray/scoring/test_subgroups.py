"""Subgroups and shortcuts on predictions whose unfairness is known, for it was put in."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from chestxray.data import predictions
from chestxray.scoring import shortcuts, subgroups


def make(n=2_000, seed=0, **columns):
    """Mass is told well on men and not at all on women; Hernia is told by neither, but nearly all of it is on AP."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "image_file_path": [f"{number}.png" for number in range(n)],
            "split": "test",
            "patient": [f"{number // 2:08d}" for number in range(n)],
            "sex": rng.choice(["F", "M"], n),
            "age": rng.integers(0, 95, n),
            "view": rng.choice(["PA", "AP"], n),
            "images": 2,
            **columns,
        }
    )
    targets = (rng.random((n, 2)) < 0.2).astype(float)
    targets[:, 1] = rng.random(n) < np.where(rows["view"] == "AP", 0.3, 0.02)
    logits = rng.normal(size=(n, 2))
    logits[:, 0] += 3 * targets[:, 0] * (rows["sex"] == "M")
    return predictions.Predictions(rows, logits, targets, ["Mass", "Hernia"], {})


def test_a_gap_that_is_there_is_found():
    table = make()
    scored = subgroups.score(table, np.array([1.5, 0.0]))
    gaps = subgroups.gaps(scored).set_index(["attribute", "finding"])
    assert gaps.loc[("sex", "Mass"), "auroc_gap"] > 0.3
    assert gaps.loc[("sex", "Mass"), "missed_gap"] > 0.5
    assert (gaps.loc[("sex", "Mass"), "worst"], gaps.loc[("sex", "Mass"), "best"]) == ("F", "M")
    assert gaps.loc[("view", "Mass"), "auroc_gap"] < 0.1
    both = gaps.loc["sex"].loc[["Mass", "Hernia"], "auroc_gap"]
    assert gaps.loc[("sex", "mean"), "auroc_gap"] == pytest.approx(both.mean())


def test_a_subgroups_figures_are_those_of_its_rows_alone():
    table = make()
    row = subgroups.score(table, np.array([1.5, 0.0])).query("subgroup == 'F' and finding == 'Mass'").iloc[0]
    women = (table.rows["sex"] == "F").to_numpy()
    logits, targets = table.logits[women, 0], table.targets[women, 0]
    assert row["auroc"] == pytest.approx(roc_auc_score(targets, logits))
    assert row["missed"] == pytest.approx((logits[targets == 1] < 1.5).mean())
    assert (row["images"], row["positives"]) == (women.sum(), targets.sum())
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_small_subgroups_are_warned_of_and_enter_no_gap():
    table = make(age=np.append(np.full(1_990, 50), np.full(10, 85)))
    scored = subgroups.score(table, np.zeros(2))
    assert "Under 20 positives or negatives of every finding: age, years 80 and over." in subgroups.warnings(scored)
    assert subgroups.gaps(scored).query("attribute == 'age'")["auroc_gap"].isna().all()


def test_bands_take_every_age_and_count_to_one_place():
    ages = subgroups.band([0, 17, 18, 39, 40, 59, 60, 79, 80, 120], subgroups.AGES)
    assert ages.tolist() == [name for _, name in subgroups.AGES for _ in range(2)]
    counts = subgroups.band([1, 2, 4, 5, 9, 10, 19, 20, 184], subgroups.COUNTS)
    assert counts.tolist() == ["1", "2–4", "2–4", "5–9", "5–9", "10–19", "10–19", "20 and more", "20 and more"]


def test_an_attribute_that_the_dataset_lacks_is_left_out():
    table = make(view=None)
    table = predictions.Predictions(
        table.rows.drop(columns=["age", "sex"]), table.logits, table.targets, table.findings, {}
    )
    assert subgroups.score(table, np.zeros(2))["attribute"].unique().tolist() == ["images"]
    assert shortcuts.audit(table, table).shape == (2, 0)


def test_a_shortcut_that_is_there_is_found():
    table = shortcuts.audit(make(seed=1), make(seed=2))
    assert table.columns.tolist() == ["view", "age", "sex", "together"]
    assert table.loc["Hernia", "view"] > 0.65 and table.loc["Hernia", "together"] > 0.65
    assert table.loc["Mass"].between(0.4, 0.6).all()


def test_the_direction_of_a_shortcut_comes_from_validation():
    scored = make(seed=2)
    turned = scored.rows.assign(view=scored.rows["view"].map({"PA": "AP", "AP": "PA"}))
    turned = predictions.Predictions(turned, scored.logits, scored.targets, scored.findings, {})
    right, wrong = (shortcuts.audit(make(seed=1), table).loc["Hernia", "view"] for table in (scored, turned))
    assert wrong == pytest.approx(1 - right)


def test_without_both_classes_on_validation_a_shortcut_is_undefined():
    validation = make(seed=1)
    validation.targets[:, 1] = 0
    assert shortcuts.audit(validation, make(seed=2)).isna().all(axis=1).tolist() == [False, True]


def test_metadata_that_only_validation_has_are_no_shortcut():
    assert shortcuts.audit(make(seed=1), make(seed=2, view=None)).columns.tolist() == ["age", "sex", "together"]
