"""What can be reached without a look at the image: boxes of other patients, and random maps.

Each table shows both. A method that does not beat them has learnt where a finding usually is, or nothing.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from chestxray.hashed_random import normals, uniforms
from chestxray.scoring import boxes_of_maps
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.boxes_of_maps import Places
from chestxray.scoring.localisation import Localised, localise
from chestxray.scoring.localisation_measures import (
    Measure,
    judge_hottest,
    judge_mask,
    judge_one_box,
    judge_peak,
    judge_regions,
    stack,
)

DRAWS = 5  # random maps per image and finding


def localise_by_others(rows: BoxedRows) -> Localised:
    """The image-blind row: the median box of the finding over the other patients, no image used.

    The median box stands for `regions`, `one box` and `hottest`. The prior map stands for `peak` and `mask`: it says
    how many boxes of the other patients touch each cell. A finding of one patient has no others: it detects nothing.
    """
    boxes, prior = median_boxes(rows), localise(prior_maps(rows), rows, peaks_between_cells=False)
    known = rows.firsts[~np.isnan(boxes[rows.firsts, 0])]
    parts = {
        **judge_regions(known, boxes[known], rows),
        **judge_one_box(boxes, rows),
        **judge_hottest(boxes, rows),
        **judge_mask(prior.column(Measure("mask", "IoU")), rows),
        **judge_peak(prior.peaks, rows),
    }
    return Localised(stack(parts), boxes, prior.thresholds * [np.nan, 1], prior.peaks)


def median_boxes(rows: BoxedRows) -> np.ndarray:
    """For each row the median of left, top, right and bottom, each by itself, over the finding's other patients.

    Returns:
        (n, 4) float64 of x, y, width, height of the view; NaN where the finding has no other patient.
    """
    corners = np.concatenate([rows.boxes[:, :2], rows.boxes[:, :2] + rows.boxes[:, 2:]], axis=1)
    medians = np.full(rows.boxes.shape, np.nan)
    for own, others in patients_and_others(rows):
        if len(others):
            medians[own] = np.median(corners[others], axis=0)
    return np.concatenate([medians[:, :2], medians[:, 2:] - medians[:, :2]], axis=1)


def prior_maps(rows: BoxedRows) -> np.ndarray:
    """For each row how many boxes of the finding's other patients touch each cell: (n, side, side) float32."""
    touched = boxes_of_maps.coverage(rows.boxes) > 0
    totals = {name: touched[rows.findings == name].sum(axis=0, dtype=np.float32) for name in np.unique(rows.findings)}
    maps = np.empty(touched.shape, np.float32)
    for own, _ in patients_and_others(rows):
        maps[own] = totals[rows.findings[own[0]]] - touched[own].sum(axis=0, dtype=np.float32)
    return maps


def patients_and_others(rows: BoxedRows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each finding and patient: the patient's rows of it, and the rows of the other patients."""
    for finding in np.unique(rows.findings):
        of_finding = np.flatnonzero(rows.findings == finding)
        patients = rows.patients[of_finding]
        for patient in np.unique(patients):
            yield of_finding[patients == patient], of_finding[patients != patient]


# Chance


def localise_at_random(
    rows: BoxedRows, grid: tuple[int, int], places: Places | None = None, draws: int = DRAWS
) -> Localised:
    """The random row: the mean over some draws of maps of noise. Its boxes, thresholds and peaks are of the first draw.

    Args:
        grid: (height, width) of the model's maps. A coarse grid draws large boxes by chance, so chance has the same.
        places: where the grid's rows and columns look, see `boxes_of_maps.scale`. Chance has the same, too.
    """
    found = [localise(random_maps(rows, grid, draw), rows, places) for draw in range(draws)]
    return replace(found[0], values=np.mean([part.values for part in found], axis=0))


def random_maps(rows: BoxedRows, grid: tuple[int, int], draw: int = 0) -> np.ndarray:
    """Standard normal noise, each cell by itself: (n, height, width) float32.

    It depends on the image's name, the finding and the draw, and on nothing else.
    """
    height, width = grid
    images = pd.util.hash_array(rows.images.astype(object), categorize=False)
    maps = np.empty((len(rows), height * width), np.float32)
    for finding in np.unique(rows.findings):
        chosen = rows.findings == finding
        drawn = uniforms(draw, zlib.crc32(finding.encode()), images[chosen], 2 * height * width)
        maps[chosen] = normals(*np.split(drawn, 2, axis=1))
    return maps.reshape(-1, height, width)
