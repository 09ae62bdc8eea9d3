"""The card of a part of the release: every number counted, and how the patients were chosen."""

import pytest
from huggingface_hub import DatasetCardData

from chestxray.data.archive import Archive, Place
from chestxray.publishing import dataset_card
from chestxray.publishing.subset import Draw

SPLITS = {
    "train": ["00000001_000.png", "00000001_001.png"],
    "validation": ["00000002_000.png"],
    "test": ["00000003_000.png"],
}


@pytest.fixture
def source():
    names = [name for part in SPLITS.values() for name in part]
    places = {name: Place(name, None, None, 1) for name in names[1:]}
    return Archive(
        {"train": names[1:], "test": names[:1]}, {name: ({"labels": [4, 3]}, ()) for name in names}, places, False
    )


def text(source, draw, **values):
    values = dataset_card.part_values(source, SPLITS, "Made up.", draw) | {"files_table": "", "usage": "", **values}
    return dataset_card.from_template("dataset_card.md", DatasetCardData(license="other"), **values).content


def test_a_subset_says_how_it_was_chosen_and_how_many_of_its_images_are_in_the_official_test_list(source):
    card = text(source, Draw(3, 42), synthetic=False, has_metadata=True)
    assert "# NIH ChestX-ray14, 3 patients\n" in card
    assert "3 patients were chosen at random with seed 42" in card and "**This is not the official split.**" in card
    assert "**1 of its 2 training images are in the official test list** (0 of 1 in validation, 0 of 1 in test)" in card
    assert "| train | 1 | 2 | 1 |" in card


@pytest.mark.parametrize("has_metadata", [True, False])
def test_images_that_are_missing_are_counted(source, has_metadata):
    card = text(source, None, synthetic=False, has_metadata=has_metadata)
    assert "**Partial**: 1 of the 4 images that belong here" in card
    assert ("The config `metadata` has their rows" in card) == has_metadata
    assert "seed" not in card and "official test list" not in card
    assert "| Effusion | 1 | 1 | 1 |" in card  # of the images that are there


def test_synthetic_images_are_called_so_and_have_no_licence_of_nih(source):
    assert "Made up." in text(source, None, synthetic=True, has_metadata=True)
    assert dataset_card.card_title(True, Draw(20, 1)) == "Synthetic chest X-rays, 20 patients"
    own = {"license": "other", "task_categories": ["image-classification"], "tags": ["medical"]}
    data = dataset_card.part_data(own, {"configs": []}, True, "Synthetic chest X-rays").to_dict()
    assert data["license"] == "apache-2.0" and data["tags"] == ["synthetic-data"] and data["configs"] == []
