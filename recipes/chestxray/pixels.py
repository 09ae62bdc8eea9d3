"""The pixel cache: every image decoded and shrunk once, kept as bytes."""

import os

import numpy as np
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


def processes():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
