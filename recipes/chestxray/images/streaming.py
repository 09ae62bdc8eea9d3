"""Images read from the Hub as training goes, in the order of the run, with nothing stored."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from chestxray.data import labels, sources
from chestxray.images.batches import as_it_is, shares
from chestxray.images.pixels import shrink_row
from chestxray.images.splits import Split
from chestxray.machine import cores

BUFFER = 1000  # images among which the next one is drawn; whole shards are shuffled besides


@dataclass
class Streamed(Split):
    """A split whose `rows` lack the images: they come by `stream`, together with those of other splits.

    Its order is not that of the cache: whole shards and then `BUFFER` images at a time are shuffled, by the seed and
    the epoch. A run that goes on in the middle of an epoch reads over, without decoding, what it has seen. Of several
    processes each reads the whole stream and decodes its own share.
    """

    stream: object = None

    def __post_init__(self):
        self.where = {path: row for row, path in enumerate(self.rows["image_file_path"])}

    def training_loader(self, order, workers=0, pin_memory=False):
        return self._loader(lambda: self._training(order), workers, pin_memory)

    def evaluation_loader(self, size, process, processes, workers=0):
        return self._loader(lambda: self._evaluation(size, process, processes), workers, False)

    def _loader(self, batches, workers, pin_memory):
        return torch.utils.data.DataLoader(
            Iterated(batches), batch_size=None, num_workers=min(workers, 1), pin_memory=pin_memory, collate_fn=as_it_is
        )

    def _training(self, order):
        for epoch in range(order.begin // order.per_epoch, order.epochs):
            shuffled = self.stream.shuffle(generator=np.random.default_rng([order.seed, epoch]), buffer_size=BUFFER)
            for number, batch in enumerate(self._in_batches(shuffled, order.batch_size)):
                if number == order.per_epoch:
                    break
                if epoch * order.per_epoch + number >= order.begin:
                    yield self._decoded(np.array_split(batch, order.processes)[order.process])

    def _evaluation(self, size, process, processes):
        for batch in self._in_batches(self.stream, size * processes):
            (share,) = shares(np.arange(len(batch)), size, process, processes)
            yield self._decoded([batch[row] for row in share])

    def _in_batches(self, rows, size):
        """Lists of `size` rows of this split, the last one shorter."""
        batch = []
        for row in rows:
            if row["image_file_path"] in self.where:
                batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _decoded(self, rows):
        index = [self.where[row["image_file_path"]] for row in rows]
        with ThreadPoolExecutor(cores()) as pool:  # Pillow lets go of the interpreter while it decodes
            pixels = np.stack(list(pool.map(self._decode, rows)))
        return {
            "index": torch.tensor(index),
            "draw": torch.tensor(index),  # an epoch shows each image once
            "pixels": torch.from_numpy(pixels)[:, None],
            "targets": torch.from_numpy(self.targets[index]),
        }

    def _decode(self, row):
        return shrink_row(row, self.size, self.equalize)


class Iterated(torch.utils.data.IterableDataset):
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return self.batches()


def make(tables, streams, findings, size, settings):
    """The splits as `splits.make` makes them, but streamed. tables: with validation cut from train."""
    listed = bool(settings.validation_list)
    policy = labels.Policy.parse(settings.uncertain, settings.blank, settings.teacher)
    return {
        name: Streamed(
            rows,
            labels.targets(rows, findings, policy, training=name == "train", seed=settings.seed),
            sources.patients(rows),
            *(size, settings.equalize),
            # what a list names is cut from train, whatever else is called validation there
            stream=streams["train"] if name not in streams or name == "validation" and listed else streams[name],
        )
        for name, rows in tables.items()
    }
