"""A grey image is resized to the pixels that Pillow's `resize` gives."""

import numpy as np
import pytest
from PIL import Image

from chestxray.images import resizing


@pytest.mark.parametrize("width", [1, 2, 31, 64, 200])
@pytest.mark.parametrize("height", [1, 4, 30, 31, 32, 64, 100, 104, 201, 204])
def test_the_pixels_are_pillows(height, width):
    generator = np.random.default_rng(height * width)
    noise = generator.integers(0, 256, (height, width), dtype=np.uint8)
    edges = (noise > 127).astype(np.uint8) * 255  # where bicubic goes beyond 0 and 255
    for levels in (noise, edges):
        for size in (1, 7, 32, 64, 90):
            wanted = Image.fromarray(levels).resize((size, size), Image.Resampling.BICUBIC)
            assert np.array_equal(resizing.resize_grey(levels, size), np.asarray(wanted))


def test_the_picture_that_is_given_stays_as_it_was():
    levels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    before = levels.copy()
    resizing.resize_grey(levels, 16)
    assert np.array_equal(levels, before)
