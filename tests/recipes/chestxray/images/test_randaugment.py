"""Each operation on a table of greys gives what Pillow, and so timm, gives on the image."""

import numpy as np
import pytest
import timm.data.auto_augment as timm_operations
import torch
from PIL import Image, ImageEnhance, ImageOps

from chestxray.images import randaugment
from chestxray.images.randaugment import NUMBER, Choices

STRENGTH = 0.6  # magnitude 6 of 10
PILLOW = {  # the operation, its strength as drawn, and how far rounding may take a grey
    "AutoContrast": (ImageOps.autocontrast, STRENGTH, 0),
    "Equalize": (ImageOps.equalize, STRENGTH, 0),
    "Invert": (ImageOps.invert, STRENGTH, 0),
    "Posterize": (lambda image: ImageOps.posterize(image, 4 - int(0.6 * 4)), STRENGTH, 0),
    "Solarize": (lambda image: ImageOps.solarize(image, 256 - int(0.6 * 256)), STRENGTH, 0),
    "SolarizeAdd": (lambda image: timm_operations.solarize_add(image, int(0.6 * 110)), STRENGTH, 0),
    "Contrast": (lambda image: ImageEnhance.Contrast(image).enhance(1.54), STRENGTH, 1),
    "Brightness": (lambda image: ImageEnhance.Brightness(image).enhance(0.46), -STRENGTH, 1),
    "Sharpness": (lambda image: ImageEnhance.Sharpness(image).enhance(1.54), STRENGTH, 1),
}


@pytest.fixture
def image():
    steps = np.random.default_rng(0).normal(size=(64, 64))
    return (40 + np.cumsum(np.cumsum(steps, 0), 1) % 180).astype(np.uint8)


def applied(names, strengths, image):
    choices = Choices(np.array([[NUMBER.get(name, -1) for name in names]]), np.array([strengths]), None)
    pixels = randaugment.sharpen(torch.from_numpy(image)[None, None], choices)
    return randaugment.tables(pixels, choices)[0][pixels[0, 0].long()].numpy()


@pytest.mark.parametrize("name", PILLOW)
def test_an_operation_is_pillows(image, name):
    operation, strength, rounding = PILLOW[name]
    ours, theirs = applied([name, None], [strength, 0], image), np.asarray(operation(Image.fromarray(image)), float)
    inside = slice(1, -1), slice(1, -1)  # at the border Pillow's filter leaves the pixels as they are
    assert np.abs(ours - theirs)[inside].max() <= rounding
    assert np.abs(ours - image).max() > 10, "it does something"


def test_two_tables_follow_each_other(image):
    both = applied(["Solarize", "Equalize"], [STRENGTH, STRENGTH], image)
    first = ImageOps.solarize(Image.fromarray(image), 256 - int(0.6 * 256))
    assert np.array_equal(both, np.asarray(ImageOps.equalize(first)))


def test_operations_come_as_often_as_timm_draws_them():
    drawn = randaugment.choose(np.random.default_rng(0).random((60_000, randaugment.COUNT)), 6)
    share = np.bincount(drawn.operations.ravel() + 1, minlength=16) / drawn.operations.size
    assert share[0] == pytest.approx(0.5, abs=0.01) and share[1:] == pytest.approx(np.full(15, 1 / 30), abs=0.003)
    strengths = np.abs(drawn.strengths)
    assert (strengths.mean(), strengths.std()) == (pytest.approx(0.6, abs=0.01), pytest.approx(0.05, abs=0.01))
