"""Predictions files from anybody's tables of predictions, so that they are scored as those of a checkpoint are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chestxray.data import image_rows, opening, prediction_tables, predictions
from chestxray.data.prediction_tables import LabelledImages, PredictionTable
from chestxray.data.table_files import MARK, is_prediction_table
from chestxray.reporting.score_options import ScoreOptions


@dataclass(frozen=True)
class TableSettings:
    """What `opening.open_dataset` reads of a run's settings, for models without any; see `training.settings`."""

    dataset: Sequence[str]
    views: str
    labeler: str
    allow_missing: bool
    streaming: bool = False
    num_proc: int | None = None
    validation_list: str | None = None


def write_predictions(options: ScoreOptions) -> list[Path]:
    """A predictions file of each model: those of tables are written to `options.output`, the others are there already.

    Raises:
        FileNotFoundError, ValueError: as `prediction_tables.read` and `prediction_tables.join`; the dataset cannot be
            opened or has no such split; the output folder holds predictions of another model.
    """
    tables = {model: prediction_tables.read(model) for model in options.tables}  # before the dataset, which takes long
    images, files = open_images(options), []
    for number, model in enumerate(options.models, 1):
        path = options.output / (f"predictions-{number}.parquet" if len(options.models) > 1 else "predictions.parquet")
        if is_prediction_table(model):
            write_one(tables[model], images, path, options)
        files.append(path if is_prediction_table(model) else Path(model))
    return files


def open_images(options: ScoreOptions) -> LabelledImages:
    """The images of the one dataset with their labels. No image is decoded."""
    (source,) = options.dataset or [""]
    settings = TableSettings([source], options.views or "all", options.labeler or "chexpert", options.allow_missing)
    opened = opening.open_dataset(source, settings)
    if options.split not in opened.splits:
        raise opening.NoSplit(
            f"{source} has no split {options.split}, only {', '.join(opened.splits)}: give another --split"
        )
    if options.split == "train":
        opened = replace(opened, notes=(*opened.notes, opening.TRAINED_ON))
    return image_rows.labelled_images(opened, options.split)


def write_one(table: PredictionTable, images: LabelledImages, path: Path, options: ScoreOptions) -> None:
    """Join a table with the images, and write its predictions."""
    joined = prediction_tables.join(table, images, options.split, options.allow_missing)
    if path.exists():
        refuse_other_model(path, table.table.file)
    predictions.write(joined, path)


def refuse_other_model(path: Path, file: str) -> None:
    """Raise ValueError if a predictions file was not made from the table called `file`."""
    models = predictions.read_about(path).get("models", [])
    if [model.get("checkpoint") for model in models if model.get(MARK)] != [file]:
        raise ValueError(f"{path} holds predictions of another model; give another --output-dir")
