"""The processor saved with a model shows an image of any mode as the recipe's own evaluation does."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, pipeline

from chestxray.images import augment
from chestxray.images.grey import shrink_image
from chestxray.models.processors import processor_for, sides

STD = 0.25
ONE_LEVEL = 1.01 / 255 / STD  # torchvision and Pillow round bicubic values each in its own way


@pytest.fixture
def processor(tmp_path):
    """As `from_pretrained` gives it back: 56 pixels, of which the middle 48 are shown."""
    processor_for(ViTConfig(image_size=48), None, resize=56).save_pretrained(tmp_path)
    saved = AutoImageProcessor.from_pretrained(tmp_path)
    saved.image_mean, saved.image_std = [0.5, 0.4, 0.3], [STD] * 3
    return saved


def radiograph(mode, size=(131, 97)):
    """A grey image in another mode, (width, height)."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (24, 20), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(smooth).astype(np.uint16) * 257)
    return smooth.convert("RGBA" if mode == "LA" else mode).convert(mode)


def recipe(image, processor):
    """What training and score.py show of the image, (3, side, side)."""
    whole, side = sides(processor)
    grey = torch.from_numpy(shrink_image(image, whole).copy())[None, None]
    return augment.normalise(grey, side, processor.image_mean, processor.image_std)[0]


@pytest.mark.parametrize("size", [(131, 97), (40, 200), (56, 56)], ids=["wide", "tall and smaller", "as it is"])
@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_an_image_of_any_mode_and_shape_is_shown_as_the_recipe_shows_it(processor, mode, size):
    image = radiograph(mode, size)
    assert image.mode == mode
    shown = processor(image, return_tensors="pt")["pixel_values"][0]
    assert shown.shape == (3, 48, 48)
    assert (shown - recipe(image, processor)).abs().max() < ONE_LEVEL


def test_of_16_bits_transformers_sees_what_the_recipe_sees_once_they_are_8(processor):
    deep = radiograph("I;16")
    shallow = Image.fromarray((np.asarray(deep) // 256).astype(np.uint8))
    shown = processor(shallow, return_tensors="pt")["pixel_values"][0]
    assert (shown - recipe(deep, processor)).abs().max() < ONE_LEVEL
    cut_off = processor(deep, return_tensors="pt")["pixel_values"][0]
    assert (cut_off - recipe(deep, processor)).abs().max() > 10 * ONE_LEVEL, "Pillow keeps 16 bits now: say so in docs"


def test_transparency_plays_no_part_in_a_pipeline(tmp_path):
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, patch_size=8, image_size=48
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    processor_for(config, None).save_pretrained(tmp_path)
    classify = pipeline("image-classification", model=str(tmp_path))
    image = radiograph("RGBA")
    clear = image.copy()
    clear.putalpha(9)
    assert classify(clear) == classify(image)
