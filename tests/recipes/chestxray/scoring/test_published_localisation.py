"""The published figures, as tables that stand beside ours."""

import pytest

from chestxray.scoring import published_localisation
from chestxray.scoring.localisation_measures import MEASURES


def test_every_figure_has_a_source_a_trap_and_a_measure_of_ours():
    table = published_localisation.as_table()
    assert len(table) > 200
    assert table[["method", "source", "trap"]].map(len).to_numpy().min() > 3
    known = {(measure.rule, measure.quantity, measure.above or 0) for measure in MEASURES}
    assert set(zip(table["rule"], table["quantity"], table["above"].fillna(0), strict=True)) <= known
    assert not table.duplicated(["method", "finding", "rule", "quantity", "above"]).any()
    shares = ~table["quantity"].str.startswith("false positives")
    assert table["value"][shares].between(0, 1).all()


@pytest.mark.parametrize(
    ("quantity", "above", "mean"),
    [("IoBB", 0.1, 0.629), ("IoBB", 0.5, 0.330), ("IoU", 0.1, 0.568), ("IoU", 0.5, 0.062)],
)
def test_means_of_wang_are_those_of_their_eight_findings(quantity, above, mean):
    table = published_localisation.as_table().set_index(["method", "finding", "quantity", "above"])["value"]
    assert table.loc[("Wang et al. 2017, ResNet-50", "mean", quantity, above)] == pytest.approx(mean, abs=5e-4)
