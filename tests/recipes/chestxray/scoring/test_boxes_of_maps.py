"""Boxes of maps that were drawn by hand."""

import numpy as np
import pytest

from chestxray.scoring import boxes_of_maps
from chestxray.scoring.boxed_rows import overlap
from chestxray.scoring.boxes_of_maps import FRAME


def blocks(*placed, grid=FRAME):
    """One map (1, grid, grid): 0, and each (x, y, width, height, value) in cells."""
    drawn = np.zeros((1, grid, grid), np.float32)
    for x, y, width, height, value in placed:
        drawn[0, y : y + height, x : x + width] = value
    return drawn


def test_the_box_round_a_block_is_the_block():
    scaled = boxes_of_maps.scale(blocks((2, 1, 3, 4, 7.0), grid=8))
    found = boxes_of_maps.find_regions(scaled, 0.5)
    assert found.boxes.tolist() == [[2 / 8, 1 / 8, 3 / 8, 4 / 8]]
    assert boxes_of_maps.hottest_boxes(scaled, 0.5).tolist() == found.boxes.tolist()
    assert found.peaks.tolist() == [1.0]


def test_each_region_has_a_box_and_corners_do_not_join():
    placed = [(0, 0, 16, 16, 1.0), (16, 16, 32, 16, 0.5), (64, 64, 8, 8, 0.25)]
    scaled = boxes_of_maps.scale(np.concatenate([blocks(*placed), blocks(placed[0])]))
    found = boxes_of_maps.find_regions(scaled, 0.4)
    assert found.maps.tolist() == [0, 0, 1]
    assert (found.boxes[:2] * FRAME).tolist() == [[0, 0, 16, 16], [16, 16, 32, 16]]
    assert found.peaks.tolist() == [1.0, 0.5, 1.0]
    assert boxes_of_maps.find_regions(scaled, np.array([0.2, 0.2])).maps.tolist() == [0, 0, 0, 1]


def test_the_sign_and_the_unit_of_a_map_do_not_matter():
    drawn = np.random.default_rng(0).normal(size=(3, 7, 9)).astype(np.float32)
    scaled = boxes_of_maps.scale(drawn)
    assert scaled.shape == (3, FRAME, FRAME)
    assert scaled.min(axis=(1, 2)).tolist() == [0, 0, 0] and scaled.max(axis=(1, 2)).tolist() == [1, 1, 1]
    np.testing.assert_allclose(boxes_of_maps.scale(5 * drawn - 100), scaled, atol=1e-4)


def test_a_constant_map_has_no_box_and_no_peak():
    flat = np.full((1, 7, 7), -3.0, np.float32)
    scaled = boxes_of_maps.scale(flat)
    assert len(boxes_of_maps.find_regions(scaled, 60 / 255).boxes) == 0
    assert np.isnan(boxes_of_maps.hottest_boxes(scaled, 0.1)).all()
    assert np.isnan(boxes_of_maps.peaks(flat)).all()


def test_a_map_that_is_not_finite_is_refused_by_its_name():
    maps = np.zeros((2, 7, 7))
    maps[1, 3, 3] = np.nan
    with pytest.raises(ValueError, match="the heatmap of b.png has values that are not finite"):
        boxes_of_maps.check_maps(maps, np.array(["a.png", "b.png"]))
    with pytest.raises(ValueError, match=r"3 heatmaps of shape .* are needed, not \(2, 7, 7\)"):
        boxes_of_maps.check_maps(maps, np.array(["a", "b", "c"]))


@pytest.mark.parametrize("between", [True, False])
def test_a_peak_at_the_edge_is_the_centre_of_its_cell(between):
    drawn = np.stack([np.arange(12.0).reshape(3, 4), -np.arange(12.0).reshape(3, 4)])
    assert boxes_of_maps.peaks(drawn, between=between).tolist() == [[3.5 / 4, 2.5 / 3], [0.5 / 4, 0.5 / 3]]
    assert boxes_of_maps.peaks(np.eye(2)[None], between=between).tolist() == [[0.25, 0.25]], (
        "too few cells to lie between"
    )


