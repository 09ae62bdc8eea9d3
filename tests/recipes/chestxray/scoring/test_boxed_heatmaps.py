"""Each box gets the map of its image and finding, and comes back from the model's view where it was."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from chestxray.data.boxed_images import FRAME, PLACE
from chestxray.scoring.boxed_heatmaps import Thresholds, coco_files, read_boxed_heatmaps
from chestxray.scoring.heatmap_file import HeatmapRows, join_parts, write_part
from chestxray.scoring.localisation import localise

ABOUT = {"findings": ["Edema", "Mass", "Pleural Effusion"], "grid": [8, 8], "whole": 80, "side": 64}
IMAGES = [f"images/{number}.png" for number in range(6)]


@pytest.fixture
def boxed(tmp_path):
    """Six images in two parts. The first four have a box of Mass, where the map is hot; the first has Effusion too."""
    maps, logits = np.zeros((6, 3, 8, 8), np.float32), np.arange(18, dtype=np.float32).reshape(6, 3) / 10
    maps += np.arange(18, dtype=np.float32).reshape(6, 3, 1, 1)
    maps[:, 1:, 2:4, 3:5] += 50  # the quarter 3/8 to 5/8 in x and 2/8 to 4/8 in y of the view
    rows = HeatmapRows(IMAGES, ["a", "a", "b", "c", "d", "e"], logits, maps)
    for number, part in enumerate((slice(0, 4), slice(4, 6))):
        write_part(tmp_path / f"{number}.parquet", HeatmapRows(*(column[part] for column in rows)), ABOUT)
    join_parts([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "whole.parquet", ABOUT)
    places = [(0, "Mass"), (0, "Effusion"), (1, "Mass"), (2, "Mass"), (3, "Mass")]
    table = pd.DataFrame({"row": 0, "image": [IMAGES[row] for row, _ in places]})
    table["patient"], table["finding"] = ["a", "a", "a", "b", "c"], [name for _, name in places]
    # the view is the middle 64 of 80 pixels: 3/8 of it is (8 + 24) / 80 = 0.4 of the image, 5/8 is 0.6
    table[PLACE] = [[400.0, 300.0, 200.0, 200.0]] * 4 + [[800.0, 300.0, 400.0, 200.0]]
    table[FRAME] = [[1000.0, 1000.0]] * 4 + [[2000.0, 1000.0]]
    return read_boxed_heatmaps(tmp_path / "whole.parquet", table), maps, logits


def test_a_box_has_the_map_and_the_probability_of_its_image_and_finding(boxed):
    found, maps, logits = boxed
    for row, (image, column) in enumerate([(0, 1), (0, 2), (1, 1), (2, 1), (3, 1)]):
        np.testing.assert_array_equal(found.maps[row], maps[image, column])
        assert found.probabilities[row] == pytest.approx(expit(logits[image, column]))
    np.testing.assert_allclose(found.rows.boxes, [[0.375, 0.25, 0.25, 0.25]] * 5)


def test_detected_boxes_are_in_pixels_of_the_original_image_and_all_boxed_images_are_judged(boxed):
    found, _, _ = boxed
    truth, results = coco_files(found, localise(found.maps, found.rows))
    assert [row["file_name"] for row in truth["images"]] == IMAGES[:4]
    assert [row["name"] for row in truth["categories"]] == ["Effusion", "Mass"]
    assert len(truth["annotations"]) == 5
    assert {(row["image_id"], row["category_id"]) for row in results} == {(i, c) for i in (1, 2, 3, 4) for c in (1, 2)}
    for row in results:
        wide = 2 if row["image_id"] == 4 else 1
        x, y, width, height = np.array(row["bbox"]) / (wide, 1, wide, 1)
        assert abs(x + width / 2 - 500) < 15 and abs(y + height / 2 - 400) < 15
        assert 0 < width < 320 and 0 < height < 320


def test_no_threshold_is_chosen_by_the_patient_that_it_scores(boxed):
    found, _, _ = boxed
    localised = localise(found.maps, found.rows)
    localised.thresholds[:, 0] = [0.1, 0.9, 0.1, 0.3, 0.5]
    thresholds = Thresholds.of(found.rows, localised)
    assert thresholds.find("a", "Mass") == 0.1 and thresholds.find("c", "Mass") == 0.5
    assert thresholds.find("d", "Mass") == pytest.approx(0.2) and thresholds.find("d", "Effusion") == 0.9
