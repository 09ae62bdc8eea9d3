"""One way to open a dataset for every script: the same rows, the same validation, the same care for leaks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from datasets import Dataset, DatasetDict, DatasetInfo, IterableDataset

from chestxray.data import exposure, registry, sources
from chestxray.data.descriptor import Descriptor
from chestxray.data.exposure import Exposure, Keys
from chestxray.data.parquet_folders import described_name, has_hub_mark, is_described_as_synthetic
from chestxray.machine import cores
from chestxray.places import number_repeats, place, public_name


class DataSettings(Protocol):
    """What `open_dataset` reads of a run's settings."""

    @property
    def dataset(self) -> Sequence[str] | None: ...
    @property
    def streaming(self) -> bool: ...
    @property
    def views(self) -> str: ...
    @property
    def labeler(self) -> str: ...
    @property
    def allow_missing(self) -> bool: ...
    @property
    def num_proc(self) -> int | None: ...
    @property
    def validation_list(self) -> str | None: ...


TRAINED_ON = "These images are of the split train: a model that was trained on them scores too well on them."


class NoSplit(ValueError):
    """A dataset lacks the split that is to be scored."""


@dataclass(frozen=True)
class OpenDataset:
    """One dataset as the settings of a run have it.

    Attributes:
        source: the folder or Hub id.
        name: what reports call it.
        splits: a DatasetDict with `validation` cut from `train`.
        synthetic: whether the images are drawn.
        may_be_passed_on: whether the owner lets others pass on its images and its patients' rows.
        streams: {split: IterableDataset} of the images, None if they are in `splits`.
        notes: what a reader of its scores must know, one sentence each.
        validation_source: the name of the dataset that `validation` comes from, None if it is this one.
    """

    source: str
    name: str
    splits: DatasetDict
    synthetic: bool
    may_be_passed_on: bool = False
    streams: dict[str, IterableDataset] | None = None
    notes: tuple[str, ...] = ()
    validation_source: str | None = None

    def keys(self, split: str) -> Keys:
        """The keys of the images and patients of a split; see `exposure.keys_of`."""
        name = self.validation_source if split == "validation" and self.validation_source else self.name
        return exposure.keys_of(self.splits[split], name, self.synthetic)


def open_dataset(source: str, settings: DataSettings, seen: Exposure | None = None) -> OpenDataset:
    """Open a dataset with the images, labels and validation that the settings ask for.

    `validation` is the first of these that exists: the images of this dataset that `seen` was validated on; the images
    that `validation_list` names, if the settings list this dataset; the dataset's own split; the cut of
    `sources.with_validation`.

    Args:
        source: see `sources.load`.
        settings: of the run.
        seen: the `Exposure` of a checkpoint, or None.

    Raises:
        FileNotFoundError, ValueError: as `sources.load` and `sources.with_validation`.
    """
    descriptor = registry.recognise(source)
    splits, streams = read_splits(source, descriptor, settings)
    info = next(iter(splits.values())).info
    if settings.views == "frontal":
        splits = sources.select_frontal(splits, registry.frontal_views(descriptor))
    synthetic = is_synthetic(descriptor, source, info)
    dataset = OpenDataset(
        source=source,
        name=descriptor.title(synthetic) or described_name(info) or public_name(source),
        splits=splits,
        synthetic=synthetic,
        may_be_passed_on=descriptor.may_be_passed_on,
        streams=streams,
    )
    return choose_validation(dataset, settings, seen) if "train" in splits else dataset


def read_splits(source: str, descriptor: Descriptor, settings: DataSettings) -> tuple[DatasetDict, dict | None]:
    """(splits, streams of their images or None), with all rows that the source has."""
    if settings.streaming:
        return sources.stream(source)
    num_proc = settings.num_proc or cores()
    return sources.load(source, settings.allow_missing, num_proc, settings.labeler, descriptor), None


def is_synthetic(descriptor: Descriptor, source: str, info: DatasetInfo) -> bool:
    """Whether the images of a folder or of a Hub repository were drawn."""
    folder = Path(source)
    marked = descriptor.is_synthetic(folder) if folder.is_dir() else has_hub_mark(source)
    return marked or descriptor.name is None and is_described_as_synthetic(info)


