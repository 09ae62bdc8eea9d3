"""From a checkpoint and a list of files to logits, a chunk of files after the other, each kept on the disk.

Each process takes every n-th chunk and needs nothing from the others. A chunk that is on the disk is not predicted
again, so the same command goes on after a stop.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm
from transformers import CLIPImageProcessor

from chestxray.files import digest, whole_file, write
from chestxray.images.reading import UnreadableImage, read_pixels
from chestxray.machine import cores
from chestxray.models import classifiers
from chestxray.models.described import DescribingClassifier
from chestxray.models.inference import Views, average_views, view_logits
from chestxray.models.weights import digest_weights
from chestxray.scoring import feature_statistics
from chestxray.scoring.feature_statistics import FeatureStatistics
from chestxray.scoring.test_time_views import middle, side_to_shrink_to, views
from chestxray.training.prediction_settings import prediction_settings

CHUNK = 256  # files: seconds of work; at 512 pixels 67 MB
JOB = "job.json"
DISTANCE = "distance to the training images"  # a column of a chunk, which no finding is called by
NOT_FINITE = "the model gives no finite number for it"


@dataclass(frozen=True)
class FileReading:
    """How files become pixels.

    Attributes:
        size: side of the pixels; equalize: whether histograms are equalised. Both are the checkpoint's.
        voi, force: of DICOM files, see `dicom.display.read_display`.
    """

    size: int
    equalize: bool
    voi: str
    force: bool

    def pixels(self, file: str) -> np.ndarray:
        """(size, size) uint8. Raises UnreadableImage."""
        return read_pixels(file, self.size, self.equalize, self.voi, self.force)


@dataclass(frozen=True)
class FilePredictor:
    """A checkpoint on its device, with the input that its evaluation gives it.

    Attributes:
        averaged: the function that cuts the views whose probabilities are averaged; batch_size: images per pass.
        statistics: of the training images; with them `model` is a `described.DescribingClassifier`.
    """

    model: torch.nn.Module
    processor: CLIPImageProcessor
    findings: list[str]
    reading: FileReading
    averaged: Views
    device: torch.device
    batch_size: int
    statistics: FeatureStatistics | None = None

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k) float32 logits, by the evaluation's own functions, and the distance if there
        are statistics: (n, k + 1)."""
        starts = range(0, len(pixels), self.batch_size)
        return np.concatenate([self._numbers_of_batch(pixels[start : start + self.batch_size]) for start in starts])

    def _numbers_of_batch(self, pixels):
        batch, k = torch.from_numpy(pixels)[:, None].to(self.device), len(self.findings)
        found = view_logits(self.model, batch, self.processor, self.averaged).cpu().numpy()  # (n, views, k + …)
        logits = average_views(found[..., :k])
        if self.statistics is None:
            return logits
        distances = self.statistics.distances(found[:, middle(found.shape[1]), k:])
        return np.column_stack([logits, distances.astype(np.float32)])

    @property
    def columns(self) -> list[str]:
        """What `numbers` are."""
        return [*self.findings, *([DISTANCE] if self.statistics else [])]


def load_predictor(
    checkpoint: str | Path,
    accelerator: Accelerator,
    *,
    tta: str,
    voi: str,
    force: bool,
    batch_size: int,
    statistics: FeatureStatistics | None = None,
) -> FilePredictor:
    """Load a checkpoint to predict with it as score.py does.

    Args:
        tta: one of `test_time_views.VIEWS`.
        statistics: of its training images, for these views; None where there are none.

    Raises:
        FileNotFoundError, ValueError: the folder is no checkpoint, or a damaged one.
    """
    settings = prediction_settings(checkpoint)
    model, processor, findings = classifiers.load_classifier(checkpoint)
    whole, side = classifiers.sides(processor)
    reading = FileReading(side_to_shrink_to(whole, side, tta), settings.equalize, voi, force)
    # Without DDP, whose processes would wait for each other in each pass
    whole_model = DescribingClassifier(model) if statistics else model
    prepared = accelerator.prepare_model(whole_model, evaluation_mode=True).eval()
    cut = partial(views, side=side, tta=tta)
    return FilePredictor(prepared, processor, findings, reading, cut, accelerator.device, batch_size, statistics)


# Chunks on the disk


