"""What the metadata alone would score, on predictions whose shortcut was put in."""

import pytest

from chestxray.data import predictions
from chestxray.scoring import shortcuts
from unfair_predictions import make


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


def test_without_any_metadata_there_is_no_shortcut():
    table = make(view=None)
    rows = table.rows.drop(columns=["age", "sex"])
    table = predictions.Predictions(rows, table.logits, table.targets, table.findings, {})
    assert shortcuts.audit(table, table).shape == (2, 0)
