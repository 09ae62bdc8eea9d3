"""The rules, on maps whose answers can be counted by hand."""

import numpy as np
import pytest

from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.boxes_of_maps import FRAME
from chestxray.scoring.localisation import localise
from chestxray.scoring.localisation_measures import MEASURES, RULES, Measure

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
    assert (found[Measure("one box", "area")], found[HIT]) == (1 / 16, 1)
    assert (found[Measure("hottest", "area")], found[Measure("hottest", "centre")]) == (1 / 16, 1)


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


def test_every_rule_is_explained_and_no_measure_comes_twice():
    assert {measure.rule for measure in MEASURES} == set(RULES)
    assert len(set(MEASURES)) == len(MEASURES)
