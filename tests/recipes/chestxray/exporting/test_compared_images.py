"""The images of a comparison come from validation, evenly; without it from the sample, and noise."""

from types import SimpleNamespace

import numpy as np
import pytest

from chestxray.data import opening
from chestxray.exporting import compared_images
from chestxray.images.grey import shrink_image
from chestxray.training.settings import Settings


@pytest.fixture
def opened(synthetic):
    archive = str(synthetic(patients=60))
    return opening.open_dataset(archive, Settings(dataset=[archive]))


def test_validation_images_are_taken_evenly_as_the_evaluation_sees_them(opened):
    found = compared_images.choose_images(opened, size=24, equalize=True)
    rows = opened.splits["validation"]
    assert found.pixels.shape == (min(12, len(rows)), 24, 24) and found.pixels.dtype == np.uint8
    for place, row in ((0, 0), (-1, len(rows) - 1)):
        assert np.array_equal(found.pixels[place], shrink_image(rows[row]["image"], 24, equalize=True))
    assert f"{len(found.pixels)} validation images of Synthetic" in found.origin


@pytest.mark.parametrize("few", [None, 2])
def test_without_enough_of_them_the_sample_and_noise_are_taken(opened, few):
    few = few and SimpleNamespace(splits={"validation": opened.splits["validation"].select(range(few))}, name="few")
    found = compared_images.choose_images(few, size=24, equalize=False)
    assert found.pixels.shape == (12, 24, 24) and found.origin == "9 synthetic images and 3 of noise"
    assert len(np.unique(found.pixels[-1])) > 150, "noise"


def test_a_dataset_that_is_not_there_is_left_out_unless_it_was_asked_for(tmp_path, capsys):
    settings = Settings(dataset=[str(tmp_path / "gone")])
    assert compared_images.open_validation(tmp_path, settings, None) is None
    assert "No validation images from" in capsys.readouterr().out
    with pytest.raises((OSError, ValueError), match="gone"):
        compared_images.open_validation(tmp_path, settings, str(tmp_path / "gone"))
