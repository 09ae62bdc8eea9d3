"""What a dataset says about its images, as the columns of a predictions file. No image is decoded."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset

from chestxray.data import labels, sources
from chestxray.data.datasets_internals import column
from chestxray.data.opening import OpenDataset
from chestxray.data.prediction_tables import LabelledImages

COLUMNS = {  # {our column: the columns of datasets}
    "study": ("study_id", "study"),
    "sex": ("patient_sex",),
    "age": ("patient_age",),
    "view": ("view_position",),
}


def describe_dataset(opened: OpenDataset) -> dict:
    """What `Predictions.about` says about a dataset."""
    return {
        "dataset": opened.name,
        "source": opened.source,
        "synthetic": opened.synthetic,
        "may_be_passed_on": opened.may_be_passed_on,
        "validation_source": opened.validation_source,
        "notes": list(opened.notes),
    }


def metadata_of(rows: Dataset, patients: Sequence[str], split: str) -> pd.DataFrame:
    """The columns of a predictions file that are not about findings. Class ids of the dataset become words."""
    columns = {"image_file_path": column(rows, "image_file_path").to_pylist(), "split": split, "patient": patients}
    for ours, theirs in COLUMNS.items():
        there = next((word for word in theirs if word in rows.column_names), None)
        if there is None:
            continue
        feature, values = rows.features[there], column(rows, there).to_pylist()
        if isinstance(feature, ClassLabel):
            values = [None if value is None else feature.int2str(value) for value in values]
        columns[ours] = values
    return pd.DataFrame(columns)


def labelled_images(opened: OpenDataset, split: str) -> LabelledImages:
    """All images of a dataset: first validation, then `split`, then its other splits.

    The findings are those that `split` labels, by the dataset's own names.

    Raises:
        ValueError: as `labels.labelled_names`.
    """
    findings = labels.labelled_names(opened.splits[split])
    order = sorted(opened.splits, key=lambda name: (name != "validation", name != split))
    parts = {name: opened.splits[name] for name in order}
    rows = [metadata_of(part, sources.patients(part), name) for name, part in parts.items()]
    targets = np.concatenate([labels.targets(part, findings) for part in parts.values()])
    about = describe_dataset(opened)
    return LabelledImages(pd.concat(rows, ignore_index=True), targets.astype(np.float64), findings, about)
