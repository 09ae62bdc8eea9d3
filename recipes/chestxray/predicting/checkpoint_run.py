"""From a checkpoint and a person's files to a table, by all processes of a launch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from chestxray.models.classifiers import findings_of
from chestxray.models.weights import digest_weights
from chestxray.places import last_part
from chestxray.predicting import checkpoint_predictor, file_chunks, file_lists, file_table, overlays
from chestxray.predicting.checkpoint_predictor import CheckpointPredictor
from chestxray.predicting.file_chunks import Chunks, chunk_folder, claim_missing
from chestxray.predicting.file_table import FilePredictions
from chestxray.predicting.options import PredictOptions
from chestxray.scoring import calibration_file, dataset_predictions, feature_statistics
from chestxray.scoring.calibration_file import ModelCalibration
from chestxray.training.checkpoint_folders import is_of_drawn_images


def predict(options: PredictOptions) -> FilePredictions | None:
    """Predict all files, and write the table if there is a folder for it. None in every process but the first.

    Raises:
        FileNotFoundError, ValueError: as `file_lists.list_files`, `checkpoint_predictor.load_predictor`, `claim` and
            `calibration_file.read`; several processes without an output folder.
    """
    accelerator = dataset_predictions.start()
    output = Path(options.output_dir) if options.output_dir else None
    if accelerator.num_processes > 1 and not output:
        raise ValueError("several processes need --output-dir, where they meet")
    (files,) = from_first(accelerator, lambda: file_lists.list_files(options.inputs, output))
    model = load(options, accelerator)
    if options.heatmaps:
        overlays.refuse_without_maps(model.predictor, options.checkpoint)
    with chunk_folder(output, accelerator.is_main_process) as folder:
        table = predict_listed(options, accelerator, model, Chunks(files, folder))
        found = None if table is None else model.table_of(table)
        if found and output:
            file_table.write_file(found, output, options.form)
    dataset_predictions.stop()
    return found


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that predicts, with what score.py left beside it; see `file_table.FilePredictions`."""

    predictor: CheckpointPredictor
    name: str
    sha256: str
    rule: str | None
    calibration: ModelCalibration | None
    note: str
    synthetic: bool | None
    unlike_note: str

    @property
    def tta(self) -> str:
        return self.calibration.tta if self.calibration else "none"

    def table_of(self, table: pd.DataFrame) -> FilePredictions:
        """The predictions of finished chunks."""
        predictor = self.predictor
        return FilePredictions(
            rows=file_table.rows_of(table),
            logits=table[predictor.findings].to_numpy(np.float64),
            findings=predictor.findings,
            model=self.name,
            sha256=self.sha256,
            rule=self.rule,
            calibration=self.calibration,
            note=self.note,
            synthetic=self.synthetic,
            distances=table[file_chunks.DISTANCE].to_numpy(np.float64) if predictor.statistics else None,
            unlike_note=self.unlike_note,
        )


def load(options: PredictOptions, accelerator: Accelerator) -> LoadedCheckpoint:
    """The checkpoint of the options. Raises as `predict`."""
    calibration, note = find_calibration(options.checkpoint)
    tta = calibration.tta if calibration else "none"
    statistics, reason = feature_statistics.find_or_reason(options.checkpoint, tta)
    predictor = checkpoint_predictor.load_predictor(
        options.checkpoint,
        accelerator,
        tta=tta,
        voi=options.voi,
        force=options.force,
        batch_size=options.batch_size,
        statistics=statistics,
        heatmaps=options.heatmaps,
    )
    return LoadedCheckpoint(
        predictor=predictor,
        name=last_part(options.checkpoint),
        sha256=digest_weights(options.checkpoint),
        rule=(options.rule or calibration.rule) if calibration else None,
        calibration=calibration,
        note=note,
        synthetic=calibration.synthetic if calibration else is_of_drawn_images(options.checkpoint),
        unlike_note=f"Pictures of another kind are not noticed: {reason}" if reason else "",
    )


def predict_listed(
    options: PredictOptions, accelerator: Accelerator, model: LoadedCheckpoint, chunks: Chunks
) -> pd.DataFrame | None:
    """The finished chunks, in the first process. Their pictures are in the folder of the output."""
    predictor, drawn = model.predictor, None
    job = checkpoint_predictor.describe_job(options.checkpoint, model.tta, predictor.reading, predictor.statistics)
    if options.heatmaps:
        drawn = overlays.plan(chunks.folder, chunks.files, predictor.findings, model.calibration, model.rule)
        job |= drawn.describe_job()
    (numbers,) = from_first(accelerator, lambda: claim_missing(chunks, job))
    process, processes = accelerator.process_index, accelerator.num_processes
    file_chunks.predict_chunks(predictor, chunks, numbers, process, processes, drawn)
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return None
    if drawn and options.output_dir:
        drawn.move_to(Path(options.output_dir))
    return chunks.read()


def from_first(accelerator: Accelerator, compute) -> list:
    """[what the first process computes], on every process."""
    return broadcast_object_list([compute() if accelerator.is_main_process else None])


def find_calibration(checkpoint: str) -> tuple[ModelCalibration | None, str]:
    """(what score.py left with these weights, "") or (None, why there is nothing, and what to run).

    Raises:
        FileNotFoundError: the folder is no checkpoint. ValueError: calibration.json is damaged.
    """
    path = Path(checkpoint) / calibration_file.NAME
    sha256, found = digest_weights(checkpoint), None
    if path.exists():
        found = calibration_file.read(path)
        if found.sha256 == sha256 and found.findings == findings_of(checkpoint):
            return found, ""
    reason = f"{path} is of other weights" if found else f"{checkpoint} has no {calibration_file.NAME}"
    return None, f"These are the model's own probabilities alone: {reason}. Run: python recipes/score.py {checkpoint}"
