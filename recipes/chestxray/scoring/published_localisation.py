"""What others reached on NIH's boxes, with the source and the trap of each.

No two works score alike: rules, images and the choice of thresholds differ. So each row has a trap: what a reader must
know before comparing. A mean over findings is the work's own, or is computed from its eight findings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from chestxray.scoring.localisation_measures import Measure
from chestxray.scoring.patient_means import MACRO

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration"),
    *("Mass", "Nodule", "Pneumonia", "Pneumothorax"),
)


@dataclass(frozen=True)
class Published:
    """One work's figures.

    Attributes:
        work: authors, year and model. source: where the figures stand. trap: why they are not simply comparable.
        figures: {the nearest of our measures: the mean over findings, or the eight values in the order of FINDINGS}.
    """

    work: str
    source: str
    trap: str
    figures: Mapping[Measure, float | tuple[float, ...]]


def as_table() -> pd.DataFrame:
    """A row per work, measure and finding ("mean" among them), with the columns of `localisation_table.summarise`.

    Returns:
        A DataFrame of `method` (the work), `finding`, `rule`, `quantity`, `above`, `value`, `source`, `trap`.
    """
    rows = [
        (published.work, finding, *measure, value, published.source, published.trap)
        for published in PUBLISHED
        for measure, values in published.figures.items()
        for finding, value in name_values(values).items()
    ]
    columns = ["method", "finding", *Measure._fields, "value", "source", "trap"]
    return pd.DataFrame(rows, columns=columns).astype({"above": float})


def name_values(values: float | tuple[float, ...]) -> dict[str, float]:
    """{finding: value}, with the mean; the mean alone where a work prints nothing else."""
    if isinstance(values, float):
        return {MACRO: values}
    return {**dict(zip(FINDINGS, values, strict=True)), MACRO: float(np.mean(values))}


def above(rule: str, quantity: str, values: Mapping[float, float]) -> dict[Measure, float]:
    """{measure: mean}, from {T: mean}."""
    return {Measure(rule, quantity, level): value for level, value in values.items()}


# Wang et al. 2017


TABLE_4 = {
    Measure("regions", "IoBB", 0.1): (0.7277, 0.9931, 0.7124, 0.7886, 0.4352, 0.1645, 0.7500, 0.4591),
    Measure("regions", "IoBB", 0.25): (0.5500, 0.9794, 0.5424, 0.5772, 0.2823, 0.0506, 0.5583, 0.3469),
    Measure("regions", "IoBB", 0.5): (0.2833, 0.8767, 0.3333, 0.4227, 0.1411, 0.0126, 0.3833, 0.1836),
    Measure("regions", "IoBB", 0.75): (0.1666, 0.7260, 0.2418, 0.3252, 0.1176, 0.0126, 0.2583, 0.1020),
    Measure("regions", "IoBB", 0.9): (0.1333, 0.6849, 0.2091, 0.2520, 0.0588, 0.0126, 0.2416, 0.0816),
}
TABLE_7 = {
    Measure("regions", "IoU", 0.1): (0.6888, 0.9383, 0.6601, 0.7073, 0.4000, 0.1392, 0.6333, 0.3775),
    Measure("regions", "IoU", 0.2): (0.4722, 0.6849, 0.4509, 0.4796, 0.2588, 0.0506, 0.3500, 0.2346),
    Measure("regions", "IoU", 0.3): (0.2444, 0.4589, 0.3006, 0.2764, 0.1529, 0.0379, 0.1666, 0.1326),
    Measure("regions", "IoU", 0.4): (0.0944, 0.2808, 0.2026, 0.1219, 0.0705, 0.0126, 0.0750, 0.0714),
    Measure("regions", "IoU", 0.5): (0.0500, 0.1780, 0.1111, 0.0650, 0.0117, 0.0126, 0.0333, 0.0306),
    Measure("regions", "IoU", 0.6): (0.0222, 0.0753, 0.0457, 0.0243, 0.0, 0.0126, 0.0166, 0.0306),
    Measure("regions", "IoU", 0.7): (0.0055, 0.0273, 0.0196, 0.0, 0.0, 0.0, 0.0083, 0.0204),
    Measure("regions", "false positives, IoU", 0.1): (0.8943, 0.5996, 0.8343, 0.6250, 0.6666, 0.6077, 1.0203, 0.4949),
    Measure("regions", "false positives, IoU", 0.5): (1.0884, 0.8354, 0.9919, 0.7571, 0.7215, 0.6189, 1.1291, 0.5478),
}
TABLE_19 = {
    Measure("regions", "IoBB", 0.1): (0.6222, 1.0, 0.7974, 0.9106, 0.5882, 0.1519, 0.8583, 0.5204),
    Measure("regions", "IoBB", 0.25): (0.3944, 0.9863, 0.6339, 0.7967, 0.4588, 0.0506, 0.7083, 0.3367),
    Measure("regions", "IoBB", 0.5): (0.1944, 0.9452, 0.4183, 0.6504, 0.3058, 0.0, 0.4833, 0.2653),
    Measure("regions", "IoBB", 0.75): (0.0889, 0.8151, 0.2287, 0.4390, 0.1647, 0.0, 0.2917, 0.1735),
    Measure("regions", "IoBB", 0.9): (0.0722, 0.6507, 0.1373, 0.3577, 0.0941, 0.0, 0.2333, 0.1224),
    Measure("regions", "false positives, IoBB", 0.5): (0.9979, 0.2785, 0.7652, 0.6006, 0.4604, 0.4827, 0.5630, 0.5030),
}


# Others


def of_study(peak: float, iou: float, *iobb: float) -> dict[Measure, float]:
    """Pointing game, mean IoU, and the shares with IoBB > .1, .25 and .5."""
    means = {Measure("peak", "hit"): peak, Measure("one box", "IoU"): iou}
    return means | above("one box", "IoBB", dict(zip((0.1, 0.25, 0.5), iobb, strict=True)))


def over_iou(*values: float) -> dict[Measure, float]:
    """The shares with IoU > .1, .2, .3, .4 and .5."""
    return above("one box", "IoU", dict(zip((0.1, 0.2, 0.3, 0.4, 0.5), values, strict=True)))


def of_eva_x(*percent: float) -> dict[Measure, float]:
    """AP25, AP50 and mIoU."""
    measures = (Measure("mask", "IoU", 0.25), Measure("mask", "IoU", 0.5), Measure("mask", "IoU"))
    return {measure: round(value / 100, 4) for measure, value in zip(measures, percent, strict=True)}


QUOTED = "quoted by others, not read in the work itself"
COMBINED = "the paper does not say how several boxes of one image count, so any match with it is an inference"
WANG = "Wang et al. 2017, ResNet-50"
STUDY = {
    "Grad-CAM++": of_study(0.544, 0.212, 0.685, 0.550, 0.376) | over_iou(0.62, 0.42, 0.28, 0.18, 0.10),
    "Grad-CAM": of_study(0.496, 0.182, 0.617, 0.500, 0.337),
    "CAM": of_study(0.493, 0.176, 0.607, 0.498, 0.336),
    "EigenCAM": of_study(0.479, 0.190, 0.629, 0.504, 0.319),
    "random map": of_study(0.228, 0.091, 0.371, 0.261, 0.131) | over_iou(0.29, 0.17, 0.10, 0.05, 0.03),
}
STUDY_TRAP = "box round the hottest 5% of the map; no box of a nodule can reach IoBB > 0.5 on its 16 × 16 map"
EVA_X = {
    "EVA-X-S": of_eva_x(14.74, 2.95, 9.18),
    "BioViL ResNet-50": of_eva_x(11.59, 3.46, 7.29),
    "MoCo DenseNet-121": of_eva_x(10.98, 1.42, 8.18),
    "Medical MAE DenseNet-121": of_eva_x(8.33, 2.13, 6.90),
    "Medical MAE ViT-S": of_eva_x(7.11, 1.00, 6.79),
}
EVA_X_TRAP = "mask against box; one threshold, searched from 0.01 to 0.60 on the boxes that are scored"
HERMOZA_TRAP = "thresholds for each finding chosen on the boxes that are scored"
CLARITY_TRAP = "tuned on half of the 880 images and scored on the other half; it uses a segmentation prior"
UNREAD = "how its boxes are drawn and its thresholds chosen was not checked"

PUBLISHED = (
    Published(WANG, "ChestX-ray8, Tables 4 and 7", COMBINED, TABLE_4 | TABLE_7),
    Published(
        f"{WANG}, 14 findings",
        "ChestX-ray14 version of the paper, Table 19",
        f"the same authors' other table, whose values differ from those of ChestX-ray8; {COMBINED}",
        TABLE_19,
    ),
    *(Published(f"DenseNet-121, 512 px, {name}", QUOTED, STUDY_TRAP, values) for name, values in STUDY.items()),
    *(Published(name, "grad_cam/README.md of hustvl/EVA-X", EVA_X_TRAP, values) for name, values in EVA_X.items()),
    Published("Hermoza et al. 2020", QUOTED, HERMOZA_TRAP, above("one box", "IoU", {0.3: 0.43})),
    Published("CLARiTy (Statheros et al. 2025)", QUOTED, CLARITY_TRAP, over_iou(0.81, 0.69, 0.59, 0.47, 0.32)),
    Published("ThoraX-PriorNet", QUOTED, UNREAD, over_iou(0.80, 0.63, 0.49, 0.33, 0.22)),
    Published("PCAN", QUOTED, UNREAD, over_iou(0.78, 0.57, 0.36, 0.21, 0.10)),
    Published("Li et al. 2022", QUOTED, UNREAD, over_iou(0.64, 0.53, 0.40, 0.31, 0.24)),
)
