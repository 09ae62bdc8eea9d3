"""Heatmaps that see their boxes somewhat, because the boxes were drawn into noise."""

import numpy as np

from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.boxes_of_maps import coverage


def draw(seed=0):
    """80 rows of 3 findings and 40 patients, and maps of 8 × 8 cells that see each box somewhat."""
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 0.5, (80, 2)), rng.uniform(0.1, 0.5, (80, 2))], axis=1)
    findings = [("Mass", "Nodule", "Effusion")[number % 3] for number in range(80)]
    patients = [f"{number // 2:08d}" for number in range(80)]
    rows = BoxedRows(boxes, findings, [f"{number}.png" for number in range(80)], patients)
    seen = coverage(boxes, 32).reshape(80, 8, 4, 8, 4).mean(axis=(2, 4))
    return rows, seen + rng.normal(scale=0.3, size=seen.shape)
