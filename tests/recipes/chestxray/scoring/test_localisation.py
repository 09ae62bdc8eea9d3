"""One model's maps: thresholds that never see their own patient, and maps and boxes that cannot be scored."""

from dataclasses import replace

import numpy as np
import pytest

import noisy_maps
from chestxray.scoring import localisation
from chestxray.scoring.boxed_rows import BoxedRows, overlap
from chestxray.scoring.localisation import CANDIDATES, localise
from chestxray.scoring.localisation_measures import Measure


def test_a_map_that_is_not_finite_is_refused_by_finding_and_image():
    rows = BoxedRows([[0, 0, 0.5, 0.5]], ["Mass"], ["a.png"], ["1"])
    with pytest.raises(ValueError, match="the heatmap of Mass in a.png has values that are not finite"):
        localise(np.full((1, 7, 7), np.nan), rows)
    with pytest.raises(ValueError, match="1 heatmaps of shape"):
        localise(np.zeros((2, 7, 7)), rows)


def test_a_patients_own_boxes_do_not_move_its_thresholds():
    rows, maps = noisy_maps.draw()
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


def test_the_fitted_threshold_gives_the_box_that_is_scored():
    rows, maps = noisy_maps.draw()
    located = localise(maps, rows)
    assert np.isin(located.thresholds, CANDIDATES).all()
    iou, _ = overlap(located.boxes, rows.boxes)
    assert located.column(Measure("one box", "IoU")).tolist() == iou.tolist()
    assert iou.mean() > 0.2


def test_the_order_of_rows_does_not_matter():
    rows, maps = noisy_maps.draw()
    order = np.random.default_rng(1).permutation(len(rows))
    located, shuffled = localise(maps, rows), localise(maps[order], rows.where(order))
    np.testing.assert_array_equal(shuffled.values, located.values[order])


def test_constant_maps_and_boxes_outside_of_the_view_are_warned_of():
    boxes = [[0, 0, 0.5, 0.5], [1.0, 0.2, 0.1, 0.1], [-0.1, 0.9, 0.2, 0.2]]
    rows = BoxedRows(boxes, ["Mass"] * 3, ["a", "b", "c"], ["1", "2", "3"])
    maps = np.stack([np.ones((7, 7)), *np.random.default_rng(0).normal(size=(2, 7, 7))])
    assert localisation.warnings(localise(maps, rows), rows) == [
        "1 of 3 heatmaps are constant. They point nowhere and count as missed.",
        "1 of 3 boxes lie outside of what the model sees. They count as missed.",
    ]
    seen = rows.where(np.array([2]))
    assert localisation.warnings(localise(maps[[2]], seen), seen) == []
