"""One way to open a dataset for every script: the same rows, the same validation, the same care for leaks."""

from dataclasses import dataclass, replace

import numpy as np
from datasets import DatasetDict

from chestxray import exposure, pixels, sources, streaming


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
        dataset, streams = streaming.stream(source)
    else:
        num_proc = settings.num_proc or pixels.processes()
        dataset = sources.load(source, settings.allow_missing, num_proc, settings.labeler)
    if settings.views == "frontal":
        dataset = sources.frontal(dataset)
    opened = Opened(source, sources.name_of(dataset, source), dataset, sources.is_synthetic(dataset, source), streams)
    return replace(opened, splits=with_validation(opened, settings, seen)) if "train" in dataset else opened


def with_validation(opened, settings, seen):
    """The splits with the validation that `open_dataset` describes."""
    validated = seen.has_validated(opened.keys("train")) if seen else np.zeros(0, bool)
    if validated.any():
        return sources.cut_validation(opened.splits, validated)
    listed = settings.validation_list if opened.source in settings.dataset and not seen else None
    return sources.with_validation(opened.splits, listed, settings.allow_missing)


def borrow_validation(opened, split, settings, seen):
    """A dataset without validation images, with those of a dataset that the model was trained on, if one is at hand.

    Patients of `split`, which is to be scored, are left out. settings, seen: of the checkpoint. Where none is at hand
    the dataset comes back as it is.
    """
    patients = set(opened.keys(split).patients)
    reasons = []
    for source in settings.dataset:
        try:
            home = open_dataset(source, settings, seen)
        except (OSError, ValueError) as error:
            reasons.append(f"{source}: {error}")
            continue
        if "validation" not in home.splits or home.synthetic != opened.synthetic:
            continue
        others = [row for row, patient in enumerate(home.keys("validation").patients) if patient not in patients]
        if others:
            splits = DatasetDict({**opened.splits, "validation": home.splits["validation"].select(others)})
            return replace(opened, splits=splits, validation_source=home.name)
    for reason in reasons:
        print(f"No validation images from {reason}")
    return opened


def leave_out_seen(opened, split, seen, leave_out):
    """The dataset without images that the model was trained on, or that show a patient it was trained on.

    Args:
        split: the one to look at.
        seen: `Exposure` of all models, None where no checkpoint tells, which a note then says.
        leave_out: leave such images out, and say so in a note. Otherwise they are refused.

    Raises:
        ValueError: there are such images, and they are not to be left out; or none would be left to score. Of
            validation all may go: there is none then.
    """
    if seen is None:
        note = "Which images the model was trained on is not known: its folder has no images.parquet."
        return replace(opened, notes=(*opened.notes, note))
    mask = seen.has_seen(opened.keys(split))
    if not mask.any():
        return opened
    rows, count = opened.splits[split], f"{mask.sum():,} of the {len(mask):,} images of {split}"
    first = rows.select_columns("image_file_path")[int(mask.argmax())]["image_file_path"]
    what = "the model was trained on them or on other images of their patients"
    none_left = mask.all() and split != "validation"
    if none_left or not leave_out:
        raise ValueError(
            f"{count} in {opened.source} must not be scored: {what} ({first}, for one). "
            + ("No others are there." if none_left else "To score the others: --seen leave-out")
        )
    kept = {**opened.splits, split: rows.select(np.flatnonzero(~mask))}
    kept = DatasetDict({name: rows for name, rows in kept.items() if len(rows)})
    return replace(opened, splits=kept, notes=(*opened.notes, f"{count} are left out: {what}."))


def refuse_leaks(openeds):
    """Raise ValueError where an image or patient that one dataset trains on is in validation or test of another.

    MichaelNoya's subset, for one, trains on images of NIH's official test list.
    """
    for one in openeds:
        images, patients = map(set, one.keys("train"))
        for other in openeds:
            for split in held_out(other) if other is not one else ():
                pairs = enumerate(zip(*other.keys(split), strict=True))
                if shared := [row for row, (image, patient) in pairs if image in images or patient in patients]:
                    path = other.splits[split].select_columns("image_file_path")[shared[0]]["image_file_path"]
                    raise ValueError(
                        f"{path}, or another image of its patient, is in train of {one.source} and in {split} of "
                        f"{other.source} ({len(shared):,} such images): these two cannot be trained on together"
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
                path = opened.splits[split].select_columns("image_file_path")[int(mask.argmax())]["image_file_path"]
                raise ValueError(
                    f"{model} was trained on {path}, or on another image of its patient, which is in {split} of "
                    f"{opened.source} ({mask.sum():,} such images): begin with other weights, or hold the same images "
                    "out by --validation-list"
                )
