"""The grey PNG of shards and of DICOM files: smaller or larger, odd or even, it holds every pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from chestxray import png


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 64)])
def test_every_pixel_comes_back(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels[0, 0] = 255  # left and upper neighbours whose sum exceeds a byte
    image = Image.open(io.BytesIO(png.encode_grey(pixels)))
    assert (image.mode, image.format) == ("L", "PNG")
    assert np.array_equal(np.asarray(image), pixels)
