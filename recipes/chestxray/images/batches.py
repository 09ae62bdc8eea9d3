"""Batches of a split, read a batch at a time, and their order over a whole run."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset

from chestxray.images.cached_pixels import COLUMN, CachedPixels
from chestxray.images.pixels import keep_encoded, shrink_row


class Batches(torch.utils.data.Dataset):
    """A split as a map-style dataset that reads a batch at a time.

    `batches[[i, j, …]]` is a dict of

        index: (n,) int64, the rows.
        draw: (n,) int64, the number that decides how each image is augmented.
        pixels: (n, 1, size, size) uint8.
        targets: (n, findings) float32, NaN where unknown.

    Row i has the numbers i, i + len(batches), i + 2 len(batches), … An `Order` gives the next one each time that the
    row comes again in an epoch, so that the image is augmented in another way.

    Args:
        rows: with the column `pixels` of `pixels.shrink`, or with `image`, which is then decoded each time.
        targets: (rows, findings) float32 array.
        size: side of the pixels.
        equalize: whether images that are decoded here are equalised.
    """

    def __init__(self, rows: Dataset, targets: np.ndarray, size: int, equalize: bool = False):
        self.cached = CachedPixels(rows, size * size) if COLUMN in rows.column_names else None
        self.rows = rows if self.cached else keep_encoded(rows)
        self.targets, self.size, self.equalize = targets, size, equalize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        indices = [draw % len(self) for draw in draws]
        pixels = self.cached.read(indices) if self.cached else np.stack(self._decode(indices))
        return {
            "index": torch.tensor(indices),
            "draw": torch.tensor(draws),
            "pixels": torch.from_numpy(pixels).view(-1, 1, self.size, self.size),
            "targets": torch.from_numpy(self.targets[indices]),
        }

    def _decode(self, indices):
        """n uint8 arrays of size × size numbers."""
        rows = self.rows[indices]
        pairs = zip(rows["image_file_path"], rows["image"], strict=True)
        return [
            shrink_row({"image_file_path": path, "image": image}, self.size, self.equalize) for path, image in pairs
        ]


class Order(torch.utils.data.Sampler):
    """The rows of every step of a run, from step `begin` on. Each process has its share of every step.

    In an epoch each row comes once, shuffled by seed and epoch. The last batch is left out if it is smaller than the
    others. With weights, rows are drawn with replacement, as many as there are. A row that comes again has another
    number, see `Batches`.

    Args:
        rows: how many there are.
        batch_size: rows of a step, over all processes.
        process, processes: which share; shares differ by one row at most.
        weights: how often each row is drawn, relative to the others, or None.

    Raises:
        ValueError: a batch has fewer rows than there are processes.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        epochs: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
        weights: Sequence[float] | np.ndarray | None = None,
    ):
        self.rows, self.batch_size, self.epochs, self.seed = rows, min(batch_size, rows), epochs, seed
        self.process, self.processes = process, processes
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.per_epoch, self.begin = rows // self.batch_size, 0
        if self.batch_size < processes:
            raise ValueError(f"a step of {self.batch_size} images leaves some of {processes} processes without any")

    def __len__(self) -> int:
        return self.per_epoch * self.epochs - self.begin

    def __iter__(self) -> Iterator[list[int]]:
        for epoch in range(self.begin // self.per_epoch, self.epochs):
            order = self._shuffle(epoch)
            first = max(0, self.begin - epoch * self.per_epoch)
            for number in range(first, self.per_epoch):
                batch = order[number * self.batch_size : (number + 1) * self.batch_size]
                yield np.array_split(batch, self.processes)[self.process].tolist()

    def _shuffle(self, epoch):
        """The numbers of an epoch's rows in their order, (rows,) int64."""
        random = np.random.default_rng([self.seed, epoch])
        if self.weights is None:
            return random.permutation(self.rows)
        chosen = random.choice(self.rows, self.rows, p=self.weights)
        return chosen + self.rows * count_earlier(chosen)


def count_earlier(values):
    """How often each value has come before, (n,) int64: 0, 0, 1 for 7, 3, 7."""
    return pd.Series(values).groupby(values).cumcount().to_numpy()


def training_loader(
    batches: Batches, order: Order, workers: int = 0, pin_memory: bool = False
) -> torch.utils.data.DataLoader:
    """This process's share of every step of a run, as `Batches` gives it."""
    return torch.utils.data.DataLoader(
        batches,
        batch_sampler=order,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=pin_memory,
        collate_fn=keep_batch,
    )


def evaluation_loader(
    batches: Batches, size: int, process: int = 0, processes: int = 1, workers: int = 0
) -> torch.utils.data.DataLoader:
    """Every row, in batches of `size` for each process. All processes have equally many batches and rows."""
    return torch.utils.data.DataLoader(
        batches,
        batch_sampler=shares(np.arange(len(batches)), size, process, processes),
        num_workers=workers,
        collate_fn=keep_batch,
    )


def shares(rows: np.ndarray, size: int, process: int, processes: int) -> list[list[int]]:
    """A process's rows of each batch. Some rows come twice if the last ones are too few for all processes."""
    wholes = [rows[first : first + size * processes] for first in range(0, len(rows), size * processes)]
    per_process = [-(-len(whole) // processes) for whole in wholes]
    return [
        np.resize(whole, n * processes)[process * n : (process + 1) * n].tolist()
        for whole, n in zip(wholes, per_process, strict=True)
    ]


def keep_batch(batch: Any) -> Any:
    """A batch comes whole from `Batches`: there is nothing to collate. (A DataLoader's worker cannot take a lambda.)"""
    return batch
