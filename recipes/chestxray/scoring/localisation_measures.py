"""What is measured: rules that turn a heatmap into an answer, and the judgement of an answer against the boxes.

"Reaches T" is IoU > T or IoBB > T, strictly, as in Wang et al. (2017). No rule is chosen on the boxes that it scores.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestxray.scoring.boxed_rows import BoxedRows, contain, overlap

WANG_LEVELS = (60, 180)  # of 255; Wang et al. 2017, ChestX-ray8, section 4.2
OVERLAPS = {"IoBB": (0.1, 0.25, 0.5, 0.75, 0.9), "IoU": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}  # T of their tables
MASK_SHARES = (0.25, 0.5)  # the AP25 and AP50 of EVA-X's README, which are shares of masks above an IoU
FALSE_POSITIVES = "false positives, "  # followed by IoBB or IoU

RULES = {
    "regions": "The rule of Wang et al. (2017): the map is scaled to 0..255 and thresholded at 60 and at 180, each by "
    "itself, and a box is drawn round each connected region. The paper does not say how several boxes of one image "
    "count. Here a true box is found if any detected box of its image and finding reaches T with it. A detected box "
    "that reaches T with no true box of its image and finding is a false positive. More boxes can only find more, so "
    "read each share together with its false positives per image.",
    "one box": "The box round the region that holds the map's peak. The threshold on the map, scaled to 0..1, is the "
    "one with the best mean IoU for the finding on other patients, never on the patient that it scores. Compare this "
    "rule with the image-blind box.",
    "hottest": "The box round the region that holds the map's peak, at 180 of 255. It is only asked whether it has "
    "the true box's centre, because a box from a coarse grid cannot reach a high IoBB or IoU with a nodule. Nothing is "
    "fitted. A larger box contains more centres. Read the share together with the box's area, which is about what "
    "chance reaches.",
    "mask": "The part of the map above a threshold, against the true boxes filled. The threshold is fitted in the same "
    "way.",
    "peak": "The pointing game (Zhang et al. 2016): whether the map's largest value lies in a true box, with a "
    "tolerance of 0.",
}


class Measure(NamedTuple):
    """One number of a method.

    Attributes:
        rule: one of RULES.
        quantity: `IoBB` or `IoU` with `above` T: the share of boxes with which T is reached. `IoU` with `above` None:
            the mean IoU. `false positives, IoBB` and `false positives, IoU` with T: detected boxes per image that reach
            T with no true box. `boxes`: detected boxes per image. `centre`: the share of boxes whose centre is in the
            detected box. `area`: the share of the view that the detected box takes. `hit`: the share of images and
            findings whose peak lies in a true box.
        above: T, or None.
    """

    rule: str
    quantity: str
    above: float | None = None


def overlap_measures(rule: str, false_positives: bool = False) -> list[Measure]:
    """The measures of a rule that compare an overlap with T."""
    before = FALSE_POSITIVES if false_positives else ""
    return [Measure(rule, before + quantity, above) for quantity, levels in OVERLAPS.items() for above in levels]


MEASURES = (
    *overlap_measures("regions"),
    *overlap_measures("regions", false_positives=True),
    Measure("regions", "boxes"),
    *overlap_measures("one box"),
    Measure("one box", "IoU"),
    Measure("one box", "area"),
    Measure("hottest", "centre"),
    Measure("hottest", "area"),
    Measure("mask", "IoU"),
    *(Measure("mask", "IoU", above) for above in MASK_SHARES),
    Measure("peak", "hit"),
)


def stack(parts: Mapping[Measure, np.ndarray]) -> np.ndarray:
    """(n, measures) in the order of MEASURES, from {measure: (n,)}."""
    return np.stack([parts[measure] for measure in MEASURES], axis=1).astype(np.float64)


def judge_regions(region_maps: np.ndarray, regions: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """Whether any detected box reaches each T with the row's box, and how many detected boxes reach it with none.

    Args:
        region_maps: (r,) int, a row of the detected box's image and finding. regions: (r, 4).
    """
    detected = pd.DataFrame({"pair": rows.pairs[region_maps], "region": np.arange(len(regions))})
    both = detected.merge(pd.DataFrame({"pair": rows.pairs, "row": np.arange(len(rows))}), on="pair")
    region, row = both["region"].to_numpy(), both["row"].to_numpy()
    iou, iobb = overlap(regions[region], rows.boxes[row])
    parts = {}
    for quantity, values in {"IoBB": iobb, "IoU": iou}.items():
        of_row, of_region = largest(values, row, len(rows)), largest(values, region, len(regions))
        for above in OVERLAPS[quantity]:
            missed = rows.pairs[region_maps[of_region <= above]]
            parts[Measure("regions", quantity, above)] = of_row > above
            parts[Measure("regions", FALSE_POSITIVES + quantity, above)] = count_by_pair(missed, rows)
    return parts | {Measure("regions", "boxes"): count_by_pair(rows.pairs[region_maps], rows)}


def largest(values, groups, count):
    """(count,) the largest of the values of each group, 0 without any."""
    found = np.zeros(count)
    np.maximum.at(found, groups, values)
    return found


def count_by_pair(pairs: np.ndarray, rows: BoxedRows) -> np.ndarray:
    """How often each image and finding comes in `pairs`: (n,), at its first row."""
    return once_per_map(np.bincount(pairs, minlength=len(rows.firsts))[rows.pairs], rows)


def once_per_map(values: np.ndarray, rows: BoxedRows) -> np.ndarray:
    """(n,) float64: the values at the first row of each image and finding, NaN at the others."""
    counted = np.full(len(rows), np.nan)
    counted[rows.firsts] = values[rows.firsts]
    return counted


def judge_one_box(boxes: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """The measures of one detected box, (n, 4), against the true box of each row."""
    iou, iobb = overlap(boxes, rows.boxes)
    parts = {
        Measure("one box", quantity, above): values > above
        for quantity, values in {"IoBB": iobb, "IoU": iou}.items()
        for above in OVERLAPS[quantity]
    }
    return parts | {Measure("one box", "IoU"): iou, Measure("one box", "area"): areas(boxes, rows)}


def judge_hottest(boxes: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """Whether one detected box, (n, 4), contains the centre of the true box of each row."""
    centres = rows.boxes[:, :2] + rows.boxes[:, 2:] / 2
    return {Measure("hottest", "centre"): contain(boxes, centres), Measure("hottest", "area"): areas(boxes, rows)}


def areas(boxes: np.ndarray, rows: BoxedRows) -> np.ndarray:
    """(n,) the share of the view that each detected box takes, at the first row of its image and finding; 0 if none."""
    return once_per_map(np.nan_to_num(boxes[:, 2:].prod(axis=1)), rows)


def judge_mask(ious: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """The measures of masks, from their IoU (n,)."""
    shares = {Measure("mask", "IoU", above): once_per_map(ious > above, rows) for above in MASK_SHARES}
    return shares | {Measure("mask", "IoU"): once_per_map(ious, rows)}


def judge_peak(peaks: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """Whether the peak (n, 2) lies in any box of the row's image and finding."""
    inside = largest(contain(rows.boxes, peaks), rows.pairs, len(rows.firsts))
    return {Measure("peak", "hit"): once_per_map(inside[rows.pairs], rows)}
