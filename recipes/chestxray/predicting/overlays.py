"""Pictures of heatmaps beside the table: for each file, one PNG for each finding that is called.

A picture lies at `heatmaps/PLACE/FINDING.png`. PLACE is the file's path below the folder that holds all files, so two
files of one name do not meet. While the run lasts, the pictures lie in the folder of its chunks. A picture that is
there is whole and of this run, so it is not drawn again after a stop.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chestxray.files import digest, move_files, write
from chestxray.places import number_repeats
from chestxray.predicting.file_predictor import FilePredictor
from chestxray.reporting.heatmap_overlay import draw_overlay, png
from chestxray.scoring import calibration_file
from chestxray.scoring.calibration_file import ModelCalibration

FOLDER = "heatmaps"
MOST = 5  # pictures of a file: the called findings with the highest percentiles
HIGHEST = 3  # pictures of a file, and findings of it on the screen, where there are no thresholds
NOT_READ = "none: the file was not read"
NOT_CALLED = "none: no finding is called"
NOT_FINITE = "none: the heatmap has values that are not finite"


def choose_findings(
    logits: np.ndarray, calibration: ModelCalibration | None, rule: str | None, most: int = MOST
) -> list[int]:
    """The numbers of the findings of one file that count, most important first.

    Args:
        logits: (k,).
        most: called findings that are taken, by their percentiles.

    Returns:
        Those called at the rule's thresholds; the HIGHEST probabilities where no finding has a threshold.
    """
    row = logits[None].astype(np.float64)
    if calibration and rule and not np.isnan(calls := calibration.calls(row, rule)[0]).all():
        called = np.flatnonzero(calls == 1)
        order = np.argsort(-calibration.percentiles(row)[0][called], kind="stable")
        return called[order][:most].tolist()
    return np.argsort(-logits, kind="stable")[:HIGHEST].tolist()


@dataclass(frozen=True)
class Overlays:
    """The pictures of one run.

    Attributes:
        folder: of the run's chunks. root: the folder that all files are below.
        calibration, rule: see `choose_findings`.
    """

    folder: Path
    root: str
    findings: Sequence[str]
    calibration: ModelCalibration | None
    rule: str | None

    def places(self, file: str, numbers: Sequence[int]) -> list[Path]:
        """Where the pictures of these findings lie below a folder."""
        inside = os.path.relpath(os.path.abspath(file), self.root)
        names = number_repeats([re.sub(r"[^\w .-]", "_", finding) for finding in self.findings])
        return [Path(FOLDER, inside, f"{names[number]}.png") for number in numbers]

    def describe_job(self) -> dict:
        """What decides which pictures there are, as a JSON object; see `file_chunks.claim`."""
        text = calibration_file.as_text(self.calibration) if self.calibration else ""
        return {"heatmaps": {"rule": self.rule, "calibration": digest(text)}}

    def move_to(self, output: Path) -> None:
        """Move all finished pictures to the folder of the table."""
        move_files(self.folder / FOLDER, output / FOLDER)


def plan(
    folder: Path, files: Sequence[str], findings: Sequence[str], calibration: ModelCalibration | None, rule: str | None
) -> Overlays:
    """The pictures of these files."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    return Overlays(folder, root, findings, calibration, rule)


def draw_missing(
    overlays: Overlays,
    predictor: FilePredictor,
    files: Sequence[str],
    pixels: np.ndarray,
    logits: np.ndarray,
    pool: Executor,
) -> list[str]:
    """Draw the pictures of some files that are not there yet.

    Args:
        pixels: (n, size, size) uint8; logits: (n, k).
        pool: its threads draw.

    Returns:
        For each file the places of its pictures, separated by "; ", or why there are none.
    """
    chosen = [choose_findings(row, overlays.calibration, overlays.rule) for row in logits]
    places = [overlays.places(file, numbers) for file, numbers in zip(files, chosen, strict=True)]
    missing = [
        row for row, found in enumerate(places) if not all((overlays.folder / place).exists() for place in found)
    ]
    if missing:
        maps = predictor.maps(pixels[missing])
        drawn = [
            pool.submit(draw_file, overlays.folder, places[row], pixels[row], of_file[chosen[row]], predictor)
            for row, of_file in zip(missing, maps, strict=True)
        ]
        for row, future in zip(missing, drawn, strict=True):
            places[row] = future.result()
    texts = ["; ".join(place.as_posix() for place in found) for found in places]
    return [text or (NOT_FINITE if numbers else NOT_CALLED) for text, numbers in zip(texts, chosen, strict=True)]


def draw_file(
    folder: Path, places: Sequence[Path], pixels: np.ndarray, maps: np.ndarray, predictor: FilePredictor
) -> list[Path]:
    """Write the pictures of one file; the places of those whose map, of (m, h, w), is finite."""
    finite = [number for number in range(len(maps)) if np.isfinite(maps[number]).all()]
    for number in finite:
        write(folder / places[number], png(draw_overlay(pixels, maps[number], predictor.view, predictor.places)))
    return [places[number] for number in finite]


def refuse_without_maps(predictor: FilePredictor, name: str) -> None:
    """Raise ValueError for a model that has no heatmaps."""
    if not predictor.has_maps:
        advice = " or give its checkpoint, if that has some" if name.endswith(".onnx") else ""
        raise ValueError(f"{name} gives no heatmaps: leave --heatmaps out{advice}")
