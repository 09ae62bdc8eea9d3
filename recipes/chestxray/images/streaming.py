"""Images that are read from the Hub during training, in the order of the run. Nothing is stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from datasets import DatasetDict, IterableDataset
from torch.utils.data import DataLoader

from chestxray.data import labels, sources
from chestxray.images.batches import Order, keep_batch, shares
from chestxray.images.pixels import shrink_row
from chestxray.images.splits import Split
from chestxray.machine import cores

BUFFER = 1000  # the next image is drawn from so many; whole shards are shuffled too


@dataclass
class StreamSplit(Split):
    """A split whose `rows` have no images. They come from `stream`, mixed with images of other splits.

    The order differs from that of the cache: whole shards are shuffled, then `BUFFER` images at a time, by the seed and
    the epoch. A run that goes on in the middle of an epoch skips the images it has had, without decoding them. Each
    process reads the whole stream and decodes its own share.
    """

    stream: IterableDataset | None = None

    def __post_init__(self):
        self.where = {path: row for row, path in enumerate(self.rows["image_file_path"])}

    def training_loader(self, order: Order, workers: int = 0, pin_memory: bool = False) -> DataLoader:
        """As `batches.training_loader`."""
        return stream_loader(lambda: self._training_batches(order), workers, pin_memory)

    def evaluation_loader(self, size: int, process: int = 0, processes: int = 1, workers: int = 0) -> DataLoader:
        """As `batches.evaluation_loader`."""
        return stream_loader(lambda: self._evaluation_batches(size, process, processes), workers)

    def _training_batches(self, order):
        for epoch in range(order.begin // order.per_epoch, order.epochs):
            shuffled = self.stream.shuffle(generator=np.random.default_rng([order.seed, epoch]), buffer_size=BUFFER)
            for number, batch in enumerate(self._group(shuffled, order.batch_size)):
                if number == order.per_epoch:
                    break
                if epoch * order.per_epoch + number >= order.begin:
                    yield self._decode_batch(np.array_split(batch, order.processes)[order.process])

    def _evaluation_batches(self, size, process, processes):
        for batch in self._group(self.stream, size * processes):
            (share,) = shares(np.arange(len(batch)), size, process, processes)
            yield self._decode_batch([batch[row] for row in share])

    def _group(self, rows, size):
        """Lists of `size` rows of this split; the last one may be shorter."""
        batch = []
        for row in rows:
            if row["image_file_path"] in self.where:
                batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _decode_batch(self, rows):
        """Rows of the stream as a batch; see `batches.Batches`."""
        index = [self.where[row["image_file_path"]] for row in rows]
        with ThreadPoolExecutor(cores()) as pool:
            pixels = np.stack(list(pool.map(self._decode, rows)))
        return {
            "index": torch.tensor(index),
            "draw": torch.tensor(index),  # an epoch shows each image once
            "pixels": torch.from_numpy(pixels)[:, None],
            "targets": torch.from_numpy(self.targets[index]),
        }

    def _decode(self, row):
        return shrink_row(row, self.size, self.equalize, threads=cores())


class BatchStream(torch.utils.data.IterableDataset):
    """Whole batches, from a function that returns an iterator over them."""

    def __init__(self, batches: Callable[[], Iterator[dict]]):
        self.batches = batches

    def __iter__(self):
        return self.batches()


def stream_loader(batches, workers, pin_memory=False):
    """A DataLoader over a `BatchStream`. It has one worker at most: each would read the whole stream."""
    stream, workers = BatchStream(batches), min(workers, 1)
    return DataLoader(stream, batch_size=None, num_workers=workers, pin_memory=pin_memory, collate_fn=keep_batch)


def stream_splits(
    tables: DatasetDict,
    streams: Mapping[str, IterableDataset],
    findings: Sequence[str],
    size: int,
    policy: labels.Policy,
    *,
    seed: int = 0,
    equalize: bool = False,
    listed: bool = False,
) -> dict[str, StreamSplit]:
    """The splits as `splits.make_splits` makes them, but streamed.

    Args:
        tables: rows without images, with `validation` cut from `train`.
        streams: rows with images.
        listed: whether a list names the validation images.
    """
    # a list cuts validation from train, even if the dataset has a split called validation
    own = set(streams) - ({"validation"} if listed else set())
    return {
        name: StreamSplit(
            rows,
            labels.targets(rows, findings, policy, training=name == "train", seed=seed),
            sources.patients(rows),
            size,
            equalize,
            stream=streams[name if name in own else "train"],
        )
        for name, rows in tables.items()
    }
