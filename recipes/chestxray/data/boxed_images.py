"""The boxes that a dataset gives for its images: a table with a row per box."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset

from chestxray.data import labels, sources
from chestxray.data.datasets_internals import column
from chestxray.data.nih import builder_file

PLACE = ["x", "y", "width", "height"]
FRAME = ["frame_width", "frame_height"]


def has_boxes(rows: Dataset) -> bool:
    """Whether a dataset has a column `objects` of lists `bbox` and `category`, as NIH's config `full` has."""
    objects = rows.features.get("objects")
    return isinstance(objects, dict) and {"bbox", "category"} <= set(objects)


def read_boxes(rows: Dataset) -> pd.DataFrame:
    """The boxes of a dataset, in its order. No image is decoded.

    Returns:
        A DataFrame with a row per box: `row` (the image's position in `rows`), `image` (its `image_file_path`),
        `patient`, `finding` (canonical, see `labels.canonical`), `x`, `y`, `width`, `height` in pixels of the frame,
        and `frame_width`, `frame_height`: the columns `width` and `height` of the dataset, or else NIH's 1024 × 1024.
        It has no rows if there are no boxes.
    """
    found = column(rows, "objects").to_pylist() if has_boxes(rows) else []
    number = [row for row, objects in enumerate(found) if objects for _ in objects["bbox"]]
    boxes = [box for objects in found if objects for box in objects["bbox"]]
    categories = [category for objects in found if objects for category in objects["category"]]
    table = pd.DataFrame(np.array(boxes, np.float64).reshape(-1, 4), columns=PLACE)
    table.insert(0, "row", np.array(number, dtype=int))
    table.insert(1, "image", pick(column(rows, "image_file_path").to_pylist(), number))
    table.insert(2, "patient", pick(sources.patients(rows), number))
    table.insert(3, "finding", category_names(rows, categories))
    table[FRAME] = frames_of(rows)[number]
    return table


def pick(values: Sequence[str], positions: Sequence[int]) -> np.ndarray:
    """The values at these positions, as objects."""
    return np.array([values[position] for position in positions], dtype=object)


def category_names(rows, categories):
    """The canonical findings of categories, which are class ids or names."""
    feature = getattr(rows.features["objects"]["category"], "feature", None) if categories else None
    if isinstance(feature, ClassLabel):
        categories = feature.int2str(categories)
    return np.array([labels.canonical(name) for name in categories], dtype=object)


def frames_of(rows):
    """(rows, 2) float64: width and height of the frame that each image's boxes are in."""
    if {"width", "height"} <= set(rows.column_names):
        return np.stack([column(rows, name).to_numpy(zero_copy_only=False) for name in ("width", "height")], axis=1)
    return np.full((len(rows), 2), builder_file.BOX_FRAME, np.float64)
