"""From a name on the command line to a dataset with train, validation and test."""

from importlib import import_module
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, Features, Image, get_dataset_config_names, load_dataset

import chestxray
from chestxray.data import labels
from chestxray.data.chexpert import CheXpert, is_chexpert
from chestxray.data.mimic import MIMICCXR, is_mimic
from chestxray.data.parquet_folders import cache_of, is_parquet, is_published
from chestxray.data.tar_subsets import TarSubset, is_tar_subset
from chestxray.files import digest
from chestxray.places import number_repeats, public_name

nih = import_module("NIH-Chest-X-ray-dataset")
SPLITS = ("train", "validation", "test")
FRONTAL = ("PA", "AP", "FRONTAL", "AP AXIAL", "PA LLD", "PA RLD", "AP LLD", "AP RLD")  # LLD: lying on the left side


def load(source, allow_missing=False, num_proc=None, labeler="chexpert"):
    """A folder or a Hub id as a `DatasetDict`; which dataset a folder holds is told from its contents.

    Args:
        source: NIH's archive in any layout, CheXpert, MIMIC-CXR-JPG, tar shards, a folder of Parquet, or a Hub id.
        allow_missing: accept a folder that lacks images its tables name.
        labeler: whose labels of MIMIC-CXR: "chexpert", "negbio", "both" or "radiologist".

    Returns:
        Splits of `SPLITS`, as many as there are, each with `image_file_path`, `image`, and `labels` (lists of class
        ids) or columns of observations, and what the source has besides.

    Raises:
        FileNotFoundError: neither a folder nor on the Hub. ValueError: a dataset that has none of these columns.
    """
    builder = builder_of(Path(source), allow_missing, labeler)
    if builder:
        builder.download_and_prepare(num_proc=num_proc)
        dataset = builder.as_dataset()
    else:
        try:
            name = "full" if "full" in get_dataset_config_names(source) else None
            dataset = load_dataset(source, name, cache_dir=cache_of(Path(source)))
        except (FileNotFoundError, ConnectionError) as error:
            raise FileNotFoundError(f"{source} is neither a folder nor a dataset on the Hub: {error}") from error
    for rows in dataset.values():
        if missing := {"image_file_path", "image"} - set(rows.column_names):
            raise ValueError(f"{source} has no column {', '.join(sorted(missing))}; it has {rows.column_names}")
        labels.own(rows)
    return dataset


def stream(source):
    """A Hub id or folder of Parquet as (tables, streams).

    Returns:
        tables: a DatasetDict of all columns but `image`, in memory; streams: {split: IterableDataset}, whose images
        are still encoded.

    Raises ValueError where `image` cannot be left out while reading, as from tar or zip archives.
    """
    config = "full" if "full" in get_dataset_config_names(source) else None
    streams = load_dataset(source, config, streaming=True)
    features = next(iter(streams.values())).features or {}
    if "image" not in features:
        raise ValueError(f"{source} has no column image to stream; it has {', '.join(features)}")
    columns = [name for name in features if name != "image"]
    try:
        tables = load_dataset(source, config, streaming=True, columns=columns)
    except ValueError as error:
        raise ValueError(f"{source} cannot be streamed: its tables cannot be read without its images") from error
    rest = Features({name: features[name] for name in columns})
    tables = {name: Dataset.from_list(list(rows), features=rest) for name, rows in tables.items()}
    return DatasetDict(tables), {name: rows.cast_column("image", Image(decode=False)) for name, rows in streams.items()}


def builder_of(folder, allow_missing, labeler):
    """The builder of what a folder holds, None for Parquet and for what is no folder.

    What our own scripts write may lie in the folder as well: its own tables say what it is, not any Parquet or tar
    somewhere below. A folder that none of them knows is NIH's builder's, which says what it lacks.
    """
    if not folder.is_dir():
        return None
    if is_chexpert(folder):
        return CheXpert(data_dir=str(folder), allow_missing=allow_missing)
    if is_mimic(folder):
        return MIMICCXR(data_dir=str(folder), labeler=labeler, allow_missing=allow_missing)
    if is_parquet(folder):
        return None
    if is_tar_subset(folder) and not nih.is_release(folder):
        return TarSubset(data_dir=str(folder), allow_missing=allow_missing)
    return chestxray.NIHChestXray("full", data_dir=str(folder), allow_missing=allow_missing)


def frontal(dataset):
    """The rows whose view is frontal; all of a split that has no column of views."""
    return DatasetDict({name: rows.select(frontal_rows(rows)) for name, rows in dataset.items()})


def frontal_rows(rows):
    if "view_position" not in rows.features:
        return range(len(rows))
    names = rows.features["view_position"].names
    wanted = [number for number, name in enumerate(names) if name in FRONTAL]
    return np.flatnonzero(np.isin(np.array(rows["view_position"], float), wanted))


def name_of(dataset, source):
    """The description's words up to its first colon or semicolon; without one the Hub id, or the folder's name."""
    description = next(iter(dataset.values())).info.description or ""
    return description.replace(";", ":").partition(":")[0].strip() or public_name(source)


