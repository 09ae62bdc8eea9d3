"""From a name on the command line to a dataset with train, validation and test."""

import re
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, Features, Image, IterableDataset, get_dataset_config_names, load_dataset
from datasets.exceptions import DatasetGenerationError

from chestxray.data import labels, registry
from chestxray.data.datasets_internals import cache_root, column
from chestxray.data.descriptor import BuildOptions, Descriptor
from chestxray.data.image_lists import find_listed
from chestxray.data.parquet_folders import cache_of, refuse_several
from chestxray.files import digest, name_disk

SPLITS = ("train", "validation", "test")


def load(
    source: str,
    allow_missing: bool = False,
    num_proc: int | None = None,
    labeler: str = "chexpert",
    descriptor: Descriptor | None = None,
) -> DatasetDict:
    """A folder or a Hub id as a `DatasetDict`.

    Args:
        source: a folder of a dataset of `registry.DATASETS`, or a Hub id.
        allow_missing: accept a folder without some of the images that its tables name.
        num_proc: processes that read a folder; None for this one alone.
        labeler: whose labels of MIMIC-CXR: "chexpert", "negbio", "both" or "radiologist".
        descriptor: of the dataset in the folder; by default `registry.recognise` finds it.

    Returns:
        Splits of `SPLITS`, as many as there are, each with `image_file_path`, `image`, and `labels` (lists of class
        ids) or columns of observations, and the source's other columns.

    Raises:
        FileNotFoundError: neither a folder nor on the Hub. ValueError: a dataset that has none of these columns.
    """
    descriptor = descriptor or registry.recognise(source)
    if descriptor.build:
        with name_disk(cache_root() / "the dataset's table"):
            builder = descriptor.build(Path(source), BuildOptions(allow_missing, labeler))
            builder.download_and_prepare(num_proc=num_proc)
        dataset = builder.as_dataset()
    else:
        dataset = load_parquet(source)
    for rows in dataset.values():
        refuse_unusable(rows, source)
    return dataset


def refuse_unusable(rows: Dataset, source: str) -> None:
    """Raise ValueError if rows have no image, no path or no labels."""
    if missing := {"image_file_path", "image"} - set(rows.column_names):
        raise ValueError(f"{source} has no column {', '.join(sorted(missing))}; it has {rows.column_names}")
    labels.labelled_names(rows)


def load_parquet(source: str) -> DatasetDict:
    """A Hub id or a folder of Parquet, with the config of `full_config`."""
    refuse_several(Path(source))
    try:
        return load_dataset(source, full_config(source), cache_dir=cache_of(Path(source)))
    except (FileNotFoundError, ConnectionError) as error:
        raise FileNotFoundError(f"{source} is neither a folder nor a dataset on the Hub: {error}") from error
    except DatasetGenerationError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ValueError(f"{source} holds Parquet files that are no dataset together: {reason}") from error


def full_config(source: str) -> str | None:
    """The config with all columns: `full`, or else the largest of `full-512` and so on; None for the default config."""
    names = get_dataset_config_names(source)
    sizes = sorted(int(name[5:]) for name in names if re.fullmatch(r"full-\d+", name))
    return "full" if "full" in names else f"full-{sizes[-1]}" if sizes else None


def stream(source: str) -> tuple[DatasetDict, dict[str, IterableDataset]]:
    """A Hub id or folder of Parquet as (tables, streams).

    Returns:
        tables: a DatasetDict of all columns but `image`, in memory.
        streams: {split: IterableDataset} of all columns, the images still encoded.

    Raises ValueError if `image` cannot be left out while reading, as from tar or zip archives.
    """
    refuse_several(Path(source))
    config = full_config(source)
    streams = load_dataset(source, config, streaming=True)
    features = next(iter(streams.values())).features or {}
    if "image" not in features:
        raise ValueError(
            f"{source} has no column image to stream, only {', '.join(features) or 'files of another form'}: give a "
            "folder of Parquet, as publish.py writes it, or a Hub id"
        )
    columns = [name for name in features if name != "image"]
    try:
        tables = load_dataset(source, config, streaming=True, columns=columns)
    except ValueError as error:
        raise ValueError(f"{source} cannot be streamed: its tables cannot be read without its images") from error
    rest = Features({name: features[name] for name in columns})
    tables = {name: Dataset.from_list(list(rows), features=rest) for name, rows in tables.items()}
    return DatasetDict(tables), {name: rows.cast_column("image", Image(decode=False)) for name, rows in streams.items()}


