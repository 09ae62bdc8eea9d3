"""How well one model's heatmaps find the boxes: every measure on every row.

The rules are in `localisation_measures`, the table over findings and the paired difference in `localisation_table`. A
constant map points nowhere: it detects nothing, it misses, and it has no false positives.
"""

from dataclasses import dataclass

import numpy as np

from chestxray.scoring import boxes_of_maps
from chestxray.scoring.boxed_rows import BoxedRows, overlap
from chestxray.scoring.boxes_of_maps import Places
from chestxray.scoring.cross_fitting import choose_for_others
from chestxray.scoring.localisation_measures import (
    MEASURES,
    WANG_LEVELS,
    Measure,
    judge_hottest,
    judge_mask,
    judge_one_box,
    judge_peak,
    judge_regions,
    stack,
)

CANDIDATES = np.arange(1, 10) / 10  # thresholds of the scaled map that cross-fitting chooses from


@dataclass(frozen=True)
class Localised:
    """What one method reaches on each row.

    Attributes:
        values: (n, measures) float64 in the order of MEASURES. A share is 0 or 1 here. NaN: the row does not count,
            because an earlier row has the same image and finding and the measure is of their one map.
        boxes: (n, 4) float64, the boxes of the rule `one box`, x, y, width, height of the view; NaN where none.
        thresholds: (n, 2) float64, the fitted thresholds of `one box` and `mask`; NaN where the method has none.
        peaks: (n, 2) float64, x, y of the peak in the view; NaN where the map is constant.
    """

    values: np.ndarray
    boxes: np.ndarray
    thresholds: np.ndarray
    peaks: np.ndarray

    def column(self, measure: Measure) -> np.ndarray:
        """(n,) the values of one measure."""
        return self.values[:, MEASURES.index(measure)]


def localise(
    maps: np.ndarray, rows: BoxedRows, places: Places | None = None, peaks_between_cells: bool = True
) -> Localised:
    """Measure one model's heatmaps.

    Args:
        maps: (n, h, w) float, signed, larger where the finding is seen. Map i is of the image and the finding of row i,
            so rows of one image and finding have the same map. All have the model's grid.
        places: where the grid's rows and columns look, see `boxes_of_maps.scale`.
        peaks_between_cells: see `boxes_of_maps.peaks`.

    Raises:
        ValueError: another shape, or a map with values that are not finite; the message names image and finding.
    """
    maps = boxes_of_maps.check_maps(maps, np.char.add(np.char.add(rows.findings, " in "), rows.images))
    candidates = read_candidates(maps, rows, places)
    one_box, mask = (choose_for_others(gains, rows.findings, rows.patients) for gains in candidates.gains(rows))
    every = np.arange(len(rows))
    boxes, peaks = candidates.boxes[every, one_box], boxes_of_maps.peaks(maps, places, peaks_between_cells)
    parts = {
        **judge_regions(candidates.region_maps, candidates.regions, rows),
        **judge_one_box(boxes, rows),
        **judge_hottest(candidates.hottest, rows),
        **judge_mask(candidates.mask_ious[every, mask], rows),
        **judge_peak(peaks, rows),
    }
    return Localised(stack(parts), boxes, CANDIDATES[np.stack([one_box, mask], axis=1)], peaks)


def warnings(localised: Localised, rows: BoxedRows) -> list[str]:
    """What must not be overlooked, one sentence each: maps that point nowhere, and boxes that no model could find."""
    flat = int(np.isnan(localised.peaks[rows.firsts, 0]).sum())
    low, high = rows.boxes[:, :2], rows.boxes[:, :2] + rows.boxes[:, 2:]
    unseen = int(((low >= 1) | (high <= 0)).any(axis=1).sum())
    found = []
    if flat:
        found.append(f"{flat} of {len(rows.firsts)} heatmaps are constant. They point nowhere and count as missed.")
    if unseen:
        found.append(f"{unseen} of {len(rows)} boxes lie outside of what the model sees. They count as missed.")
    return found


# One pass over the maps


@dataclass(frozen=True)
class MapCandidates:
    """What is read from the maps in one pass, before a threshold is chosen.

    Attributes:
        region_maps, regions: (r,) int and (r, 4): the row and the box of each region of Wang's rule.
        boxes: (n, candidates, 4), the box round the hottest region at each of CANDIDATES.
        hottest: (n, 4), the same box at the higher of Wang's thresholds.
        mask_ious: (n, candidates), the IoU of the thresholded map and the true boxes of its image and finding, filled.
    """

    region_maps: np.ndarray
    regions: np.ndarray
    boxes: np.ndarray
    hottest: np.ndarray
    mask_ious: np.ndarray

    def gains(self, rows: BoxedRows) -> tuple[np.ndarray, np.ndarray]:
        """What cross-fitting makes as large as it can: the IoU of box and of mask, two arrays (n, candidates)."""
        return overlap(self.boxes, rows.boxes[:, None])[0], self.mask_ious


def read_candidates(maps: np.ndarray, rows: BoxedRows, places: Places | None = None) -> MapCandidates:
    """Read each map once, some at a time. Rows of one image and finding take the numbers of their first."""
    firsts, parts = rows.firsts, []
    for some in boxes_of_maps.chunks(len(firsts)):
        scaled = boxes_of_maps.scale(maps[firsts[some]], places=places)
        parts.append(read_maps(scaled, true_masks(rows, some), firsts[some]))
    region_maps, regions, *by_pair = (np.concatenate(part) for part in zip(*parts, strict=True))
    return MapCandidates(region_maps, regions, *(part[rows.pairs] for part in by_pair))


def read_maps(scaled, masks, names):
    """The arrays of `MapCandidates` for some scaled maps; `names` are their first rows."""
    found = [boxes_of_maps.find_regions(scaled, level / 255) for level in WANG_LEVELS]
    region_maps = names[np.concatenate([part.maps for part in found])]
    boxes = np.stack([boxes_of_maps.hottest_boxes(scaled, threshold) for threshold in CANDIDATES], axis=1)
    hottest = boxes_of_maps.hottest_boxes(scaled, max(WANG_LEVELS) / 255)
    mask_ious = np.stack([mask_iou(scaled >= np.float32(threshold), masks) for threshold in CANDIDATES], axis=1)
    return region_maps, np.concatenate([part.boxes for part in found]), boxes, hottest, mask_ious


def true_masks(rows: BoxedRows, some: slice) -> np.ndarray:
    """The true boxes of some pairs of image and finding, filled: (pairs, side, side) shares of cells that they cover.

    Where several boxes meet, a cell takes the largest share.
    """
    chosen = np.flatnonzero((rows.pairs >= some.start) & (rows.pairs < some.stop))
    masks = np.zeros((some.stop - some.start, boxes_of_maps.FRAME, boxes_of_maps.FRAME), np.float32)
    for row, covered in zip(chosen, boxes_of_maps.coverage(rows.boxes[chosen]), strict=True):
        mask = masks[rows.pairs[row] - some.start]
        np.maximum(mask, covered, out=mask)
    return masks


def mask_iou(inside: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(n,) IoU of two masks (n, side, side): `inside` is bool, `masks` are shares of cells. 0 where both are empty."""
    common = np.where(inside, masks, 0).sum(axis=(1, 2))
    union = inside.sum(axis=(1, 2)) + masks.sum(axis=(1, 2)) - common
    return common / np.maximum(union, np.finfo(np.float32).tiny)
