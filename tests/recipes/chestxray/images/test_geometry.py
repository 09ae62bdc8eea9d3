"""A box lies in the model's image where the pixels that it holds lie."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ResNetConfig

from chestxray.images import augment, geometry
from chestxray.images.grey import shrink_image
from chestxray.models.processors import processor_for, sides

SIZES = [(256, 224), (320, 299), (97, 64), (64, 64)]  # an odd edge too; the last is not cut
FRAMES = [(1024, 1024), (2500, 2048), (300, 410)]


@pytest.mark.parametrize("whole, side", SIZES)
@pytest.mark.parametrize("frame", FRAMES)
def test_a_box_is_where_its_pixels_are_seen(whole, side, frame):
    processor = processor_for(ResNetConfig(), None, image_size=side, resize=whole)
    assert sides(processor) == (whole, side)
    x, y, width, height = box = np.array([0.3, 0.45, 0.25, 0.1]) * [*frame, *frame]
    image = np.zeros(frame[::-1], np.uint8)
    image[round(y) : round(y + height), round(x) : round(x + width)] = 255
    shrunk = torch.tensor(shrink_image(Image.fromarray(image), whole))[None, None]
    seen = augment.normalise(shrunk, side, processor.image_mean, processor.image_std)[0, 0].numpy() > 0
    called = processor(Image.fromarray(image).convert("RGB"), return_tensors="np")["pixel_values"][0][0] > 0
    for lit in (seen, called):
        rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
        found = [columns[0], rows[0], len(columns), len(rows)]
        np.testing.assert_allclose(geometry.to_view(box, frame, whole, side)[0] * side, found, atol=1.01)


@pytest.mark.parametrize("whole, side", SIZES)
@pytest.mark.parametrize("frame", FRAMES)
def test_from_view_is_the_inverse(whole, side, frame):
    boxes = np.random.default_rng(0).uniform(0, 300, (50, 4))
    there = geometry.to_view(boxes, frame, whole, side)
    assert there.shape == (50, 4) and there.dtype == np.float64
    np.testing.assert_allclose(geometry.from_view(there, frame, whole, side), boxes, rtol=1e-12, atol=1e-9)


def test_a_box_without_a_cut_keeps_its_share_of_the_frame():
    view = geometry.to_view([[256, 512, 128, 64]], (1024, 1024), 224, 224)
    np.testing.assert_allclose(view, [[0.25, 0.5, 0.125, 0.0625]])
    assert geometry.to_view(np.empty((0, 4)), (1024, 1024), 256, 224).shape == (0, 4)


@pytest.mark.parametrize(
    "box, reason",
    [
        ((1000, 10, 40, 10), "is not inside its image of 1024 × 1024 pixels: correct"),
        ((10, 1000, 10, 40), "is not inside its image"),
        ((-5, 10, 40, 40), "is not inside its image"),
        ((10, 10, 0, 40), "has no positive width"),
        ((10, 10, np.nan, 40), "has no positive width"),
    ],
)
def test_a_box_that_is_no_part_of_its_image_is_refused(box, reason):
    good, frame, names = (1000, 10, 24.9, 10), (1024, 1024), (["Mass", "Mass"], ["a.png", "b.png"])
    geometry.refuse_boxes_outside([good, good], frame, *names)
    geometry.refuse_boxes_outside([], frame, [], [])
    with pytest.raises(ValueError, match=f"^b.png: the box of Mass .* {reason}"):
        geometry.refuse_boxes_outside([good, box], frame, *names)


def test_a_box_outside_of_its_image_is_refused_and_rounding_is_not():
    inside = [[0, 0, 1024.4, 10], [1000, 500, 24, 525]]
    geometry.refuse_boxes_outside(inside, (1024, 1024), ["Mass", "Mass"], ["a.png", "b.png"])
    outside = [[0, 0, 10, 10], [1000, 500, 60, 10]]
    message = r"^b.png: the box of Nodule \(x, y, width, height 1000, 500, 60, 10\) is not inside .* of 1024 × 800 pix"
    with pytest.raises(ValueError, match=message):
        geometry.refuse_boxes_outside(outside, [(1024, 1024), (1024, 800)], ["Mass", "Nodule"], ["a.png", "b.png"])
    with pytest.raises(ValueError, match="no positive width"):
        geometry.refuse_boxes_outside([[5, 5, 0, 3]], (1024, 1024), ["Mass"], ["a.png"])
