"""The rows that are scored: what is refused by name, what counts once, and two boxes by hand."""

import numpy as np
import pytest

from chestxray.scoring import boxed_rows
from chestxray.scoring.boxed_rows import BoxedRows

BOX = [0.25, 0.25, 0.25, 0.5]


def test_a_box_without_size_is_refused_by_its_image():
    for box in ([0.1, 0.1, 0, 0.2], [0.1, 0.1, 0.2, -0.2], [np.nan, 0.1, 0.2, 0.2]):
        with pytest.raises(ValueError, match="^b.png: the box of Mass .* has no positive width and height") as error:
            BoxedRows([BOX, box], ["Nodule", "Mass"], ["a.png", "b.png"], ["1", "2"])
        assert "\n" not in str(error.value)


def test_no_box_at_all_is_refused():
    with pytest.raises(ValueError, match="no image has a box"):
        BoxedRows(np.zeros((0, 4)), [], [], [])


def test_a_box_may_pass_the_edge_of_the_view():
    assert len(BoxedRows([[-0.1, 0.9, 0.3, 0.3]], ["Mass"], ["a.png"], ["1"])) == 1


def test_boxes_of_a_finding_that_the_model_lacks_are_left_out_and_counted():
    inside, notes = boxed_rows.known_findings(["Mass", "Nodule", "Hernia", "Nodule"], ["Mass", "Effusion"])
    assert inside.tolist() == [True, False, False, False]
    assert notes == ["Boxes of findings that the model does not have are left out: Hernia 1, Nodule 2."]
    assert boxed_rows.known_findings(["Mass"], ["Mass"])[1] == []
    with pytest.raises(ValueError, match=r"the model has none of the findings that have boxes \(Mass 1\)"):
        boxed_rows.known_findings(["Mass"], ["Edema"])


def test_boxes_of_one_image_and_finding_are_one_pair():
    rows = BoxedRows([BOX] * 4, ["Mass", "Mass", "Nodule", "Mass"], ["a", "b", "a", "a"], ["1", "2", "1", "1"])
    assert rows.pairs.tolist() == [0, 1, 2, 0]
    assert rows.firsts.tolist() == [0, 1, 2]
    assert rows.where(rows.findings == "Mass").pairs.tolist() == [0, 1, 0]


def test_overlap_by_hand():
    true = np.array([[0.0, 0.0, 4.0, 2.0]] * 4)
    detected = np.array([[0.0, 0, 4, 2], [2, 0, 4, 2], [1, 0, 1, 1], [4, 0, 1, 1]])
    iou, iobb = boxed_rows.overlap(detected, true)
    assert iou.tolist() == [1, 4 / 12, 1 / 8, 0]
    assert iobb.tolist() == [1, 0.5, 1, 0]
    assert boxed_rows.overlap(np.full((1, 4), np.nan), true[:1]) == (0, 0)


def test_a_point_on_the_edge_is_inside_and_a_missing_one_is_not():
    boxes = np.array([[0.0, 0, 4, 2]] * 4)
    points = np.array([[4.0, 2], [4.001, 1], [1, 1], [np.nan, 1]])
    assert boxed_rows.contain(boxes, points).tolist() == [True, False, True, False]
