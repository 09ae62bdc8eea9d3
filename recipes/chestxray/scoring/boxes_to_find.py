"""Which images get heatmaps, and which boxes are to be found in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset

from chestxray.data import labels
from chestxray.data.boxed_images import FRAME, PLACE, read_boxes
from chestxray.data.datasets_internals import column
from chestxray.data.image_lists import find_listed
from chestxray.images.geometry import refuse_boxes_outside
from chestxray.scoring.boxed_rows import known_findings


@dataclass(frozen=True)
class BoxesToFind:
    """Attributes:

    images: (m,) int, positions of the images in their split.
    boxes: as `boxed_images.read_boxes` gives them, of these images and of findings that all models have. It may have no
        rows, if the images were listed.
    notes: what a reader must know, one sentence each.
    """

    images: np.ndarray
    boxes: pd.DataFrame
    notes: list[str]


def choose_boxes(
    rows: Dataset,
    source: str,
    split: str,
    models: Sequence[Sequence[str]],
    list_file: str | None = None,
    allow_missing: bool = False,
) -> BoxesToFind:
    """All images with a box that the models can find, or the images that a list names.

    Args:
        rows: of the split. source, split: what errors call them.
        models: the findings of each model.
        list_file, allow_missing: see `image_lists.find_listed`.

    Raises:
        ValueError: no image has a box, and there is no list; a box passes the edge of its image; the models have none
            of the findings that have boxes; as `find_listed`.
    """
    boxes = read_boxes(rows)
    if list_file:
        paths = column(rows, "image_file_path").to_pylist()
        listed = find_listed(list_file, paths, f"{split} of {source}", allow_missing)
        boxes = boxes[boxes["row"].isin(listed)].reset_index(drop=True)
    elif not len(boxes):
        raise ValueError(
            f"no image of {split} of {source} has a box: give another --dataset or --split, or name images by --images "
            "to get their heatmaps"
        )
    refuse_boxes_outside(boxes[PLACE], boxes[FRAME], boxes["finding"], boxes["image"])
    known = set.intersection(*({labels.canonical(name) for name in findings} for findings in models))
    if list_file and not boxes["finding"].isin(known).any():
        return BoxesToFind(listed, boxes[:0], ["No listed image has a box of a finding that the model has."])
    inside, notes = known_findings(boxes["finding"], sorted(known))
    boxes = boxes[inside].reset_index(drop=True)
    return BoxesToFind(listed if list_file else np.unique(boxes["row"]), boxes, notes)