def select_frontal(dataset: DatasetDict, views: frozenset[str]) -> DatasetDict:
    """The rows whose view is one of `views`; all rows of a split that has no column of views."""
    return DatasetDict({name: rows.select(frontal_rows(rows, views)) for name, rows in dataset.items()})


def frontal_rows(rows: Dataset, views: frozenset[str]) -> np.ndarray | range:
    if "view_position" not in rows.features:
        return range(len(rows))
    names = rows.features["view_position"].names
    wanted = [number for number, name in enumerate(names) if name in views]
    return np.flatnonzero(np.isin(column(rows, "view_position").to_numpy(zero_copy_only=False), wanted))


def patient(image_file_path: str) -> str:
    """The patient an NIH image belongs to, the first eight digits of its file name: `images/00000798_022.png`."""
    return image_file_path.rpartition("/")[2][:8]


def patients(rows: Dataset) -> list[str]:
    """The patient of each row, eight digits: from the column `patient_id`, or else from the file's name."""
    if "patient_id" in rows.column_names:
        return [f"{number:08}" for number in column(rows, "patient_id").to_pylist()]
    return [patient(path) for path in column(rows, "image_file_path").to_pylist()]


def is_validation(patient: str) -> bool:
    """Whether a patient of `train` belongs to validation: the SHA-256 of the eight digits begins with 0 or 1.

    This is one patient in eight, and always the same ones: on every machine and in every subset.
    `printf 00000798 | sha256sum` shows it.
    """
    return digest(patient)[0] in "01"


def keep_images(rows: Dataset, count: int) -> Dataset:
    """The first `count` images in the order of a hash of their patients; the rows keep their own order.

    A patient's images follow each other, so patients stay whole, but for the last one. Fewer images are always among
    more. The hash is not the one of `is_validation`.

    Raises ValueError if there are not so many images.
    """
    if count > len(rows):
        raise ValueError(f"train_images is {count:,}, but there are {len(rows):,} training images")
    keys = [(digest("train_images ", patient), number) for number, patient in enumerate(patients(rows))]
    return rows.select(sorted(number for _, number in sorted(keys)[:count]))


def with_validation(
    dataset: DatasetDict, list_file: str | Path | None = None, allow_missing: bool = False
) -> DatasetDict:
    """The dataset with `validation` cut from `train` by patient. A dataset that has `validation` comes back as it is.

    Args:
        list_file: names the images to validate on, the first word of each line, as in the lists of jlianglab; see
            `image_lists.find_listed`. They are taken out of `train`.
        allow_missing: whether the list may name images that are not there.

    Raises:
        ValueError: the list names an image that is not in `train`, or leaves another image of one of its patients in
            train; train or validation would be empty.
    """
    if "train" not in dataset:
        raise ValueError(f"there is no train split to learn from, only {', '.join(dataset)}")
    if "validation" in dataset and not list_file:
        return refuse_straddling(dataset, "the dataset's own validation split")
    if list_file:
        paths = column(dataset["train"], "image_file_path").to_pylist()
        held_out = np.isin(np.arange(len(paths)), find_listed(list_file, paths, "train", allow_missing))
    else:
        of_rows = patients(dataset["train"])
        chosen = {patient for patient in set(of_rows) if is_validation(patient)}
        held_out = np.array([patient in chosen for patient in of_rows], bool)
    return refuse_straddling(cut_validation(dataset, held_out), list_file or "the dataset's own splits")


def cut_validation(dataset: DatasetDict, held_out: np.ndarray) -> DatasetDict:
    """The dataset with some rows of `train` as `validation`.

    Args:
        held_out: (rows of train,) bool.

    Raises ValueError if train or validation would be empty.
    """
    if held_out.all() or not held_out.any():
        raise ValueError(f"{len(held_out)} training images are too few to cut a validation split from by patient")
    cut = {"train": np.flatnonzero(~held_out), "validation": np.flatnonzero(held_out)}
    return DatasetDict({**dataset, **{split: dataset["train"].select(rows) for split, rows in cut.items()}})


def refuse_straddling(dataset: DatasetDict, by: object) -> DatasetDict:
    """The dataset itself. Raises ValueError if a patient of train is in validation or test as well."""
    trained_on = set(patients(dataset["train"]))
    for split in ("validation", "test"):
        if shared := trained_on.intersection(patients(dataset[split]) if split in dataset else ()):
            raise ValueError(
                f"patient {min(shared)} is in train and in {split} ({len(shared):,} such patients) by {by}: "
                "name all images of a patient, or none"
            )
    return dataset
