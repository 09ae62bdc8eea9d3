"""Localisation, on maps whose answers can be counted by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from chestxray.scoring import localisation
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.boxes_of_maps import FRAME, coverage
from chestxray.scoring.localisation import CANDIDATES, MEASURES, Measure, localise

HIT = Measure("peak", "hit")


def draw(*blocks):
    """A map of the frame's own grid: 0, and each (x, y, width, height, value), in units of the view."""
    drawn = np.zeros((FRAME, FRAME), np.float32)
    for *box, value in blocks:
        x, y, width, height = (round(side * FRAME) for side in box)
        drawn[y : y + height, x : x + width] = value
    return drawn


def reach(*boxes, maps):
    """{measure: value} of the first row, for boxes of one image and finding."""
    n = len(boxes)
    rows = BoxedRows(boxes, ["Mass"] * n, ["a.png"] * n, ["1"] * n)
    return dict(zip(MEASURES, localise(np.stack([maps] * n), rows).values[0], strict=True))


@pytest.fixture
def noisy():
    """80 rows of 3 findings and 40 patients, and maps of 8 × 8 cells that see each box somewhat."""
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 0.5, (80, 2)), rng.uniform(0.1, 0.5, (80, 2))], axis=1)
    findings = [("Mass", "Nodule", "Effusion")[number % 3] for number in range(80)]
    patients = [f"{number // 2:08d}" for number in range(80)]
    rows = BoxedRows(boxes, findings, [f"{number}.png" for number in range(80)], patients)
    seen = coverage(boxes, 32).reshape(80, 8, 4, 8, 4).mean(axis=(2, 4))
    return rows, seen + rng.normal(scale=0.3, size=seen.shape)


def test_one_block_and_one_box_by_hand():
    found = reach([0.25, 0.25, 0.5, 0.25], maps=draw((0.25, 0.25, 0.25, 0.25, 3.0)))
    for rule in ("regions", "one box"):  # IoU is exactly 0.5, and IoBB 1: the block is in the box
        assert [found[Measure(rule, "IoU", above)] for above in (0.1, 0.4, 0.5, 0.7)] == [1, 1, 0, 0]
        assert [found[Measure(rule, "IoBB", above)] for above in (0.1, 0.5, 0.9)] == [1, 1, 1]
    assert found[Measure("regions", "boxes")] == 2  # one at 60, one at 180
    assert found[Measure("regions", "false positives, IoU", 0.4)] == 0
    assert found[Measure("regions", "false positives, IoU", 0.5)] == 2
    assert found[Measure("regions", "false positives, IoBB", 0.9)] == 0
    assert found[Measure("one box", "IoU")] == found[Measure("mask", "IoU")] == 0.5
    assert (found[Measure("mask", "IoU", 0.25)], found[Measure("mask", "IoU", 0.5)]) == (1, 0)
    assert (found[Measure("one box", "area")], found[Measure("one box", "centre")], found[HIT]) == (1 / 16, 1, 1)


def test_a_box_that_is_missed_by_hand():
    found = reach([0.5, 0.5, 0.25, 0.25], maps=draw((0, 0, 0.25, 0.25, 3.0)))
    assert not any(value for measure, value in found.items() if measure.quantity in ("IoU", "IoBB", "centre", "hit"))
    assert found[Measure("regions", "false positives, IoBB", 0.1)] == 2


def test_any_region_of_either_threshold_finds_a_box_and_the_others_are_false():
    two = draw((0, 0, 0.25, 0.25, 1.0), (0.5, 0.5, 0.25, 0.25, 0.5))  # 60 is 0.235 of the range, 180 is 0.706
    found = reach([0.5, 0.5, 0.25, 0.25], maps=two)
    assert found[Measure("regions", "IoU", 0.7)] == 1
    assert found[Measure("regions", "boxes")] == 3
    assert found[Measure("regions", "false positives, IoU", 0.7)] == 2
    assert (found[Measure("one box", "IoU")], found[HIT]) == (0, 0)  # these go by the hottest region alone


def test_a_constant_map_detects_nothing_and_misses():
    found = reach([0, 0, 0.5, 0.5], maps=np.full((7, 7), 2.0))
    assert not any(found.values())


