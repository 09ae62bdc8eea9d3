"""What the card says of a guess that looks at no image."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

from chestxray.reporting.description_blind import blind_facts

NAMES = ["No Finding", "Mass", "Nodule"]
LABELS = Sequence(ClassLabel(names=NAMES))
BOXES = {"bbox": Sequence(Sequence(Value("float32"), length=4)), "category": LABELS}
FEATURES = Features(
    {"image_file_path": Value("string"), "patient_id": Value("int32"), "labels": LABELS, "objects": BOXES}
)


def table(boxes):
    """The config `metadata` with one image for each (patient, label, box)."""
    rows = [
        {
            "image_file_path": f"images/{number}.png",
            "patient_id": patient,
            "labels": [label],
            "objects": {"bbox": [box], "category": [label]},
        }
        for number, (patient, label, box) in enumerate(boxes)
    ]
    empty = {
        "image_file_path": "images/none.png",
        "patient_id": 9,
        "labels": [0],
        "objects": {"bbox": [], "category": []},
    }
    return DatasetDict(test=Dataset.from_list([*rows, empty], features=FEATURES))


def test_the_means_of_the_findings_are_those_by_hand():
    # Mass: the median box of the others is the right one, but for patient 4. Nodule: there are no others
    masses = [(1, 1, [100, 100, 200, 200]), (2, 1, [100, 100, 200, 200]), (3, 1, [100, 100, 200, 200])]
    assert blind_facts(table([*masses, (4, 1, [700, 700, 90, 90]), (5, 2, [10, 10, 20, 20])])) == {
        "blind-hit": f"{np.mean([3 / 4, 0]):.3f}",
        "blind-iou-3": f"{np.mean([3 / 4, 0]):.3f}",
        "blind-iou-5": f"{np.mean([3 / 4, 0]):.3f}",
    }


@pytest.mark.filterwarnings("error")
def test_without_boxes_there_is_a_dash():
    assert set(blind_facts(table([])).values()) == {"–"}
