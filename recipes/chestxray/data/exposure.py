"""Which images a checkpoint has seen: `images.parquet` in its folder. It names patients, so it stays on the machine.

Columns: `dataset` (its name), `split` ("train" or "validation"), `image` and `patient`, the keys of `keys_of`. The
schema's metadata hold `digests` and `complete`. `digests` is what `Split.digests` gives for each split of each dataset,
in the run's order. `complete` is true if it is known what the weights had seen before the run began.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from chestxray.data import sources
from chestxray.data.datasets_internals import column

FILE = "images.parquet"
NIH_NAME = re.compile(r"\d{8}_\d{3}\.png")


class Keys(NamedTuple):
    """n strings each: the same image, or the same patient, has the same key in every dataset that holds it."""

    images: list[str]
    patients: list[str]


class KeyedDataset(Protocol):
    """What `write` needs of a dataset, as `opening.OpenDataset` has it."""

    @property
    def name(self) -> str: ...

    def keys(self, split: str) -> Keys: ...


@dataclass(frozen=True)
class Exposure:
    """What a checkpoint has seen.

    Attributes:
        images, patients: keys of what it was trained on.
        validated: keys of the images it was validated on.
        digests, complete: see above.
    """

    images: frozenset[str]
    patients: frozenset[str]
    validated: frozenset[str]
    digests: list[dict]
    complete: bool

    def has_seen(self, keys: Keys) -> np.ndarray:
        """Which of n rows were trained on, or show a patient of the training: (n,) bool. keys: `Keys` of the rows."""
        pairs = zip(keys.images, keys.patients, strict=True)
        return np.array([image in self.images or patient in self.patients for image, patient in pairs], bool)

    def has_validated(self, keys: Keys) -> np.ndarray:
        """Which of n rows were validated on: (n,) bool."""
        return np.array([image in self.validated for image in keys.images], bool)


def keys_of(rows: Dataset, name: str, synthetic: bool) -> Keys:
    """The `Keys` of a split's rows.

    The keys of NIH's images and patients come from NIH's file names, in every dataset that holds them. The key of
    another image is its path and the name of its dataset. The key of another patient is the number and this name. The
    keys of drawn images begin with a word of their own, so they never match real ones.
    """
    keys, drawn = Keys([], []), "synthetic " if synthetic else ""
    for path, patient in zip(column(rows, "image_file_path").to_pylist(), sources.patients(rows), strict=True):
        image = path.rpartition("/")[2]
        of_nih = bool(NIH_NAME.fullmatch(image))
        keys.images.append(f"{drawn}{image}" if of_nih else f"{drawn}{name} {path}")
        keys.patients.append(f"{drawn}NIH {image[:8]}" if of_nih else f"{drawn}{name} {patient}")
    return keys


def write(datasets: Sequence[KeyedDataset], digests: Sequence[dict], folder: Path, base: Path | None = None) -> None:
    """Write `images.parquet` into a folder that is not in its place yet.

    Args:
        datasets: the run's; digests: {split: digest} of each.
        base: the folder whose weights the run began with. The new weights have also seen what these had seen.
    """
    parts = [
        pd.DataFrame({"dataset": dataset.name, "split": split, **dataset.keys(split)._asdict()})
        for dataset in datasets
        for split in ("train", "validation")
    ]
    parts = [part.rename(columns={"images": "image", "patients": "patient"}) for part in parts]
    complete, before = True, read(base) if base else None
    if base and before:
        parts.append(pd.read_parquet(base / FILE).query("split == 'train'"))
        complete = before.complete
    elif base and (base / "settings.yaml").exists():  # a run of an older version, or a copy without its images
        complete = False
    arrow = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
    facts = {b"digests": json.dumps(digests).encode(), b"complete": json.dumps(complete).encode()}
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, **facts})
    pq.write_table(arrow, folder / FILE, write_page_checksum=True)


def read(folder: str | Path) -> Exposure | None:
    """The `Exposure` of a checkpoint, None if its folder has no such file. Raises ValueError for a damaged file."""
    path = Path(folder) / FILE
    if not path.exists():
        return None
    try:
        arrow = pq.read_table(path, page_checksum_verification=True)
        digests, complete = (json.loads(arrow.schema.metadata[name]) for name in (b"digests", b"complete"))
        table = arrow.to_pandas()
        trained = table[table["split"] == "train"]
        validated = table["image"][table["split"] == "validation"]
        images, patients = frozenset(trained["image"]), frozenset(trained["patient"])
        return Exposure(images, patients, frozenset(validated), digests, complete)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is damaged: {reason}. Delete it to go without it") from error


def merge(exposures: Iterable[Exposure | None]) -> Exposure | None:
    """What several checkpoints have seen together; None if nothing is known about any of them."""
    known = [exposure for exposure in exposures if exposure]
    if not known:
        return None
    images, patients, validated = (
        frozenset().union(*(getattr(exposure, name) for exposure in known))
        for name in ("images", "patients", "validated")
    )
    return Exposure(images, patients, validated, known[0].digests, all(exposure.complete for exposure in known))


def doubts(checkpoints: Iterable[str | Path]) -> list[str]:
    """A sentence for each checkpoint, if it is not known or only partly known what it has seen."""
    notes = []
    for checkpoint in checkpoints:
        seen, name = read(checkpoint), Path(checkpoint).name
        if seen is None:
            notes.append(f"It is not known which images {name} was trained on: its folder has no {FILE}.")
        elif not seen.complete:
            notes.append(
                f"It is not known which images the first weights of {name} had seen: their folder had no {FILE}."
            )
    return notes


def is_checked(ours: Mapping[str, dict], theirs: Mapping[str, dict]) -> bool:
    """Whether two {split: digest} compare the images. They do not if only one of the two runs used the cache."""
    return all(set(ours[split]) & set(theirs.get(split, {})) - {"rows"} or len(ours[split]) == 1 for split in ours)


def same_data(ours: Mapping[str, dict], theirs: object) -> bool:
    """Whether two {split: digest} are of the same data: the same splits, and the same digests where both have one."""
    return (
        isinstance(theirs, dict)
        and ours.keys() == theirs.keys()
        and all(
            ours[split][what] == theirs[split][what]
            for split in ours
            for what in ours[split].keys() & theirs[split].keys()
        )
    )
