"""The heatmaps that have a box to be found, read from a file of heatmaps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from chestxray.data import labels, predictions
from chestxray.data.boxed_images import FRAME, PLACE
from chestxray.images.geometry import from_view, to_view
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.boxes_of_maps import Places
from chestxray.scoring.detections import coco_results, coco_truth, detect
from chestxray.scoring.heatmap_file import HeatmapRows, read_rows
from chestxray.scoring.localisation import Localised


@dataclass(frozen=True)
class BoxedHeatmaps:
    """n boxes with the heatmaps in which they are looked for.

    Attributes:
        boxes: the table of `boxed_images.read_boxes`, with the findings that the model has.
        rows: the boxes in the model's view.
        maps: (n, h, w) float32, of each box's image and finding. probabilities: (n,) float64, of the finding there.
        about: the metadata of the file.
        path: the file.
    """

    boxes: pd.DataFrame
    rows: BoxedRows
    maps: np.ndarray
    probabilities: np.ndarray
    about: dict
    path: Path

    @property
    def places(self) -> Places | None:
        """Where the rows and columns of the grid look; None in older files: the centres of equal cells."""
        return self.about.get("places")


def read_boxed_heatmaps(path: Path, boxes: pd.DataFrame) -> BoxedHeatmaps:
    """The heatmaps of boxes. Other heatmaps of the file are not kept in memory.

    Args:
        boxes: of images and findings that the file has; see `boxed_images.read_boxes`.
    """
    about = predictions.read_about(path)
    maps, probabilities = np.zeros((len(boxes), *about["grid"]), np.float32), np.zeros(len(boxes))
    columns = column_of_findings(about)
    of_image = boxes.groupby("image").indices
    for found in read_rows(path):
        for number, rows in boxed_images(found, of_image):
            column = [columns[name] for name in boxes["finding"].iloc[rows]]
            maps[rows] = found.maps[number, column]
            probabilities[rows] = expit(found.logits[number, column].astype(np.float64))
    names = (boxes[name].to_numpy(str) for name in ("finding", "image", "patient"))
    return BoxedHeatmaps(boxes, BoxedRows(in_view(boxes, about), *names), maps, probabilities, about, path)


def column_of_findings(about: dict) -> dict[str, int]:
    """{canonical finding: its number among a file's maps}."""
    return {labels.canonical(name): number for number, name in enumerate(about["findings"])}


def boxed_images(found: HeatmapRows, of_image: dict[str, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """The images among `found` that have boxes: (number, the positions of their boxes)."""
    return ((number, of_image[image]) for number, image in enumerate(found.images) if image in of_image)


def in_view(boxes: pd.DataFrame, about: dict) -> np.ndarray:
    """(n, 4) float64: the boxes in units of the side that the model sees."""
    places = np.empty((len(boxes), 4))
    for frame, rows in boxes.groupby(FRAME).indices.items():
        places[rows] = to_view(boxes[PLACE].to_numpy()[rows], frame, about["whole"], about["side"])
    return places


# The same heatmaps as an object detector


def coco_files(boxed: BoxedHeatmaps, localised: Localised) -> tuple[dict, list[dict]]:
    """(truth, results) in COCO's format: all boxed images, and on each of them all findings that have a box anywhere.

    Args:
        localised: of the same heatmaps; a map's threshold is the one that was fitted on other patients.
    """
    findings, first = sorted(set(boxed.rows.findings)), boxed.boxes.drop_duplicates("image").reset_index()
    images, frames = first["image"].tolist(), first[FRAME].to_numpy()
    truth = coco_truth(
        images,
        frames,
        boxed.boxes[PLACE].to_numpy(),
        boxed.boxes["image"].tolist(),
        boxed.boxes["finding"].tolist(),
        findings,
    )
    thresholds = Thresholds.of(boxed.rows, localised)
    columns, row_of_image = column_of_findings(boxed.about), first.groupby("image").indices
    results = []
    for found in read_rows(boxed.path):
        for number, rows in boxed_images(found, row_of_image):
            maps = found.maps[number, [columns[name] for name in findings]]
            probabilities = expit(found.logits[number, [columns[name] for name in findings]].astype(np.float64))
            patient = str(first["patient"][rows[0]])
            fitted = np.array([thresholds.find(patient, name) for name in findings])
            detected = detect(maps, probabilities, fitted, boxed.places)
            places = from_view(detected.boxes, tuple(frames[rows[0]]), boxed.about["whole"], boxed.about["side"])
            names = [findings[row] for row in detected.maps]
            owner = [found.images[number]] * len(names)
            results += coco_results(places, detected.scores, owner, names, images, findings)
    return truth, results


@dataclass(frozen=True)
class Thresholds:
    """The fitted thresholds of `one box`: of each patient with a box of a finding, and for all other patients."""

    of_patient: dict[tuple[str, str], float]
    of_others: dict[str, float]

    @classmethod
    def of(cls, rows: BoxedRows, localised: Localised) -> "Thresholds":
        fitted = localised.thresholds[:, 0]
        of_patient = dict(zip(zip(rows.patients, rows.findings, strict=True), fitted, strict=True))
        medians = {name: float(np.median(fitted[rows.findings == name])) for name in np.unique(rows.findings)}
        return cls(of_patient, medians)

    def find(self, patient: str, finding: str) -> float:
        """A threshold that no box of the patient has chosen."""
        return self.of_patient.get((patient, finding), self.of_others[finding])