def test_the_peak_of_counts_is_where_the_upsampled_map_is_largest():
    noise = np.random.default_rng(1).normal(size=(20, 8, 8)).astype(np.float32)
    upsampled = boxes_of_maps.scale(noise, side=24)  # each third cell is a centre of the grid
    for scaled, (x, y) in zip(upsampled, boxes_of_maps.peaks(noise, between=False), strict=True):
        assert scaled[int(24 * y), int(24 * x)] == 1
    nearby = np.abs(boxes_of_maps.peaks(noise) - boxes_of_maps.peaks(noise, between=False))
    assert nearby.max() <= 0.5 / 8 and (nearby > 0).mean() > 0.5, "a peak between cells lies at most half a cell away"


def test_what_lies_between_two_cells_is_found_there():
    rng = np.random.default_rng(3)
    true = rng.uniform(0.25, 0.75, size=(50, 2))  # x, y of something small, seen by the cells round it
    centres = (np.arange(5) + 0.5) / 5
    squares = (centres - true[:, :1]) ** 2, (centres - true[:, 1:]) ** 2
    maps = np.exp(-(squares[0][:, None, :] + squares[1][:, :, None]) / (2 * 0.15**2))
    error = np.abs(boxes_of_maps.peaks(maps) - true)
    assert error.max() < 0.02 < np.abs(boxes_of_maps.peaks(maps, between=False) - true).mean()
    uneven = [0.1, 0.2, 0.5, 0.8, 0.9]
    ((x, y),) = boxes_of_maps.peaks(
        np.array([[[0, 0, 0, 0, 0], [0, 2, 4, 4, 0], [0, 0, 0, 0, 0]]]), ([0.2, 0.5, 0.6], uneven)
    )
    assert x == pytest.approx(0.65) and y == 0.5, "half-way between the places of two equal cells"


def test_the_cells_that_a_box_covers_have_its_area():
    boxes = np.array([[0.101, 0.2, 0.3, 0.0041], [0.9, -0.5, 0.2, 1.0]])
    covered = boxes_of_maps.coverage(boxes)
    np.testing.assert_allclose(covered.mean(axis=(1, 2)), [0.3 * 0.0041, 0.1 * 0.5], rtol=1e-5)
    assert covered.max() <= 1


def test_a_finer_frame_changes_little():
    drawn = np.random.default_rng(2).normal(size=(40, 7, 7)).astype(np.float32)
    coarse, fine = (boxes_of_maps.hottest_boxes(boxes_of_maps.scale(drawn, side), 0.5) for side in (FRAME, 512))
    iou, _ = overlap(coarse, fine)
    assert np.median(iou) > 0.97
    assert np.mean(iou > 0.9) > 0.9


def test_a_map_lies_where_its_rows_and_columns_look():
    maps = np.zeros((1, 3, 3), np.float32)
    maps[0, 0, 2] = 1
    places = [0.25, 0.5, 0.75], [0.1, 0.4, 0.7]
    assert boxes_of_maps.peaks(maps, places).tolist() == [[0.7, 0.25]]
    (scaled,) = boxes_of_maps.scale(maps, 100, places)
    assert (scaled[:25, 70:] > 0.99).all(), "constant beyond the outermost places"
    assert scaled[24, 54] == pytest.approx(0.5, abs=0.03) and scaled[49, 99] < 0.05


def test_without_places_the_cells_are_equal():
    noise = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    equal = [1 / 6, 3 / 6, 5 / 6], [0.1, 0.3, 0.5, 0.7, 0.9]
    np.testing.assert_allclose(boxes_of_maps.scale(noise), boxes_of_maps.scale(noise, places=equal), atol=1e-6)
    np.testing.assert_allclose(boxes_of_maps.peaks(noise), boxes_of_maps.peaks(noise, equal), atol=1e-12)
