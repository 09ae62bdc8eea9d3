"""How well heatmaps find the boxes: the measures of one method on every row, their table, and two methods compared.

Four rules turn a heatmap into an answer. No rule is chosen on the boxes that it scores.

- `regions` (Wang et al. 2017, ChestX-ray8, section 4.2): the map is scaled to 0..255 and thresholded at 60 and at 180,
  each by itself. A box is drawn round each connected region. The paper does not say how several boxes of one image
  count. Here a true box is found if any detected box of its image and finding reaches T with it. A detected box that
  reaches T with no true box of its image and finding is a false positive. Both thresholds' boxes count, since both are
  detected. More boxes can only find more, so read a share together with its false positives per image.
- `one box`: the box round the region that holds the peak. Its threshold on the map, scaled to 0..1, is the one with
  the best mean IoU on other patients (`cross_fitting`). This is the rule to compare with the image-blind box.
- `mask`: the cells above a threshold, against the true boxes filled, with its own threshold fitted in the same way.
- `peak` (the pointing game, Zhang et al. 2016): whether the largest value lies in a true box, with a tolerance of 0.

A constant map points nowhere: it detects nothing, it misses, and it has no false positives.
"Reaches T" is IoU > T or IoBB > T, strictly, as in Wang et al.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestxray.scoring import boxes_of_maps
from chestxray.scoring.boxed_rows import BoxedRows, contain, overlap
from chestxray.scoring.cross_fitting import choose_for_others
from chestxray.scoring.patient_means import MACRO, average

WANG_THRESHOLDS = (60 / 255, 180 / 255)
CANDIDATES = np.arange(1, 10) / 10  # thresholds of the scaled map that cross-fitting chooses from
OVERLAPS = {"IoBB": (0.1, 0.25, 0.5, 0.75, 0.9), "IoU": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}
MASK_SHARES = (0.25, 0.5)  # the AP25 and AP50 of EVA-X's README, which are shares of masks above an IoU
FALSE_POSITIVES = "false positives, "  # followed by IoBB or IoU


class Measure(NamedTuple):
    """One number of a method.

    Attributes:
        rule: `regions`, `one box`, `mask` or `peak`.
        quantity: `IoBB` or `IoU` with `above` T: the share of boxes with which T is reached. `IoU` with `above` None:
            the mean IoU. `false positives, IoBB` and `false positives, IoU` with T: detected boxes per image that reach
            T with no true box. `boxes`: detected boxes per image. `centre`: the share of boxes whose centre is in the
            detected box. For a Nodule this is what a coarse grid can be asked. `area`: the detected box's share of the
            view, to read `centre` by: a box as large as the view has every centre. `hit`: the share of images and
            findings whose peak lies in a true box.
        above: T, or None.
    """

    rule: str
    quantity: str
    above: float | None = None


def reached(rule: str, false_positives: bool = False) -> list[Measure]:
    """The measures of a rule that compare an overlap with T."""
    before = FALSE_POSITIVES if false_positives else ""
    return [Measure(rule, before + quantity, above) for quantity, levels in OVERLAPS.items() for above in levels]


MEASURES = (
    *reached("regions"),
    *reached("regions", false_positives=True),
    Measure("regions", "boxes"),
    *reached("one box"),
    *(Measure("one box", quantity) for quantity in ("IoU", "centre", "area")),
    Measure("mask", "IoU"),
    *(Measure("mask", "IoU", above) for above in MASK_SHARES),
    Measure("peak", "hit"),
)


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


# One method


def localise(maps: np.ndarray, rows: BoxedRows) -> Localised:
    """Measure one model's heatmaps.

    Args:
        maps: (n, h, w) float, signed, larger where the finding is seen. Map i is of the image and the finding of row i,
            so rows of one image and finding have the same map. All have the model's grid.

    Raises:
        ValueError: another shape, or a map with values that are not finite; the message names image and finding.
    """
    maps = boxes_of_maps.check_maps(maps, np.char.add(np.char.add(rows.findings, " in "), rows.images))
    candidates = MapCandidates.of(maps, rows)
    one_box, mask = (choose_for_others(gains, rows.findings, rows.patients) for gains in candidates.gains(rows))
    every = np.arange(len(rows))
    boxes, peaks = candidates.boxes[every, one_box], boxes_of_maps.peaks(maps)
    parts = {
        **judge_regions(candidates.region_maps, candidates.regions, rows),
        **judge_one_box(boxes, rows),
        **judge_mask(candidates.mask_ious[every, mask], rows),
        **judge_peak(peaks, rows),
    }
    return Localised(stack(parts), boxes, CANDIDATES[np.stack([one_box, mask], axis=1)], peaks)


def stack(parts: Mapping[Measure, np.ndarray]) -> np.ndarray:
    """(n, measures) in the order of MEASURES, from {measure: (n,)}."""
    return np.stack([parts[measure] for measure in MEASURES], axis=1).astype(np.float64)


@dataclass(frozen=True)
class MapCandidates:
    """What is read from the maps in one pass, before a threshold is chosen.

    Attributes:
        region_maps, regions: (r,) int and (r, 4): the row and the box of each region of Wang's rule.
        boxes: (n, candidates, 4), the box round the hottest region at each of CANDIDATES.
        mask_ious: (n, candidates), the IoU of the thresholded map and the true boxes of its image and finding, filled.
    """

    region_maps: np.ndarray
    regions: np.ndarray
    boxes: np.ndarray
    mask_ious: np.ndarray

    @classmethod
    def of(cls, maps: np.ndarray, rows: BoxedRows) -> "MapCandidates":
        """Read each map once, some at a time. Rows of one image and finding take the numbers of their first."""
        firsts, parts = rows.firsts, []
        for some in boxes_of_maps.chunks(len(firsts)):
            parts.append(read_maps(maps[firsts[some]], true_masks(rows, some), firsts[some]))
        region_maps, regions, boxes, mask_ious = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(region_maps, regions, boxes[rows.pairs], mask_ious[rows.pairs])

    def gains(self, rows: BoxedRows) -> tuple[np.ndarray, np.ndarray]:
        """What cross-fitting makes as large as it can: the IoU of box and of mask, two arrays (n, candidates)."""
        return overlap(self.boxes, rows.boxes[:, None])[0], self.mask_ious


def read_maps(maps, masks, names):
    """Regions' rows and boxes, hottest boxes and mask IoUs of some maps; `names` are their first rows."""
    scaled = boxes_of_maps.scale(maps)
    found = [boxes_of_maps.find_regions(scaled, threshold) for threshold in WANG_THRESHOLDS]
    region_maps = names[np.concatenate([part.maps for part in found])]
    boxes = np.stack([boxes_of_maps.hottest_boxes(scaled, threshold) for threshold in CANDIDATES], axis=1)
    mask_ious = np.stack([mask_iou(scaled >= np.float32(threshold), masks) for threshold in CANDIDATES], axis=1)
    return region_maps, np.concatenate([part.boxes for part in found]), boxes, mask_ious


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


