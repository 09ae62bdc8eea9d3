"""Batches of a split, read from its shrunk bytes a batch at a time, and their order over a whole run."""

import numpy as np
import pandas as pd
import torch

from chestxray.images.pixels import encoded, shrink_row


class Batches(torch.utils.data.Dataset):
    """A split as a map-style dataset that reads a batch at a time.

    `batches[[i, j, …]]` gives a dict of `index` (n,) int64, the rows, `draw` (n,) int64, by which each is augmented,
    `pixels` (n, 1, size, size) uint8 and `targets` (n, findings) float32, NaN where unknown. i + len(batches) k is row
    i too, drawn in its own way: what an `Order` gives for a row that comes for the k-th time again in an epoch.

    Args:
        rows: with the column `pixels` of `pixels.shrink`, or with `image`, which is then decoded each time.
        targets: (rows, findings) float32 array.
    """

    def __init__(self, rows, targets, size, equalize=False):
        self.cached = "pixels" in rows.column_names
        self.rows = rows.with_format("arrow") if self.cached else encoded(rows)
        self.targets, self.size, self.equalize = targets, size, equalize

    def __len__(self):
        return len(self.rows)

    def __getitems__(self, draws):
        indices = [draw % len(self) for draw in draws]
        rows = self.rows[indices]
        if self.cached:
            pixels = [np.frombuffer(row.as_buffer(), np.uint8) for row in rows["pixels"]]
        else:
            pairs = zip(rows["image_file_path"], rows["image"], strict=True)
            pixels = [
                shrink_row({"image_file_path": path, "image": image}, self.size, self.equalize) for path, image in pairs
            ]
        return {
            "index": torch.tensor(indices),
            "draw": torch.tensor(draws),
            "pixels": torch.from_numpy(np.stack(pixels)).view(-1, 1, self.size, self.size),
            "targets": torch.from_numpy(self.targets[indices]),
        }


class Order(torch.utils.data.Sampler):
    """The rows of every step of a run, this process's share of each, from the step it is to begin with.

    In an epoch each row comes once, shuffled by seed and epoch; a last, uneven batch is left out, unless it is all
    there is. With weights, rows are drawn with replacement, as many as there are; one that comes again has its number
    of rows added each time, see `Batches`, so that it is augmented anew.

    Args:
        rows: how many there are; batch_size: rows of a step, over all processes.
        process, processes: which share; shares differ by one row at most.
        weights: how often each row is to be drawn, relative to the others, or None.

    Raises ValueError where a batch has fewer rows than there are processes.
    """

    def __init__(self, rows, batch_size, epochs, seed, process=0, processes=1, weights=None):
        self.rows, self.batch_size, self.epochs, self.seed = rows, min(batch_size, rows), epochs, seed
        self.process, self.processes = process, processes
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.per_epoch, self.begin = rows // self.batch_size, 0
        if self.batch_size < processes:
            raise ValueError(f"a step of {self.batch_size} images leaves some of {processes} processes without any")

    def __len__(self):
        return self.per_epoch * self.epochs - self.begin

    def __iter__(self):
        for epoch in range(self.begin // self.per_epoch, self.epochs):
            order = self.shuffled(epoch)
            first = max(0, self.begin - epoch * self.per_epoch)
            for number in range(first, self.per_epoch):
                batch = order[number * self.batch_size : (number + 1) * self.batch_size]
                yield np.array_split(batch, self.processes)[self.process].tolist()

    def shuffled(self, epoch):
        random = np.random.default_rng([self.seed, epoch])
        if self.weights is None:
            return random.permutation(self.rows)
        chosen = random.choice(self.rows, self.rows, p=self.weights)
        return chosen + self.rows * times_before(chosen)


def times_before(values):
    """How often each value stands before its place already, (n,) int64: 0, 0, 1 for 7, 3, 7."""
    return pd.Series(values).groupby(values).cumcount().to_numpy()


def training_loader(batches, order, workers=0, pin_memory=False):
    return torch.utils.data.DataLoader(
        batches,
        batch_sampler=order,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=pin_memory,
        collate_fn=as_it_is,
    )


def evaluation_loader(batches, size, process=0, processes=1, workers=0):
    """Every row in batches of `size` for each process; the same number of batches, and of rows, for all of them."""
    return torch.utils.data.DataLoader(
        batches,
        batch_sampler=shares(np.arange(len(batches)), size, process, processes),
        num_workers=workers,
        collate_fn=as_it_is,
    )


def shares(rows, size, process, processes):
    """A process's rows of each batch, a list of lists; where the last ones do not suffice for all, some come twice."""
    wholes = [rows[first : first + size * processes] for first in range(0, len(rows), size * processes)]
    per_process = [-(-len(whole) // processes) for whole in wholes]
    return [
        np.resize(whole, n * processes)[process * n : (process + 1) * n].tolist()
        for whole, n in zip(wholes, per_process, strict=True)
    ]


def as_it_is(batch):
    return batch