def distinct_names(datasets: Sequence[OpenDataset]) -> list[str]:
    """A different name for each of several datasets. No name shows where a folder is."""
    names = [dataset.name for dataset in datasets]
    folders = [public_name(dataset.source) for dataset in datasets]
    return number_repeats(
        [
            name if names.count(name) == 1 or name == folder else f"{name}, {folder}"
            for name, folder in zip(names, folders, strict=True)
        ]
    )


def choose_validation(dataset: OpenDataset, settings: DataSettings, seen: Exposure | None) -> OpenDataset:
    """The dataset with the validation that `open_dataset` describes.

    If the model was validated on a list, and nobody knows whether the list is of this dataset, there is no validation,
    and a note says so.
    """
    validated = seen.has_validated(dataset.keys("train")) if seen else np.zeros(0, bool)
    if validated.any():
        return replace(dataset, splits=sources.cut_validation(dataset.splits, validated))
    listed = None if seen else settings.validation_list
    if listed and place(dataset.source) not in map(place, settings.dataset or ()):
        if "validation" in dataset.splits:
            return dataset
        note = (
            f"No validation images: the model's own came from the list {place(listed).name}, and some of them may be "
            "in this dataset."
        )
        return replace(dataset, notes=(*dataset.notes, note))
    return replace(dataset, splits=sources.with_validation(dataset.splits, listed, settings.allow_missing))


def borrow_validation(dataset: OpenDataset, split: str, settings: DataSettings, seen: Exposure | None) -> OpenDataset:
    """The dataset with validation images of another dataset that the model was trained on.

    Patients of `split`, which is to be scored, are left out. If no such dataset can be read, the dataset comes back as
    it is.

    Args:
        settings, seen: of the checkpoint.
    """
    patients = set(dataset.keys(split).patients)
    for source in settings.dataset or ():
        if place(source) == place(dataset.source):
            continue
        try:
            home = open_dataset(source, settings, seen)
        except (OSError, ValueError) as error:
            print(f"No validation images from {source}: {error}")
            continue
        if "validation" not in home.splits or home.synthetic != dataset.synthetic:
            continue
        others = [row for row, patient in enumerate(home.keys("validation").patients) if patient not in patients]
        if others:
            splits = DatasetDict({**dataset.splits, "validation": home.splits["validation"].select(others)})
            return replace(dataset, splits=splits, validation_source=home.name)
    return dataset


def leave_out_seen(dataset: OpenDataset, split: str, seen: Exposure, leave_out: bool) -> OpenDataset:
    """The dataset without images that a model was trained on, or that show a patient it was trained on.

    Args:
        split: the one to look at. All images of validation may be left out; then there is no validation.
        seen: the `Exposure` of all models.
        leave_out: leave such images out, and say so in a note. Without it they are an error.

    Raises:
        ValueError: there are such images, and they are not to be left out; or no others are there to score.
    """
    mask = seen.has_seen(dataset.keys(split))
    if not mask.any():
        return dataset
    rows, count = dataset.splits[split], f"{mask.sum():,} of the {len(mask):,} images of {split}"
    what = "a model was trained on them or on other images of their patients"
    none_left = mask.all() and split != "validation"
    if none_left or not leave_out:
        raise ValueError(
            f"{count} in {dataset.source} must not be scored: {what} (for example {path_of(rows, mask)}). "
            + ("There are no other images." if none_left else "To score the others: --seen leave-out")
        )
    kept = {**dataset.splits, split: rows.select(np.flatnonzero(~mask))}
    kept = DatasetDict({name: rows for name, rows in kept.items() if len(rows)})
    return replace(dataset, splits=kept, notes=(*dataset.notes, f"{count} are left out: {what}."))


def say_validated(dataset: OpenDataset, split: str, seen: Exposure) -> OpenDataset:
    """The dataset, with a note if a model was chosen by some of the images to score."""
    mask = seen.has_validated(dataset.keys(split))
    if split == "validation" or not mask.any():
        return dataset
    note = f"A model was chosen by {mask.sum():,} of the {len(mask):,} images of {split}, its validation images."
    return replace(dataset, notes=(*dataset.notes, note))


