"""What is reached on NIH's boxes without a look at the image, for the dataset card."""

import numpy as np
from datasets import DatasetDict

from chestxray.data.nih import builder_file
from chestxray.reporting.tables import figure
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.image_blind import localise_by_others
from chestxray.scoring.localisation_measures import Measure

MEASURES = {
    "blind-hit": Measure("peak", "hit"),
    "blind-iou-3": Measure("one box", "IoU", 0.3),
    "blind-iou-5": Measure("one box", "IoU", 0.5),
}


def blind_facts(dataset: DatasetDict) -> dict[str, str]:
    """{place in the card: mean over the findings}; a dash where there are no boxes.

    Args:
        dataset: the config `metadata`.
    """
    rows = boxed_rows(dataset)
    if rows is None:
        return dict.fromkeys(MEASURES, figure(None))
    reached = localise_by_others(rows)
    return {name: figure(mean_of_findings(reached.column(measure), rows)) for name, measure in MEASURES.items()}


def mean_of_findings(values: np.ndarray, rows: BoxedRows) -> float:
    """The mean over the findings of their mean; NaN does not count. values: (n,), of the rows."""
    return float(np.mean([np.nanmean(values[rows.findings == name]) for name in np.unique(rows.findings)]))


def boxed_rows(dataset: DatasetDict) -> BoxedRows | None:
    """All boxes of the dataset, the frame of 1024 pixels as 0 to 1; None if there is none."""
    names = next(iter(dataset.values())).features["labels"].feature.names
    found = [
        (np.array(box) / builder_file.BOX_FRAME, names[label], row["image_file_path"], str(row["patient_id"]))
        for rows in dataset.values()
        for row in rows.select_columns(["image_file_path", "patient_id", "objects"])
        for box, label in zip(row["objects"]["bbox"], row["objects"]["category"], strict=True)
    ]
    return BoxedRows(*map(np.array, zip(*found, strict=True))) if found else None
