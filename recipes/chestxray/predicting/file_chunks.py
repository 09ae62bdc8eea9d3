"""From a checkpoint and a list of files to logits, a chunk of files after the other, each kept on the disk.

Each process takes every n-th chunk and needs nothing from the others. A chunk that is on the disk is not predicted
again, so the same command goes on after a stop.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from chestxray.files import claim_folder, digest, remove_unfinished, whole_file, write
from chestxray.images.reading import UnreadableImage
from chestxray.machine import cores
from chestxray.predicting import overlays as pictures
from chestxray.predicting.file_predictor import FilePredictor
from chestxray.predicting.overlays import Overlays

CHUNK = 256  # files: seconds of work; at 512 pixels 67 MB
UNFINISHED = ".unfinished"  # the folder of finished chunks inside the output's; gone when all is done
JOB = "job.json"
DISTANCE = "distance to the training images"  # a column of a chunk, which no finding is called by
HEATMAPS = "heatmaps"  # another one: where the pictures of a file's heatmaps lie, or why there are none
NOT_FINITE = "the model gives no finite number for it"


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
        """All files in their order: `path`, `error` ("" where there is none), a logit for each finding; DISTANCE;
        HEATMAPS."""
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


def claim_missing(chunks: Chunks, job: dict) -> list[int]:
    """The chunks that are to be predicted. Says so if an earlier run has finished some. Raises as `claim`."""
    claim(chunks, job)
    missing = chunks.missing()
    if len(missing) < len(chunks):
        print(f"{len(chunks) - len(missing):,} of {len(chunks):,} parts are finished already.")
    return missing


def digest_of(files: Sequence[str]) -> str:
    """One digest of the paths, sizes and times of all files. A file that is not there counts by its path."""
    return digest(*(f"{file}\0{time_and_size(Path(file))}\0" for file in files))


def time_and_size(path: Path) -> str:
    try:
        found = path.stat()
        return f"{found.st_mtime_ns} {found.st_size}"
    except OSError:
        return "none"


@contextmanager
def chunk_folder(output: Path | None, is_first: bool) -> Iterator[Path]:
    """The folder for chunks: inside the output's, where they stay after an error, or a temporary one."""
    if output:
        if is_first:
            _claim = claim_folder(output)  # until this function ends
            remove_unfinished(output)
        yield output / UNFINISHED
        if is_first:
            shutil.rmtree(output / UNFINISHED)
    else:
        with TemporaryDirectory() as folder:
            yield Path(folder)


# Work


def predict_chunks(
    predictor: FilePredictor,
    chunks: Chunks,
    numbers: Sequence[int],
    process: int = 0,
    processes: int = 1,
    overlays: Overlays | None = None,
) -> None:
    """Predict this process's share of the chunks with these numbers. The first process shows a bar of its own share."""
    numbers = numbers[process::processes]
    count = sum(len(chunks.files_of(number)) for number in numbers)
    shown = {"unit": " files", "desc": "Predicting", "disable": bool(process) or not count}
    threads = max(1, cores() // processes)
    with ThreadPoolExecutor(threads) as pool, tqdm(total=count, **shown) as bar:
        read = partial(pool.submit, partial(predictor.reading.pixels, threads=threads))
        for number, waiting in read_ahead(read, chunks, numbers):
            table = predict_chunk(predictor, chunks.files_of(number), waiting, pool, overlays)
            with whole_file(chunks.path(number)) as part:
                table.to_parquet(part)
            bar.update(len(table))


def read_ahead(
    read: Callable[[str], Future], chunks: Chunks, numbers: Sequence[int]
) -> Iterator[tuple[int, list[Future]]]:
    """(number, the pixels of its files to come) of each chunk. The next chunk is read while this one is predicted."""
    ahead: list[tuple[int, list[Future]]] = []
    for number in numbers:
        ahead.append((number, [read(file) for file in chunks.files_of(number)]))
        if len(ahead) == 2:
            yield ahead.pop(0)
    yield from ahead


def predict_chunk(
    predictor: FilePredictor,
    files: Sequence[str],
    waiting: Sequence[Future],
    pool: Executor,
    overlays: Overlays | None = None,
) -> pd.DataFrame:
    """The rows of one chunk, see `Chunks.read`. Whatever else is made of the pixels of a file is made here."""
    read, errors = [], [""] * len(files)
    numbers = np.full((len(files), len(predictor.columns)), np.nan, np.float32)
    for row, future in enumerate(waiting):
        try:
            read.append((row, future.result()))
        except UnreadableImage as error:
            errors[row] = str(error)
    rows, pixels = [row for row, _ in read], np.array([found for _, found in read])
    if rows:
        numbers[rows] = predictor.numbers(pixels)
        for row in rows:
            if not np.isfinite(numbers[row]).all():
                numbers[row], errors[row] = np.nan, NOT_FINITE
    columns = dict(zip(predictor.columns, numbers.T, strict=True))
    table = pd.DataFrame({"path": list(files), "error": errors}).join(pd.DataFrame(columns))
    if overlays:
        usable = [place for place, row in enumerate(rows) if not errors[row]]
        table[HEATMAPS] = draw_chunk(
            overlays, predictor, table, [rows[place] for place in usable], pixels[usable], pool
        )
    return table


def draw_chunk(
    overlays: Overlays,
    predictor: FilePredictor,
    table: pd.DataFrame,
    rows: Sequence[int],
    pixels: np.ndarray,
    pool: Executor,
) -> list[str]:
    """The column HEATMAPS of a chunk. rows: of the files that have logits; pixels: theirs, (n, size, size) uint8."""
    texts = [pictures.NOT_READ] * len(table)
    if rows:
        part = table.iloc[list(rows)]
        logits = part[list(overlays.findings)].to_numpy()
        found = pictures.draw_missing(overlays, predictor, part["path"].tolist(), pixels, logits, pool)
        for row, text in zip(rows, found, strict=True):
            texts[row] = text
    return texts