@dataclass(frozen=True)
class Chunks:
    """The files of a job in chunks, and the folder with the finished ones."""

    files: Sequence[str]
    folder: Path

    def __len__(self) -> int:
        return -(-len(self.files) // CHUNK)

    def files_of(self, number: int) -> Sequence[str]:
        return self.files[number * CHUNK : (number + 1) * CHUNK]

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"

    def missing(self) -> list[int]:
        """The numbers of the chunks that are not finished."""
        return [number for number in range(len(self)) if not self.path(number).exists()]

    def read(self) -> pd.DataFrame:
        """All files in their order: `path`, `error` ("" where there is none), a logit for each finding; DISTANCE."""
        return pd.concat([pd.read_parquet(self.path(number)) for number in range(len(self))], ignore_index=True)


def claim(chunks: Chunks, job: dict) -> None:
    """Write what the job is into the folder of its chunks. job: a JSON object of all that the logits depend on.

    Raises:
        ValueError: the folder has chunks of another job.
    """
    path = chunks.folder / JOB
    job = {**job, "chunk": CHUNK, "files": digest_of(chunks.files)}
    if path.exists() and json.loads(path.read_text()) != job:
        raise ValueError(
            f"{chunks.folder} is of an unfinished run with other files, weights or settings: delete it, or give "
            "another --output-dir"
        )
    write(path, json.dumps(job))


def describe_job(
    checkpoint: str | Path, tta: str, reading: FileReading, statistics: FeatureStatistics | None = None
) -> dict:
    """What the numbers of a file depend on, as a JSON object."""
    compared_with = digest(feature_statistics.as_bytes(statistics)) if statistics else None
    return {"sha256": digest_weights(checkpoint), "tta": tta, "statistics": compared_with, **vars(reading)}


def digest_of(files: Sequence[str]) -> str:
    """One digest of the paths, sizes and times of all files. A file that is not there counts by its path."""
    return digest(*(f"{file}\0{time_and_size(Path(file))}\0" for file in files))


def time_and_size(path: Path) -> str:
    try:
        found = path.stat()
        return f"{found.st_mtime_ns} {found.st_size}"
    except OSError:
        return "none"


# Work


def predict_chunks(
    predictor: FilePredictor, chunks: Chunks, numbers: Sequence[int], process: int = 0, processes: int = 1
) -> None:
    """Predict this process's share of the chunks with these numbers. The first process shows a bar of its own share."""
    numbers = numbers[process::processes]
    count = sum(len(chunks.files_of(number)) for number in numbers)
    shown = {"unit": " files", "desc": "Predicting", "disable": bool(process) or not count}
    with ThreadPoolExecutor(max(1, cores() // processes)) as pool, tqdm(total=count, **shown) as bar:
        for number, waiting in read_ahead(pool, predictor.reading, chunks, numbers):
            table = predict_chunk(predictor, chunks.files_of(number), waiting)
            with whole_file(chunks.path(number)) as part:
                table.to_parquet(part)
            bar.update(len(table))


def read_ahead(
    pool: ThreadPoolExecutor, reading: FileReading, chunks: Chunks, numbers: Sequence[int]
) -> Iterator[tuple[int, list[Future]]]:
    """(number, the pixels of its files to come) of each chunk. The next chunk is read while this one is predicted."""
    ahead: list[tuple[int, list[Future]]] = []
    for number in numbers:
        # Pillow and OpenCV release the interpreter's lock while they work
        ahead.append((number, [pool.submit(reading.pixels, file) for file in chunks.files_of(number)]))
        if len(ahead) == 2:
            yield ahead.pop(0)
    yield from ahead


def predict_chunk(predictor: FilePredictor, files: Sequence[str], waiting: Sequence[Future]) -> pd.DataFrame:
    """The rows of one chunk, see `Chunks.read`. Whatever else is made of the pixels of a file is made here."""
    read, errors = [], [""] * len(files)
    numbers = np.full((len(files), len(predictor.columns)), np.nan, np.float32)
    for row, future in enumerate(waiting):
        try:
            read.append((row, future.result()))
        except UnreadableImage as error:
            errors[row] = str(error)
    if read:
        rows, pixels = zip(*read, strict=True)
        numbers[list(rows)] = predictor.numbers(np.stack(pixels))
        for row in rows:
            if not np.isfinite(numbers[row]).all():
                numbers[row], errors[row] = np.nan, NOT_FINITE
    columns = dict(zip(predictor.columns, numbers.T, strict=True))
    return pd.DataFrame({"path": list(files), "error": errors}).join(pd.DataFrame(columns))
