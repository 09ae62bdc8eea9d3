"""The pixel cache: every image decoded and shrunk once, then read as bytes."""

import os

import numpy as np
import torch
from datasets import Features, Value
from PIL import Image


def shrink(dataset, findings, size, num_proc=None):
    """A dataset of `image` and `labels` as one of `pixels` and `targets`, kept in `datasets`' own cache.

    Args:
        findings: names of the targets, in order; each a class of `labels`.
        size: side of the square, pixels.

    Returns:
        A Dataset with the other columns as they were; `pixels`, size × size uint8 grey as bytes, row by row; and
        `targets`, one 0 or 1 per finding as bytes.
    """
    names = dataset.features["labels"].feature.names
    position = {names.index(finding): column for column, finding in enumerate(findings)}
    kept = {name: feature for name, feature in dataset.features.items() if name not in ("image", "labels")}
    return dataset.map(
        shrink_example,
        fn_kwargs={"size": size, "position": position},
        remove_columns=["image", "labels"],
        features=Features({**kept, "pixels": Value("binary"), "targets": Value("binary")}),
        num_proc=num_proc if num_proc and num_proc <= len(dataset) else None,
        writer_batch_size=1000,
        desc=f"Shrinking to {size}×{size}",
    )


def shrink_example(example, size, position):
    targets = np.zeros(len(position), np.uint8)
    targets[[position[label] for label in example["labels"] if label in position]] = 1
    return {"pixels": shrink_image(example["image"], size).tobytes(), "targets": targets.tobytes()}


def shrink_image(image, size):
    """A PIL image of any mode as size × size uint8 grey, antialiased (bicubic), proportions not kept."""
    return np.asarray(image.convert("L").resize((size, size), Image.Resampling.BICUBIC))


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


def processes():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
