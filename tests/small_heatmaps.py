"""Heatmaps of a few boxes, made up: noise for maps, and all boxes of a finding at one place."""

from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from chestxray.data.boxed_images import FRAME, PLACE
from chestxray.images.splits import Split
from chestxray.scoring.boxed_heatmaps import BoxedHeatmaps
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.localisation_result import Localisation, localise_model

SIDE, WHOLE, COUNT = 16, 20, 12
ABOUT = {
    **{"findings": ["Mass", "Pleural_Thickening"], "grid": [4, 4], "whole": WHOLE, "side": SIDE, "method": "cam"},
    **{"dataset": "Radiographs", "source": "/home/someone/nih", "split": "test", "synthetic": False},
    **{"may_be_passed_on": True, "notes": ["Mind this."]},
    "models": [{"checkpoint": "/home/someone/runs/tiny", "sha256": "0123456789abcdef" + "f" * 48}],
}


def boxed_of(seed, **about):
    """Twelve images of as many patients, ten with a box of Mass and two of Pleural_Thickening; maps are noise."""
    random = np.random.default_rng(seed)
    maps = random.normal(size=(COUNT, 4, 4)).astype(np.float32)
    places = np.tile([0.5, 0.25, 0.25, 0.25], (COUNT, 1))
    images, patients = ([f"{kind}{number:02}" for number in range(COUNT)] for kind in ("images/", "p"))
    findings = np.array(["Mass"] * (COUNT - 2) + ["Pleural_Thickening"] * 2)
    table = pd.DataFrame({"row": range(COUNT), "image": images, "patient": patients, "finding": findings})
    table[PLACE], table[FRAME] = places * SIDE + (2, 2, 0, 0), WHOLE
    rows = BoxedRows(places, findings, images, patients)
    return BoxedHeatmaps(table, rows, maps, random.random(COUNT), ABOUT | about, Path("heatmaps.parquet"))


def images_of_boxes() -> Split:
    """The images: white where the model sees them, black at the edge."""
    pixels = np.pad(np.full((SIDE, SIDE), 255, np.uint8), 2)
    rows = Dataset.from_dict(
        {"image_file_path": [f"images/{number:02}" for number in range(COUNT)], "pixels": [pixels.tobytes()] * COUNT}
    )
    return Split(rows, np.zeros((COUNT, 2), np.float32), ["p"] * COUNT, WHOLE)


def small_result() -> Localisation:
    """A model beside another method and beside random weights."""
    return localise_model(boxed_of(0), rival=boxed_of(1, method="grad-cam"), untrained=boxed_of(2))
