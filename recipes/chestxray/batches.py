"""Batches of a shrunk split, read from its bytes a batch at a time."""

import numpy as np
import torch


class Batches(torch.utils.data.Dataset):
    """A shrunk split as a map-style dataset that reads a batch at a time.

    `batches[[i, j, …]]` gives a dict of `index` (n,) int64, `pixels` (n, 1, size, size) uint8 and `targets`
    (n, findings) float32.
    """

    def __init__(self, shrunk, size):
        self.table = shrunk.with_format("arrow")
        self.size = size

    def __len__(self):
        return len(self.table)

    def __getitems__(self, indices):
        rows = self.table[indices]
        pixels = np.stack([np.frombuffer(row.as_buffer(), np.uint8) for row in rows["pixels"]])
        targets = np.stack([np.frombuffer(row.as_buffer(), np.uint8) for row in rows["targets"]])
        return {
            "index": torch.tensor(indices),
            "pixels": torch.from_numpy(pixels).view(-1, 1, self.size, self.size),
            "targets": torch.from_numpy(targets).float(),
        }


def loader(shrunk, size, batch_size, shuffle=False, seed=0):
    """A DataLoader of `Batches`; the shuffled one drops its last, uneven batch unless that is all there is."""
    return torch.utils.data.DataLoader(
        Batches(shrunk, size),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(shrunk) >= batch_size,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=lambda batch: batch,
    )
