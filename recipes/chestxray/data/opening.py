"""One way to open a dataset for every script: the same rows, the same validation, the same care for leaks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from datasets import DatasetDict

from chestxray.data import exposure, sources
from chestxray.machine import cores
from chestxray.places import place

if TYPE_CHECKING:
    from chestxray.training.settings import Settings

TRAINED_ON = "These images are of the split train: a model that was trained on them scores too well on them."


class NoSplit(ValueError):
    """A dataset lacks the split that is to be scored."""


@dataclass(frozen=True)
class Opened:
    """One dataset as the settings of a run have it.

    Attributes:
        source: the folder or Hub id; name: what to call it.
        splits: a DatasetDict with `validation` cut from `train`.
        synthetic: whether the images are drawn.
        streams: {split: IterableDataset} of the images, None where they are in `splits`.
        notes: what a reader of its scores must know, one sentence each.
        validation_source: the name of the dataset that `validation` comes from, None where it is this one.
    """

    source: str
    name: str
    splits: DatasetDict
    synthetic: bool
    streams: dict | None = None
    notes: tuple = ()
    validation_source: str | None = None

    def keys(self, split):
        """What the images and patients of a split are known by; see `exposure.keys_of`."""
        name = self.validation_source if split == "validation" and self.validation_source else self.name
        return exposure.keys_of(self.splits[split], name, self.synthetic)


def open_dataset(source, settings, seen=None):
    """Open a dataset with the images, labels and validation that the settings ask for.

    Validation is what a checkpoint was validated on, where `seen` tells of images of this dataset; else those of
    `validation_list`, if the settings list this dataset; else the dataset's own split, or the cut of
    `sources.with_validation`.

    Args:
        source: see `sources.load`.
        settings: a `Settings`: `streaming`, `views`, `labeler`, `allow_missing`, `num_proc`, `dataset`,
            `validation_list`.
        seen: the `Exposure` of a checkpoint, or None.

    Raises:
        FileNotFoundError, ValueError: as `sources.load` and `sources.with_validation`.
    """
    streams = None
    if settings.streaming:
        dataset, streams = sources.stream(source)
    else:
        num_proc = settings.num_proc or cores()
        dataset = sources.load(source, settings.allow_missing, num_proc, settings.labeler)
    if settings.views == "frontal":
        dataset = sources.frontal(dataset)
    opened = Opened(source, sources.name_of(dataset, source), dataset, sources.is_synthetic(dataset, source), streams)
    return with_validation(opened, settings, seen) if "train" in dataset else opened


def with_validation(opened, settings, seen):
    """The dataset with the validation that `open_dataset` describes.

    Where only a list told it, and nobody can say whether the list is of this dataset, there is none, and a note.
    """
    validated = seen.has_validated(opened.keys("train")) if seen else np.zeros(0, bool)
    if validated.any():
        return replace(opened, splits=sources.cut_validation(opened.splits, validated))
    listed = None if seen else settings.validation_list
    if listed and place(opened.source) not in map(place, settings.dataset):
        if "validation" in opened.splits:
            return opened
        note = f"No validation images: the model had those of a list, {place(listed).name}, perhaps of this dataset."
        return replace(opened, notes=(*opened.notes, note))
    return replace(opened, splits=sources.with_validation(opened.splits, listed, settings.allow_missing))


def borrow_validation(opened, split, settings, seen):
    """A dataset without validation images, with those of a dataset that the model was trained on, if one is at hand.

    Patients of `split`, which is to be scored, are left out. settings, seen: of the checkpoint. Where none is at hand
    the dataset comes back as it is.
    """
    patients = set(opened.keys(split).patients)
    for source in settings.dataset:
        if place(source) == place(opened.source):
            continue
        try:
            home = open_dataset(source, settings, seen)
        except (OSError, ValueError) as error:
            print(f"No validation images from {source}: {error}")
            continue
        if "validation" not in home.splits or home.synthetic != opened.synthetic:
            continue
        others = [row for row, patient in enumerate(home.keys("validation").patients) if patient not in patients]
        if others:
            splits = DatasetDict({**opened.splits, "validation": home.splits["validation"].select(others)})
            return replace(opened, splits=splits, validation_source=home.name)
    return opened


def leave_out_seen(opened, split, seen, leave_out):
    """The dataset without images that a model was trained on, or that show a patient it was trained on.

    Args:
        split: the one to look at. Of validation all may be left out, so that there is none.
        seen: the `Exposure` of all models.
        leave_out: leave such images out, and say so in a note. Otherwise they are refused.

    Raises:
        ValueError: there are such images, and they are not to be left out; or no others are there to score.
    """
    mask = seen.has_seen(opened.keys(split))
    if not mask.any():
        return opened
    rows, count = opened.splits[split], f"{mask.sum():,} of the {len(mask):,} images of {split}"
    what = "a model was trained on them or on other images of their patients"
    none_left = mask.all() and split != "validation"
    if none_left or not leave_out:
        raise ValueError(
            f"{count} in {opened.source} must not be scored: {what} ({path_of(rows, mask)}, for one). "
            + ("No others are there." if none_left else "To score the others: --seen leave-out")
        )
    kept = {**opened.splits, split: rows.select(np.flatnonzero(~mask))}
    kept = DatasetDict({name: rows for name, rows in kept.items() if len(rows)})
    return replace(opened, splits=kept, notes=(*opened.notes, f"{count} are left out: {what}."))


def say_validated(opened, split, seen):
    """The dataset with a note where images to score are among those by which a model was chosen."""
    mask = seen.has_validated(opened.keys(split))
    if split == "validation" or not mask.any():
        return opened
    note = f"A model was chosen by {mask.sum():,} of the {len(mask):,} images of {split}, its validation images."
    return replace(opened, notes=(*opened.notes, note))


def open_to_score(
    source: str,
    split: str,
    settings: "Settings",
    models: Sequence[str | Path],
    rivals: Sequence[str | Path] = (),
    leave_out: bool = False,
) -> Opened:
    """Open a dataset as the first of several checkpoints was trained on it, without images that any of them has seen.

    Args:
        source: a folder or a Hub id. split: what is to be scored.
        settings: of the first checkpoint, see `training.prediction_settings`.
        models: folders of the checkpoints, of which `images.parquet` tells what they have seen.
        rivals: folders of other models, which are scored on the same images, but no threshold is fitted for them.
        leave_out: leave out images that a model has seen, and say so in a note. Otherwise they are refused.

    Returns:
        The dataset with `split`, and with `validation` where it has one or can borrow one.

    Raises:
        NoSplit: the dataset has no such split.
        ValueError: a model has seen images of the split, or of validation, and they are not to be left out.
    """
    first, everyone = exposure.read(models[0]), [*models, *rivals]
    opened = open_dataset(source, settings, first)
    if split not in opened.splits:
        raise NoSplit(f"{source} has no split {split}, only {', '.join(opened.splits)}: give another --split")
    opened = replace(opened, notes=(*opened.notes, *exposure.doubts(everyone)))
    if split == "train":  # predictions of a teacher are made so
        opened = replace(opened, notes=(*opened.notes, TRAINED_ON))
    elif seen := exposure.merge(map(exposure.read, everyone)):
        opened = say_validated(leave_out_seen(opened, split, seen, leave_out), split, seen)
    if "validation" not in opened.splits:
        opened = borrow_validation(opened, split, settings, first)
    seen = exposure.merge(map(exposure.read, models))
    if seen and split != "validation" and "validation" in opened.splits:
        opened = leave_out_seen(opened, "validation", seen, leave_out)
    return opened


def refuse_leaks(openeds):
    """Raise ValueError where an image or patient that one dataset trains on is in validation or test of another.

    MichaelNoya's subset, for one, trains on images of NIH's official test list.
    """
    for one in openeds:
        images, patients = map(set, one.keys("train"))
        for other in openeds:
            for split in held_out(other) if other is not one else ():
                pairs = zip(*other.keys(split), strict=True)
                mask = np.array([image in images or patient in patients for image, patient in pairs], bool)
                if mask.any():
                    raise ValueError(
                        f"{path_of(other.splits[split], mask)}, or another image of its patient, is in train of "
                        f"{one.source} and in {split} of {other.source} ({mask.sum():,} such images): these two "
                        "cannot be trained on together"
                    )


def held_out(opened):
    """The splits that nothing may be learnt from."""
    return [split for split in ("validation", "test") if split in opened.splits]


def refuse_seen(openeds, seen, model):
    """Raise ValueError where the weights of `model`, with which a run begins, know images of validation or test."""
    for opened in openeds if seen else ():
        for split in held_out(opened):
            mask = seen.has_seen(opened.keys(split))
            if mask.any():
                way_out = ", or hold the same images out by --validation-list" if split == "validation" else ""
                path = path_of(opened.splits[split], mask)
                raise ValueError(
                    f"{model} was trained on {path}, or on another image of its patient, which is in {split} of "
                    f"{opened.source} ({mask.sum():,} such images): begin with other weights{way_out}"
                )


def path_of(rows, mask):
    """`image_file_path` of the first row that a mask chooses."""
    return rows.select_columns("image_file_path")[int(mask.argmax())]["image_file_path"]
