"""Which images a checkpoint has seen: `images.parquet` in its folder. It names patients, so it stays on the machine.

Columns: `dataset` (its name), `split` ("train" or "validation"), `image` and `patient`, the keys of `keys_of`. The
schema's metadata hold, under `digests`, what `Split.digest` gives for each split of each dataset, in the run's order.
"""

import json
import os
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from chestxray import sources

FILE = "images.parquet"
NIH_NAME = re.compile(r"\d{8}_\d{3}\.png")


class Keys(NamedTuple):
    """n strings each: the same image, or the same patient, has the same key in every dataset that holds it."""

    images: list
    patients: list


@dataclass(frozen=True)
class Exposure:
    """Keys of the images and patients trained on, of the images validated on, and the digests; see `digests_of`."""

    images: frozenset
    patients: frozenset
    validated: frozenset
    digests: list

    def has_seen(self, keys):
        """Which of n rows were trained on, or show a patient who was: (n,) bool. keys: `Keys` of the rows."""
        pairs = zip(keys.images, keys.patients, strict=True)
        return np.array([image in self.images or patient in self.patients for image, patient in pairs], bool)

    def has_validated(self, keys):
        """Which of n rows were validated on: (n,) bool."""
        return np.array([image in self.validated for image in keys.images], bool)


def keys_of(rows, name, synthetic):
    """The `Keys` of a split's rows.

    NIH's images and patients are known by NIH's file names in whatever dataset they lie, others by their path and by
    the name of their dataset; drawn ones are never taken for real ones.
    """
    paths, patients = list(rows["image_file_path"]), sources.patients(rows)
    names = [path.rpartition("/")[2] for path in paths]
    if all(NIH_NAME.fullmatch(name) for name in names):
        paths, name = names, "NIH"
        patients = [image[:8] for image in names]
    drawn = "synthetic " if synthetic else ""
    return Keys([f"{drawn}{path}" for path in paths], [f"{drawn}{name} {patient}" for patient in patients])


def write(openeds, digests, folder, base=None):
    """Write `images.parquet`.

    Args:
        openeds: the run's datasets, `opening.Opened`; digests: {split: digest} of each.
        base: the folder whose weights the run began with: what they have seen, the new ones have seen too.
    """
    parts = [
        pd.DataFrame({"dataset": opened.name, "split": split, **opened.keys(split)._asdict()})
        for opened in openeds
        for split in ("train", "validation")
    ]
    parts = [part.rename(columns={"images": "image", "patients": "patient"}) for part in parts]
    if base and (base / FILE).exists():
        parts.append(pd.read_parquet(base / FILE).query("split == 'train'"))
    table = pd.concat(parts, ignore_index=True)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, b"digests": json.dumps(digests).encode()})
    beside = folder / f"{FILE}.{os.getpid()}.writing"
    pq.write_table(arrow, beside)
    beside.replace(folder / FILE)


def read(folder):
    """The `Exposure` of a checkpoint, None where its folder does not tell. Raises ValueError for a damaged file."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        arrow = pq.read_table(path)
        digests = json.loads(arrow.schema.metadata[b"digests"])
        table = arrow.to_pandas()
        trained = table[table["split"] == "train"]
        validated = table["image"][table["split"] == "validation"]
        return Exposure(frozenset(trained["image"]), frozenset(trained["patient"]), frozenset(validated), digests)
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}. Delete it to go without it") from error


def merge(exposures):
    """What several checkpoints have seen together; validated on is what the first one was. None: nothing is known."""
    known = [exposure for exposure in exposures if exposure]
    if not known:
        return None
    images, patients = (frozenset().union(*(getattr(e, name) for e in known)) for name in ("images", "patients"))
    return Exposure(images, patients, known[0].validated, known[0].digests)


def same_data(ours, theirs):
    """Whether two {split: digest} tell of the same data: the same splits, each alike in all that both digests hold."""
    return (
        isinstance(theirs, dict)
        and ours.keys() == theirs.keys()
        and all(
            ours[split][what] == theirs[split][what]
            for split in ours
            for what in ours[split].keys() & theirs[split].keys()
        )
    )