def names_of(datasets, sources):
    """The names of several datasets, each its own; none of them tells where a folder lies."""
    names = [name_of(dataset, source) for dataset, source in zip(datasets, sources, strict=True)]
    folders = [public_name(source) for source in sources]
    return number_repeats(
        [
            name if names.count(name) == 1 or name == folder else f"{name}, {folder}"
            for name, folder in zip(names, folders, strict=True)
        ]
    )


def patient(image_file_path):
    """The patient an NIH image belongs to, the first eight digits of its file name: `images/00000798_022.png`."""
    return image_file_path.rpartition("/")[2][:8]


def patients(rows):
    """The patient of each row, eight digits: of the column `patient_id`, or else of the file's name."""
    if "patient_id" in rows.column_names:
        return [f"{number:08}" for number in rows["patient_id"]]
    return [patient(path) for path in rows["image_file_path"]]


def is_validation(patient):
    """Whether a patient of `train` belongs to validation: the SHA-256 of the eight digits begins with 0 or 1.

    One patient in eight, with no random state: the same patients on every machine and in every subset, and
    `printf 00000798 | sha256sum` shows it.
    """
    return digest(patient)[0] in "01"


def with_validation(dataset, list_file=None, allow_missing=False):
    """The dataset with `validation` cut from `train` by patient; as it is where it already has one.

    Args:
        list_file: names of the images to validate on instead, the first word of each line, as in the lists of
            jlianglab; they are taken out of `train`.
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
        held_out = named_in(list_file, dataset["train"]["image_file_path"], allow_missing)
    else:
        held_out = np.array([is_validation(patient) for patient in patients(dataset["train"])])
    return refuse_straddling(cut_validation(dataset, held_out), list_file)


def cut_validation(dataset, held_out):
    """The dataset with the rows of `train` that a boolean array chooses as `validation`.

    Raises ValueError where train or validation would be empty.
    """
    if held_out.all() or not held_out.any():
        raise ValueError(f"{len(held_out)} training images are too few to cut a validation split from by patient")
    cut = {"train": np.flatnonzero(~held_out), "validation": np.flatnonzero(held_out)}
    return DatasetDict({**dataset, **{split: dataset["train"].select(rows) for split, rows in cut.items()}})


def named_in(list_file, paths, allow_missing):
    """Which of the paths a list names, as a boolean array."""
    lines = nih.read_text(list_file).split("\n")
    wanted = {line.split()[0].rpartition("/")[2]: number for number, line in enumerate(lines, 1) if line.strip()}
    names = [path.rpartition("/")[2] for path in paths]
    missing = wanted.keys() - set(names)
    if missing and not allow_missing:
        first = min(missing, key=wanted.get)
        raise ValueError(
            f"{list_file}, line {wanted[first]}: {first} is not in train ({len(missing):,} such images). If the "
            "archive is partial, give --allow-missing"
        )
    return np.array([name in wanted for name in names])


def refuse_straddling(dataset, by):
    """The dataset itself. Raises ValueError where a patient of train is in validation or test as well."""
    trained_on = set(patients(dataset["train"]))
    for split in ("validation", "test"):
        if shared := trained_on.intersection(patients(dataset[split]) if split in dataset else ()):
            raise ValueError(
                f"patient {min(shared)} is in train and in {split} ({len(shared):,} such patients), as {by} has it: "
                "name all images of a patient, or none"
            )
    return dataset


def is_synthetic(dataset, source):
    """Whether the images were drawn: the builder says so, or a mark in the published folder."""
    description = next(iter(dataset.values())).info.description or ""
    return description.startswith("Synthetic") or (Path(source) / "SYNTHETIC.txt").is_file()


def may_be_passed_on(source):
    """Whether the owner of a dataset lets others pass on its images and its patients' rows; no where nobody knows.

    A folder is told by what it holds: NIH's tables, tar shards of NIH's images, or the Parquet files of publish.py,
    which takes nothing else. Of a Hub id, of other Parquet and of other folders nothing is known.
    """
    folder = Path(source)
    try:
        builder = builder_of(folder, allow_missing=True, labeler="chexpert")
    except (ValueError, OSError):
        return False
    if builder is None:
        files = list(folder.rglob("*.parquet")) if folder.is_dir() else []
        return bool(files) and all(map(is_published, files))
    if isinstance(builder, chestxray.NIHChestXray):  # which a folder that nobody knows gets as well
        return any(True for _ in folder.rglob("Data_Entry_2017*.csv"))
    return builder.MAY_BE_PASSED_ON


def refuse_restricted(source):
    """Raise ValueError for a folder of a dataset whose owner forbids to pass it on."""
    builder = builder_of(Path(source), allow_missing=True, labeler="chexpert")
    if builder and not builder.MAY_BE_PASSED_ON:
        raise ValueError(f"{source} holds {builder.NAME}, which may not be passed on: {builder.LICENSE}")