def open_to_score(
    source: str,
    split: str,
    settings: DataSettings,
    models: Sequence[str | Path],
    rivals: Sequence[str | Path] = (),
    leave_out: bool = False,
) -> OpenDataset:
    """Open a dataset as the first of several checkpoints was trained on it, without images that any of them has seen.

    Args:
        source: a folder or a Hub id. split: what is to be scored.
        settings: of the first checkpoint, see `training.prediction_settings`.
        models: folders of the checkpoints. Their `images.parquet` says what they have seen.
        rivals: folders of other models, which are scored on the same images, but no threshold is fitted for them.
        leave_out: leave out images that a model has seen, and say so in a note. Otherwise they are refused.

    Returns:
        The dataset with `split`, and with `validation` where it has one or can borrow one.

    Raises:
        NoSplit: the dataset has no such split.
        ValueError: a model has seen images of the split, or of validation, and they are not to be left out.
    """
    first, everyone = exposure.read(models[0]), [*models, *rivals]
    dataset = open_dataset(source, settings, first)
    if split not in dataset.splits:
        raise NoSplit(f"{source} has no split {split}, only {', '.join(dataset.splits)}: give another --split")
    dataset = replace(dataset, notes=(*dataset.notes, *exposure.doubts(everyone)))
    if split == "train":  # a teacher predicts the training images
        dataset = replace(dataset, notes=(*dataset.notes, TRAINED_ON))
    elif seen := exposure.merge(map(exposure.read, everyone)):
        dataset = say_validated(leave_out_seen(dataset, split, seen, leave_out), split, seen)
    if "validation" not in dataset.splits:
        dataset = borrow_validation(dataset, split, settings, first)
    seen = exposure.merge(map(exposure.read, models))
    if seen and split != "validation" and "validation" in dataset.splits:
        dataset = leave_out_seen(dataset, "validation", seen, leave_out)
    return dataset


def refuse_leaks(datasets: Sequence[OpenDataset]) -> None:
    """Raise ValueError if an image or patient that one dataset trains on is in validation or test of another.

    For example, MichaelNoya's subset trains on images of NIH's official test list.
    """
    for one in datasets if len(datasets) > 1 else ():
        images, patients = map(set, one.keys("train"))
        for other in datasets:
            for split in held_out_splits(other) if other is not one else ():
                pairs = zip(*other.keys(split), strict=True)
                mask = np.array([image in images or patient in patients for image, patient in pairs], bool)
                if mask.any():
                    raise ValueError(
                        f"{path_of(other.splits[split], mask)}, or another image of its patient, is in train of "
                        f"{one.source} and in {split} of {other.source} ({mask.sum():,} such images): these two "
                        "cannot be trained on together"
                    )


def held_out_splits(dataset: OpenDataset) -> list[str]:
    """The splits that nothing may be learnt from."""
    return [split for split in ("validation", "test") if split in dataset.splits]


def held_out_images(datasets: Sequence[OpenDataset]) -> set[str]:
    """The keys of all images that nothing may be learnt from; see `exposure.keys_of`."""
    return {key for dataset in datasets for split in held_out_splits(dataset) for key in dataset.keys(split).images}


def refuse_seen(datasets: Sequence[OpenDataset], seen: Exposure | None, model: str) -> None:
    """Raise ValueError if the weights of `model`, with which a run begins, know images of validation or test."""
    if seen is None:
        return
    for dataset in datasets:
        for split in held_out_splits(dataset):
            mask = seen.has_seen(dataset.keys(split))
            if mask.any():
                way_out = ", or hold the same images out by --validation-list" if split == "validation" else ""
                path = path_of(dataset.splits[split], mask)
                raise ValueError(
                    f"{model} was trained on {path}, or on another image of its patient, which is in {split} of "
                    f"{dataset.source} ({mask.sum():,} such images): begin with other weights{way_out}"
                )


def path_of(rows: Dataset, mask: np.ndarray) -> str:
    """`image_file_path` of the first row that a mask chooses."""
    return rows.select_columns("image_file_path")[int(mask.argmax())]["image_file_path"]
