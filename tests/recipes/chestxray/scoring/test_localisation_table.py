"""Tables of methods, and a paired difference."""

import numpy as np
import pandas as pd
import pytest

import noisy_maps
from chestxray.scoring import localisation_table
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.localisation import localise
from chestxray.scoring.localisation_measures import MEASURES, Measure
from chestxray.scoring.localisation_table import rows_of

HIT = Measure("peak", "hit")


def test_the_table_has_every_measure_of_every_finding_and_their_mean():
    rows, maps = noisy_maps.draw()
    table = localisation_table.summarise({"model": localise(maps, rows), "again": localise(maps, rows)}, rows, 200)
    assert len(table) == 2 * 4 * len(MEASURES)
    assert table["finding"].unique().tolist() == ["Effusion", "Mass", "Nodule", "mean"]
    hits = rows_of(table[table["method"] == "model"], HIT).set_index("finding")
    assert hits["boxes"].to_dict() == {"Effusion": 26, "Mass": 27, "Nodule": 27, "mean": 80}
    assert hits.loc["mean", "patients"] == 40
    assert hits.loc["mean", "value"] == pytest.approx(hits["value"][:3].mean())
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    again = table[table["method"] == "again"].drop(columns="method").reset_index(drop=True)
    pd.testing.assert_frame_equal(table[table["method"] == "model"].drop(columns="method"), again)


def test_a_method_does_not_differ_from_itself():
    rows, maps = noisy_maps.draw()
    located = localise(maps, rows)
    table = localisation_table.compare(located, located, rows, 200)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert (table["p_value"] == 1).all()


def test_a_paired_difference_is_of_the_same_boxes():
    rows, maps = noisy_maps.draw()
    seeing, turned = localise(maps, rows), localise(maps[:, ::-1, ::-1], rows)
    hit, reverse = (
        rows_of(localisation_table.compare(*pair, rows), HIT).iloc[-1] for pair in [(seeing, turned), (turned, seeing)]
    )
    assert hit["difference"] == pytest.approx(hit["a"] - hit["b"])
    assert hit["low"] > 0 and hit["p_value"] < 0.01
    assert (reverse["difference"], reverse["p_value"]) == (-hit["difference"], hit["p_value"])


def test_a_share_is_of_boxes_and_false_positives_are_per_image():
    drawn = np.zeros((1, 8, 8))
    drawn[0, :2, :2] = 1
    rows = BoxedRows([[0, 0, 0.25, 0.25], [0.5, 0.5, 0.25, 0.25]], ["Mass"] * 2, ["a"] * 2, ["1"] * 2)
    table = localisation_table.summarise({"model": localise(np.repeat(drawn, 2, axis=0), rows)}, rows, 10)
    assert rows_of(table, Measure("regions", "IoU", 0.3))["value"].tolist() == [0.5, 0.5]
    assert rows_of(table, Measure("regions", "boxes"))["value"].tolist() == [2, 2]
    assert rows_of(table, Measure("regions", "false positives, IoU", 0.3))["value"].tolist() == [0, 0]
