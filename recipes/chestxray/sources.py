"""From a name on the command line to a dataset with train, validation and test."""

import hashlib
from pathlib import Path

from datasets import DatasetDict, get_dataset_config_names, load_dataset

import chestxray

NO_FINDING = "No Finding"  # the class that means none of the others


def load(source, allow_missing=False, num_proc=None):
    """A raw archive folder, a folder of Parquet or a Hub id as a `DatasetDict`.

    Every split has `image_file_path`, `image` and `labels` (lists of class ids), and what the source's `full`
    config has besides. Raises ValueError for a dataset that has no `train`, no `test` or none of these columns.
    """
    folder = Path(source)
    if folder.is_dir() and not any(folder.rglob("*.parquet")):
        builder = chestxray.NIHChestXray("full", data_dir=str(folder), allow_missing=allow_missing)
        builder.download_and_prepare(num_proc=num_proc)
        dataset = builder.as_dataset()
    else:
        try:
            dataset = load_dataset(source, "full" if "full" in get_dataset_config_names(source) else None)
        except (FileNotFoundError, ConnectionError) as error:
            raise FileNotFoundError(f"{source} is neither a folder nor a dataset on the Hub: {error}") from error
    if missing := {"train", "test"} - set(dataset):
        raise ValueError(f"{source} has no {' and no '.join(sorted(missing))} split; it has {', '.join(dataset)}")
    if missing := {"image_file_path", "image", "labels"} - set(dataset["train"].column_names):
        raise ValueError(f"{source} has no column {', '.join(sorted(missing))}; it has {dataset['train'].column_names}")
    return dataset


def findings(dataset):
    """The names a model is trained on: the classes of `labels` in their order, without "No Finding"."""
    return [name for name in dataset["train"].features["labels"].feature.names if name != NO_FINDING]


def patient(image_file_path):
    """The patient an image belongs to, the first eight digits of its file name: `images/00000798_022.png`."""
    return image_file_path.rpartition("/")[2][:8]


def is_validation(patient):
    """Whether a patient of `train` belongs to validation: the SHA-256 of the eight digits begins with 0 or 1.

    One patient in eight, with no random state: the same patients on every machine and in every subset, and
    `printf 00000798 | sha256sum` shows it.
    """
    return hashlib.sha256(patient.encode()).hexdigest()[0] in "01"


def with_validation(dataset):
    """The dataset with `validation` cut from `train` by patient; as it is where it already has one."""
    if "validation" in dataset:
        return dataset
    held_out = [is_validation(patient(path)) for path in dataset["train"]["image_file_path"]]
    rows = {"train": [], "validation": []}
    for row, held in enumerate(held_out):
        rows["validation" if held else "train"].append(row)
    if not rows["train"] or not rows["validation"]:
        raise ValueError(f"{len(held_out)} training images are too few to cut a validation split from by patient")
    cut = {split: dataset["train"].select(chosen) for split, chosen in rows.items()}
    return DatasetDict({**dataset, **cut})


def is_synthetic(dataset, source):
    """Whether the images were drawn by chestxray.phantom: the builder says so, or a mark in the published folder."""
    return dataset["train"].info.description.startswith("Synthetic") or (Path(source) / "SYNTHETIC.txt").is_file()