# The rules


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
    centres = rows.boxes[:, :2] + rows.boxes[:, 2:] / 2
    return parts | {
        Measure("one box", "IoU"): iou,
        Measure("one box", "centre"): contain(boxes, centres),
        Measure("one box", "area"): once_per_map(np.nan_to_num(boxes[:, 2:].prod(axis=1)), rows),
    }


def judge_mask(ious: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """The measures of masks, from their IoU (n,)."""
    shares = {Measure("mask", "IoU", above): once_per_map(ious > above, rows) for above in MASK_SHARES}
    return shares | {Measure("mask", "IoU"): once_per_map(ious, rows)}


def judge_peak(peaks: np.ndarray, rows: BoxedRows) -> dict[Measure, np.ndarray]:
    """Whether the peak (n, 2) lies in any box of the row's image and finding."""
    inside = largest(contain(rows.boxes, peaks), rows.pairs, len(rows.firsts))
    return {Measure("peak", "hit"): once_per_map(inside[rows.pairs], rows)}


# Tables


def summarise(methods: Mapping[str, Localised], rows: BoxedRows, n_resamples: int = 1000) -> pd.DataFrame:
    """Each measure of each method per finding, and the mean of the findings.

    Args:
        methods: {name: what it reaches on `rows`}.

    Returns:
        A DataFrame with a row per method, finding ("mean" last) and measure: `method`, `finding`, `rule`, `quantity`,
        `above` (NaN where the measure has none), `value`, `low`, `high` (95%, over patients), `boxes` and `patients`,
        how many of the finding there are.
    """
    tables = []
    for method, localised in methods.items():
        means = average(localised.values, rows.findings, rows.patients, n_resamples)
        columns = dict(zip(("value", "low", "high"), (means.values, *means.interval()), strict=True))
        tables.append(as_table(columns, rows).assign(method=method))
    table = pd.concat(tables, ignore_index=True)
    return table[["method", *(name for name in table if name != "method")]]


def compare(a: Localised, b: Localised, rows: BoxedRows, n_resamples: int = 1000) -> pd.DataFrame:
    """The paired difference of two methods or models on the same boxes: A minus B.

    Returns:
        As `summarise`, without `method`: `a`, `b`, `difference`, `low`, `high` (95%, of the difference, over patients)
        and `p_value`, two-sided, from the same resamples.
    """
    pair = (average(part.values, rows.findings, rows.patients, n_resamples).values for part in (a, b))
    means = average(a.values - b.values, rows.findings, rows.patients, n_resamples)
    names = ("a", "b", "difference", "low", "high", "p_value")
    columns = (*pair, means.values, *means.interval(), means.p_values())
    return as_table(dict(zip(names, columns, strict=True)), rows)


def as_table(columns: Mapping[str, np.ndarray], rows: BoxedRows) -> pd.DataFrame:
    """A row per finding and measure, from {column: (findings + 1, measures)}."""
    names = [*np.unique(rows.findings), MACRO]
    of = {name: rows.findings == name for name in names} | {MACRO: np.ones(len(rows), bool)}
    index = pd.DataFrame([(name, *measure) for name in names for measure in MEASURES])
    index.columns = ["finding", "rule", "quantity", "above"]
    counts = {name: (int(chosen.sum()), len(set(rows.patients[chosen]))) for name, chosen in of.items()}
    boxes, patients = zip(*(counts[name] for name in index["finding"]), strict=True)
    return index.assign(
        above=index["above"].astype(float),
        **{name: values.reshape(-1) for name, values in columns.items()},
        boxes=boxes,
        patients=patients,
    )
