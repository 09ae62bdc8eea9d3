"""Boxes are read as the dataset has them, in their own frame, by canonical names."""

import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from chestxray.data.boxed_images import has_boxes, read_boxes

NAMES = ["No Finding", "Mass", "Pleural Effusion"]
OBJECTS = {"bbox": Sequence(Sequence(Value("float32"), length=4)), "category": Sequence(ClassLabel(names=NAMES))}
PATHS = [f"images/0000000{number}_000.png" for number in (1, 2, 3)]
FOUND = [
    {"bbox": [[1, 2, 3, 4], [5, 6, 7, 8]], "category": [1, 2]},
    {"bbox": [], "category": []},
    {"bbox": [[9, 10, 11, 12]], "category": [1]},
]


def rows_of(features=None, **columns):
    features = {"image_file_path": Value("string"), "objects": OBJECTS, **(features or {})}
    return Dataset.from_dict({"image_file_path": PATHS, "objects": FOUND, **columns}, features=Features(features))


def test_each_box_is_a_row_with_image_patient_and_the_canonical_finding():
    boxes = read_boxes(rows_of())
    assert boxes["row"].tolist() == [0, 0, 2]
    assert boxes["image"].tolist() == [PATHS[0], PATHS[0], PATHS[2]]
    assert boxes["patient"].tolist() == ["00000001", "00000001", "00000003"]
    assert boxes["finding"].tolist() == ["Mass", "Effusion", "Mass"]
    assert boxes[["x", "y", "width", "height"]].to_numpy().tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert set(boxes["frame_width"]) == set(boxes["frame_height"]) == {1024}, "NIH's frame"


def test_columns_of_width_and_height_are_the_frame():
    sides = {"width": Value("int32"), "height": Value("int32")}
    boxes = read_boxes(rows_of(sides, width=[100, 200, 300], height=[400, 500, 600]))
    assert boxes[["frame_width", "frame_height"]].to_numpy().tolist() == [[100, 400], [100, 400], [300, 600]]


def test_rows_that_were_chosen_have_their_own_boxes():
    boxes = read_boxes(rows_of().select([2, 1]))
    assert boxes["row"].tolist() == [0] and boxes["image"].tolist() == [PATHS[2]]


@pytest.mark.parametrize("column", [None, [1, 2, 3]])
def test_a_dataset_without_boxes_has_a_table_without_rows(column):
    rows = Dataset.from_dict({"image_file_path": PATHS} | ({"objects": column} if column else {}))
    assert not has_boxes(rows) and read_boxes(rows).empty
    assert list(read_boxes(rows)) == list(read_boxes(rows_of()))
