"""What a model says about one uploaded file, by the functions of predict.py. Nothing here needs Gradio."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from chestxray.images.reading import read_pixels
from chestxray.predicting import onnx_run
from chestxray.predicting.file_chunks import predict_chunk
from chestxray.predicting.file_predictor import FilePredictor, FileReading
from chestxray.predicting.file_table import FilePredictions
from chestxray.predicting.options import PredictOptions
from chestxray.reporting.heatmap_overlay import colour_maps

PICTURE = 768  # side of the picture on the page, pixels
HEAT = 64  # side of a heatmap on the page; the browser enlarges it
FORCE = "; --force reads it all the same"  # advice for the command line


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint or an ONNX file. table_of: from the table of `predict_chunk` to what predict.py says of it."""

    predictor: FilePredictor
    table_of: Callable[[pd.DataFrame], FilePredictions]

    def about(self) -> FilePredictions:
        """The model's name, calibration and notes, and no file."""
        columns = {name: np.zeros(0) for name in self.predictor.columns}
        return self.table_of(pd.DataFrame({"path": [], "error": [], **columns}))


@dataclass(frozen=True)
class Answer:
    """What the page shows of one file.

    Attributes:
        found: the predictions of this one file.
        picture: (PICTURE, PICTURE) uint8, the file as the model reads it, but larger.
        heat: (k, HEAT, HEAT, 4) uint8, see `colour_maps`; None if the model has no maps.
        margin: the share of the picture that is cut off at each side, before the model sees it.
    """

    found: FilePredictions
    picture: np.ndarray
    heat: np.ndarray | None
    margin: float


def load(model: str) -> LoadedModel:
    """A checkpoint's folder, or an ONNX file.

    Raises:
        FileNotFoundError, ValueError: as `checkpoint_run.load` and `onnx_run.load_predictor`.
    """
    options = PredictOptions(checkpoint=model, inputs=[], batch_size=1, heatmaps=True)
    if options.is_onnx:
        predictor = onnx_run.load_predictor(options)
        return LoadedModel(predictor, lambda table: onnx_run.table_of(options, predictor, table))
    from chestxray.predicting import checkpoint_run  # needs PyTorch
    from chestxray.scoring import dataset_predictions

    loaded = checkpoint_run.load(options, dataset_predictions.start())
    return LoadedModel(loaded.predictor, loaded.table_of)


def answer(model: LoadedModel, path: str) -> Answer:
    """Predict one file.

    Raises:
        ValueError: it cannot be read. The message is a sentence for its owner.
    """
    reading = model.predictor.reading
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(read, reading, path, reading.size)
        found = model.table_of(predict_chunk(model.predictor, [path], [waiting], pool))
    if reason := found.rows["error"][0]:
        raise ValueError(f"This file cannot be read: {reason.removesuffix(FORCE)}.")
    pixels, heat = waiting.result(), None
    if model.predictor.has_maps:
        (maps,) = model.predictor.maps(pixels[None])
        heat = colour_maps(maps, HEAT, model.predictor.places) if np.isfinite(maps).all() else None
    margin = (len(pixels) - model.predictor.view) // 2 / len(pixels)
    return Answer(found, read(reading, path, PICTURE), heat, margin)


def read(reading: FileReading, path: str, size: int) -> np.ndarray:
    """A file as the model reads it, but of this size: (size, size) uint8. Raises as `read_pixels`."""
    return read_pixels(path, size, reading.equalize, reading.voi, reading.force)