def test_several_boxes_of_one_finding_are_a_row_each_and_one_map():
    drawn = draw((0, 0, 0.25, 0.25, 1.0), (0.5, 0.5, 0.25, 0.25, 0.9))
    boxes = [[0, 0, 0.25, 0.25], [0.5, 0.5, 0.25, 0.25], [0.75, 0, 0.25, 0.25]]
    rows = BoxedRows(boxes, ["Mass"] * 3, ["a.png"] * 3, ["1"] * 3)
    located = localise(np.stack([drawn] * 3), rows)
    assert located.column(Measure("regions", "IoU", 0.5)).tolist() == [1, 1, 0]
    assert located.column(Measure("regions", "false positives, IoU", 0.5)).tolist()[0] == 0  # each finds one of them
    assert located.column(HIT).tolist()[0] == 1
    assert located.column(Measure("mask", "IoU"))[0] == pytest.approx(2 / 3)
    for per_map in (HIT, Measure("mask", "IoU"), Measure("regions", "boxes"), Measure("one box", "area")):
        assert np.isnan(located.column(per_map)[1:]).all()
    table = localisation.summarise({"model": located}, rows, n_resamples=10).set_index(["rule", "quantity", "above"])
    assert table.loc[("regions", "IoU", 0.5), "value"].tolist() == pytest.approx([2 / 3, 2 / 3])


def test_a_map_that_is_not_finite_is_refused_by_finding_and_image():
    rows = BoxedRows([[0, 0, 0.5, 0.5]], ["Mass"], ["a.png"], ["1"])
    with pytest.raises(ValueError, match="the heatmap of Mass in a.png has values that are not finite"):
        localise(np.full((1, 7, 7), np.nan), rows)
    with pytest.raises(ValueError, match="1 heatmaps of shape"):
        localise(np.zeros((2, 7, 7)), rows)


def test_a_patients_own_boxes_do_not_move_its_thresholds(noisy):
    rows, maps = noisy
    before = localise(maps, rows).thresholds
    assert len(np.unique(before)) > 1
    moved = 0
    for patient in np.unique(rows.patients)[:4]:
        own = rows.patients == patient
        boxes = np.where(own[:, None], [0.9, 0.9, 0.05, 0.05], rows.boxes)
        after = localise(maps, replace(rows, boxes=boxes)).thresholds
        assert after[own].tolist() == before[own].tolist()
        moved += (after != before).any()
    assert moved  # other patients' thresholds do see it


def test_the_fitted_threshold_gives_the_box_that_is_scored(noisy):
    rows, maps = noisy
    located = localise(maps, rows)
    assert np.isin(located.thresholds, CANDIDATES).all()
    iou, _ = localisation.overlap(located.boxes, rows.boxes)
    assert located.column(Measure("one box", "IoU")).tolist() == iou.tolist()
    assert iou.mean() > 0.2


def test_the_order_of_rows_does_not_matter(noisy):
    rows, maps = noisy
    order = np.random.default_rng(1).permutation(len(rows))
    located, shuffled = localise(maps, rows), localise(maps[order], rows.where(order))
    np.testing.assert_array_equal(shuffled.values, located.values[order])


def test_the_table_has_every_measure_of_every_finding_and_their_mean(noisy):
    rows, maps = noisy
    table = localisation.summarise({"model": localise(maps, rows), "again": localise(maps, rows)}, rows, 200)
    assert len(table) == 2 * 4 * len(MEASURES)
    assert table["finding"].unique().tolist() == ["Effusion", "Mass", "Nodule", "mean"]
    hits = table.query("method == 'model' and quantity == 'hit'").set_index("finding")
    assert hits["boxes"].to_dict() == {"Effusion": 26, "Mass": 27, "Nodule": 27, "mean": 80}
    assert hits.loc["mean", "patients"] == 40
    assert hits.loc["mean", "value"] == pytest.approx(hits["value"][:3].mean())
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    again = table[table["method"] == "again"].drop(columns="method").reset_index(drop=True)
    pd.testing.assert_frame_equal(table[table["method"] == "model"].drop(columns="method"), again)


def test_a_method_does_not_differ_from_itself(noisy):
    rows, maps = noisy
    located = localise(maps, rows)
    table = localisation.compare(located, located, rows, 200)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert (table["p_value"] == 1).all()


def test_a_paired_difference_is_of_the_same_boxes(noisy):
    rows, maps = noisy
    seeing, turned = localise(maps, rows), localise(maps[:, ::-1, ::-1], rows)
    hit, reverse = (
        localisation.compare(*pair, rows).query("finding == 'mean' and quantity == 'hit'").iloc[0]
        for pair in [(seeing, turned), (turned, seeing)]
    )
    assert hit["difference"] == pytest.approx(hit["a"] - hit["b"])
    assert hit["low"] > 0 and hit["p_value"] < 0.01
    assert (reverse["difference"], reverse["p_value"]) == (-hit["difference"], hit["p_value"])
