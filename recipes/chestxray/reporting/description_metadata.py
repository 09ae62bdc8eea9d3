"""NIH's metadata as two tables, for the dataset card."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import DatasetDict, Features

NO_FINDING = "No Finding"
SPLITS = ("train", "test")
COLUMNS = "image_file_path labels patient_id follow_up patient_age patient_sex view_position objects".split()


@dataclass
class Metadata:
    """The config `metadata` as two tables with one row per image, in the same order.

    Attributes:
        images: name, split, patient, follow_up, age (years), sex, view, cell (labels as written) and boxes, a list of
            (label, width, height) in pixels.
        labels: one boolean column per label, No Finding first, in the dataset's order.
    """

    images: pd.DataFrame
    labels: pd.DataFrame

    @property
    def findings(self) -> pd.DataFrame:
        return self.labels.drop(columns=NO_FINDING)

    def in_split(self, split: str) -> "Metadata":
        rows = (self.images["split"] == split).to_numpy()
        return Metadata(self.images[rows], self.labels[rows])


def read_metadata(dataset: DatasetDict) -> Metadata:
    """`Metadata` of a dataset in the config `metadata` or `full` that has `train` and `test`."""
    names = dataset["train"].features["labels"].feature.names
    rows = {split: dataset[split].select_columns(COLUMNS).with_format("arrow")[:] for split in SPLITS}
    images = pd.concat([image_table(rows[split], dataset[split].features, split) for split in SPLITS])
    cells = [cell for split in SPLITS for cell in rows[split]["labels"].to_pylist()]
    labels = np.zeros((len(cells), len(names)), bool)
    for row, cell in enumerate(cells):
        labels[row, cell] = True
    images["cell"] = ["|".join(names[label] for label in cell) for cell in cells]
    return Metadata(images.reset_index(drop=True), pd.DataFrame(labels, columns=names))


def image_table(rows: pa.Table, features: Features, split: str) -> pd.DataFrame:
    """`Metadata.images` of one split without `cell`, from an Arrow table with COLUMNS."""
    names = features["labels"].feature.names
    boxes = [
        [
            (names[label], width, height)
            for label, (_, _, width, height) in zip(row["category"], row["bbox"], strict=True)
        ]
        for row in rows["objects"].to_pylist()
    ]
    columns = {
        "name": [path.rpartition("/")[2] for path in rows["image_file_path"].to_pylist()],
        "split": split,
        "patient": rows["patient_id"].to_numpy(),
        "follow_up": rows["follow_up"].to_numpy(),
        "age": rows["patient_age"].to_numpy(),
        "sex": features["patient_sex"].int2str(rows["patient_sex"].to_pylist()),
        "view": features["view_position"].int2str(rows["view_position"].to_pylist()),
        "boxes": boxes,
    }
    return pd.DataFrame(columns)
