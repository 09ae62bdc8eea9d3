"""Detections in COCO's form, scored by pycocotools."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from chestxray.scoring import detections

IMAGES = ["a.png", "b.png", "c.png"]
FINDINGS = ["Mass", "Nodule"]


def average_precision(truth, results):
    """{IoU: average precision, the mean of the findings}, by pycocotools from JSON."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = json.loads(json.dumps(truth))
        coco.createIndex()
        scored = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), "bbox")
        scored.params.iouThrs = np.array([0.3, 0.5])
        scored.evaluate()
        scored.accumulate()
    precision = scored.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, finding), all sizes, at most 100 boxes
    return {0.3: precision[0].mean(), 0.5: precision[1].mean()}


def truth_of(boxes, findings):
    return detections.coco_truth(IMAGES, [[1024, 1024]] * 3, np.array(boxes), IMAGES, findings, FINDINGS)


def test_average_precision_by_hand():
    boxes = [[100, 100, 200, 200], [300, 300, 100, 100], [500, 500, 80, 40]]
    truth = detections.coco_truth(IMAGES, [[1024, 1024]] * 3, np.array(boxes), IMAGES, ["Mass"] * 3, ["Mass"])
    # The surest is right, the next is wrong, and the third has IoU 0.4.
    found = np.array([boxes[0], [900, 900, 50, 50], [500, 500, 80, 100]])
    results = detections.coco_results(found, [0.9, 0.8, 0.7], IMAGES, ["Mass"] * 3, IMAGES, ["Mass"])
    scores = average_precision(truth, results)
    assert scores[0.5] == pytest.approx(34 / 101)  # precision 1 at the recalls 0, 0.01 … 0.33
    assert scores[0.3] == pytest.approx((34 + 33 * 2 / 3) / 101)


def test_maps_become_detections_that_find_their_boxes():
    maps = np.zeros((3, 8, 8))
    maps[0, 1:3, 2:5], maps[1, 4:6, 4:6], maps[2, 0:1, 6:8] = 1, 2, 3
    maps[0, 6:8, 6:8] = 0.6  # a second, weaker region: a false one
    found = detections.detect(maps, np.array([0.9, 0.8, 0.7]), 0.5)
    names, findings = np.array(IMAGES), np.array(["Mass", "Mass", "Nodule"])
    results = detections.coco_results(
        found.boxes * 1024, found.scores, names[found.maps], findings[found.maps], IMAGES, FINDINGS
    )
    assert [round(result["score"], 3) for result in results] == [0.9, 0.54, 0.8, 0.7]
    truth = truth_of([[256, 128, 384, 256], [512, 512, 256, 256], [768, 0, 256, 128]], findings)
    assert average_precision(truth, results) == {0.3: pytest.approx(1), 0.5: pytest.approx(1)}


def test_thresholds_may_differ_and_constant_maps_detect_nothing():
    maps = np.zeros((2, 8, 8))
    maps[:, 2, 2], maps[:, 5, 5] = 1, 0.5
    assert detections.detect(maps, np.ones(2), np.array([0.4, 0.9])).maps.tolist() == [0, 0, 1]
    nothing = detections.detect(np.ones((2, 8, 8)), np.ones(2), 0.5)
    assert nothing.boxes.shape == (0, 4) and len(nothing.scores) == 0


def test_numbers_begin_with_1_and_a_box_knows_its_image():
    truth = truth_of([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], ["Nodule", "Mass", "Mass"])
    assert truth["images"][0] == {"id": 1, "file_name": "a.png", "width": 1024, "height": 1024}
    assert truth["categories"] == [{"id": 1, "name": "Mass"}, {"id": 2, "name": "Nodule"}]
    assert truth["annotations"][0] == {
        **{"id": 1, "image_id": 1, "category_id": 2},
        **{"bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
    }
    with pytest.raises(KeyError, match="Hernia"):
        truth_of([[1, 2, 3, 4]] * 3, ["Hernia"] * 3)
