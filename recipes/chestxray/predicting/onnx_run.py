"""From an ONNX file of export.py and a person's files to a table. Nothing here needs PyTorch."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chestxray.exporting import onnx_file
from chestxray.exporting.onnx_file import OnnxModel
from chestxray.files import digest_files
from chestxray.places import last_part
from chestxray.predicting import file_chunks, file_lists, file_table, overlays
from chestxray.predicting.file_chunks import Chunks, chunk_folder, claim_missing
from chestxray.predicting.file_predictor import FileReading
from chestxray.predicting.file_table import FilePredictions
from chestxray.predicting.options import PredictOptions
from chestxray.scoring.boxes_of_maps import Places

MAPS = "maps"  # one of `onnx_file.OUTPUTS`
NO_CALIBRATION = (
    "These are the model's own probabilities alone: the file was exported without calibration. Run score.py on its "
    "checkpoint, and export.py again"
)
NO_DISTANCE = (
    "Pictures of another kind are not noticed: the file was exported without feature_statistics.npz. Run score.py on "
    "its checkpoint, and export.py again"
)


@dataclass(frozen=True)
class OnnxPredictor:
    """An ONNX file as what predicts files, see `FilePredictor`. batch_size: images per pass."""

    model: OnnxModel
    reading: FileReading
    batch_size: int

    @property
    def columns(self) -> list[str]:
        return [*self.model.findings, *([file_chunks.DISTANCE] if self.gives_distances else [])]

    @property
    def gives_distances(self) -> bool:
        return onnx_file.DISTANCE in self.model.output_names()

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k) float32 logits, or (n, k + 1) with the distance."""
        starts = range(self.batch_size, len(pixels), self.batch_size)
        return np.concatenate([self.model.logits_and_distances(part) for part in np.split(pixels, starts)])

    @property
    def has_maps(self) -> bool:
        return MAPS in self.model.output_names()

    @property
    def view(self) -> int:
        return self.model.about["crop"]

    @property
    def places(self) -> Places | None:
        return self.model.about["places"]

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k, h, w) float32, the class activation maps of the graph."""
        starts = range(self.batch_size, len(pixels), self.batch_size)
        return np.concatenate([self.model.outputs(part)[MAPS] for part in np.split(pixels, starts)])


def predict(options: PredictOptions) -> FilePredictions:
    """Predict all files, and write the table if there is a folder for it.

    Raises:
        FileNotFoundError, ValueError: as `onnx_file.load`, `file_lists.list_files` and `file_chunks.claim`;
            several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("one process predicts with an ONNX file, on all cores: start predict.py without a launcher")
    output = Path(options.output_dir) if options.output_dir else None
    predictor = load_predictor(options)
    if options.heatmaps:
        overlays.refuse_without_maps(predictor, options.checkpoint)
    files = file_lists.list_files(options.inputs, output)
    job = {"sha256": digest_files(options.checkpoint), **vars(predictor.reading)}
    with chunk_folder(output, is_first=True) as folder:
        chunks, drawn = Chunks(files, folder), None
        if options.heatmaps:
            calibration = predictor.model.calibration
            rule = (options.rule or calibration.rule) if calibration else None
            drawn = overlays.plan(folder, files, predictor.model.findings, calibration, rule)
            job |= drawn.describe_job()
        file_chunks.predict_chunks(predictor, chunks, claim_missing(chunks, job), overlays=drawn)
        if drawn and output:
            drawn.move_to(output)
        found = table_of(options, predictor, chunks.read())
        if output:
            file_table.write_file(found, output, options.form)
    return found


def load_predictor(options: PredictOptions) -> OnnxPredictor:
    """The ONNX file of the options. Raises as `onnx_file.load`."""
    model = onnx_file.load(options.checkpoint)
    reading = FileReading(model.size, model.about["equalize"], options.voi, options.force)
    return OnnxPredictor(model, reading, options.batch_size)


def table_of(options: PredictOptions, predictor: OnnxPredictor, table: pd.DataFrame) -> FilePredictions:
    """The predictions of finished chunks."""
    calibration = predictor.model.calibration
    return FilePredictions(
        rows=file_table.rows_of(table),
        logits=table[predictor.model.findings].to_numpy(np.float64),
        findings=predictor.model.findings,
        model=last_part(options.checkpoint),
        sha256=predictor.model.about["sha256"],
        rule=(options.rule or calibration.rule) if calibration else None,
        calibration=calibration,
        note="" if calibration else NO_CALIBRATION,
        synthetic=calibration.synthetic if calibration else predictor.model.about["synthetic"],
        distances=table[file_chunks.DISTANCE].to_numpy(np.float64) if predictor.gives_distances else None,
        unlike_note="" if predictor.gives_distances else NO_DISTANCE,
    )
