"""Images are found by any usual form of their names, and never by a name that two of them share."""

import doctest

import pytest

from chestxray.data import image_names
from chestxray.data.image_names import ImageNames

NIH = ["images/00000001_000.png", "images/00000001_001.png", "images/00000002_000.png"]
CHEXPERT = [
    f"CheXpert-v1.0-small/{split}/{patient}/{study}/view1_frontal.jpg"
    for split, patient in (("train", "patient00001"), ("valid", "patient64541"))
    for study in ("study1", "study2")
]


@pytest.mark.parametrize(
    "name",
    [
        "images/00000001_001.png",
        "00000001_001.png",
        "00000001_001",
        "/data/x/00000001_001.JPG",
        r"C:\nih\00000001_001.dcm",
    ],
)
def test_a_path_a_file_name_and_a_stem_mean_the_same_image(name):
    assert ImageNames(NIH).find([name, "00000009_000.png", ""]).tolist() == [1, -1, -1]


def test_as_many_folders_count_as_are_needed_to_tell_images_apart():
    names = ImageNames(CHEXPERT)
    assert names.find(["patient64541/study1/view1_frontal", *CHEXPERT]).tolist() == [2, 0, 1, 2, 3]
    assert names.find(["view1_frontal.jpg", "study1/view1_frontal.jpg"]).tolist() == [-1, -1]


def test_images_that_no_name_tells_apart_are_refused():
    with pytest.raises(ValueError, match="two images of the dataset have one name"):
        ImageNames(["a/1.png", "a/1.jpg"])


def test_the_docstrings_examples_run():
    result = doctest.testmod(image_names)
    assert result.attempted and not result.failed
