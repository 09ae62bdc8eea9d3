"""The heat of a map lies where the model sees it, and the image can be seen below it."""

import io

import numpy as np
from PIL import Image

from chestxray.reporting.heatmap_overlay import OPACITY, SIDE, blend, colour_maps, draw_overlay, png


def corner(h=4, w=4):
    """A map that is hot in its first row and column."""
    values = np.zeros((h, w), np.float32)
    values[0, 0] = 1
    return values


def test_colours_grow_with_the_heat_and_a_constant_map_has_none():
    hot, flat = colour_maps(np.stack([corner(), np.full((4, 4), 7, np.float32)]), 32)
    assert hot.shape == (32, 32, 4) and hot.dtype == np.uint8
    assert hot[0, 0, 3] == hot[..., 3].max() == round(255 * OPACITY) and hot[-1, -1, 3] == 0
    assert hot[0, 0, 0] > hot[0, 0, 2], "hot is yellow, not blue"
    assert not flat[..., 3].any()


def test_where_a_map_is_cold_the_image_is_as_it_was():
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    drawn = blend(grey, colour_maps(corner()[None], 32)[0])
    assert (drawn[20:, 20:] == grey[20:, 20:, None]).all()
    assert (drawn[0, 0] != grey[0, 0]).any()


def test_the_heat_begins_where_the_model_begins_to_see():
    grey = np.zeros((72, 72), np.uint8)
    drawn = draw_overlay(grey, corner(), view=64)
    scale = SIDE / 72
    coloured = np.argwhere(drawn.any(axis=-1))
    assert drawn.shape == (SIDE, SIDE, 3)
    assert np.abs(coloured.min(axis=0) - 4 * scale).max() < 1, "four of 72 pixels are cut off at each side"
    whole = draw_overlay(grey, corner(), view=72)
    assert np.argwhere(whole.any(axis=-1)).min() == 0
    hot = draw_overlay(grey, corner()[::-1, ::-1].copy(), view=64)
    assert np.argwhere(hot.any(axis=-1)).max() < 68 * scale, "and ends where it ends"


def test_the_heat_lies_where_a_row_and_a_column_look():
    places = [0.1, 0.2, 0.3, 0.6], [0.5, 0.7, 0.8, 0.9]
    values = corner()[::-1].copy()  # hot in the last row and the first column
    drawn = draw_overlay(np.zeros((SIDE, SIDE), np.uint8), values, SIDE, places).sum(axis=-1)
    row, column = np.argwhere(drawn == drawn.max()).mean(axis=0) / SIDE
    assert row > 0.6 and column < 0.5, "all that lies beyond the outermost places is as they are"
    assert drawn[int(0.45 * SIDE), 0] > 0 == drawn[int(0.29 * SIDE), 0], "it begins behind the third row's place"


def test_a_large_image_is_not_made_smaller():
    assert draw_overlay(np.zeros((SIDE + 6, SIDE + 6), np.uint8), corner(), view=SIDE).shape[0] == SIDE + 6


def test_a_png_has_its_colours_and_no_text():
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0, 0] = (200, 100, 50, 25)
    for channels, mode in ((3, "RGB"), (4, "RGBA")):
        found = Image.open(io.BytesIO(png(picture[..., :channels])))
        assert found.mode == mode and found.getpixel((0, 0)) == (200, 100, 50, 25)[:channels] and not found.info
