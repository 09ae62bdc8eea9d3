"""What the builders of CheXpert and MIMIC-CXR-JPG have in common: columns, splits, what a row may lack, reading JPEG.

Each of the two says which rows there are and where an image lies.
"""

import abc
import re
from collections.abc import Iterator
from typing import NamedTuple

import datasets

from chestxray.data.datasets_internals import FolderBuilder
from chestxray.data.nih import builder_file
from chestxray.data.observations import OBSERVATIONS, state_feature

logger = datasets.logging.get_logger(__name__)

SPLITS = (datasets.Split.TRAIN, datasets.Split.VALIDATION, datasets.Split.TEST)
SHARD_LENGTH = 100  # rows in one of the shards that `num_proc` divides
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


class Row(NamedTuple):
    """One image: its columns, and the states of its observations as one byte each, an index into `STATES`."""

    image_file_path: str
    patient_id: int
    study_id: int
    patient_age: int | None  # years
    patient_sex: int | None
    view_position: int | None
    states: bytes


class ObservationBuilder(FolderBuilder):
    """A builder of an archive whose tables give each image a state for each observation.

    Columns: `image_file_path` (the path inside the folder), `image` (the file's own bytes), `patient_id`, `study_id`,
    `patient_age` (years), `patient_sex` and `view_position` (None if the archive does not say), and one ClassLabel
    of `observations.STATES` for each of `OBSERVATIONS`.

    A subclass says what it is (`NAME`, `VIEWS` and the texts), gives `_rows`, and finds files in `_file`. Its config is
    a `FolderConfig`. With `allow_missing`, rows without an image or labels are skipped, and one warning counts them.
    """

    DEFAULT_WRITER_BATCH_SIZE = 32  # full-size images of 2 MB (439 GB / 223,648 in CheXpert): 64 MB in memory
    EXCUSED: tuple[str, ...] = ()  # what a row may lack without `allow_missing`

    def __init__(self, config_name=None, **kwargs):
        if not kwargs.get("data_dir"):
            raise ValueError(f"{self.NAME} may not be passed on: get it from {self.HOMEPAGE} and give data_dir=DIR")
        super().__init__(config_name, **kwargs)

    def _info(self):
        number, sex = datasets.Value("int32"), datasets.ClassLabel(names=builder_file.SEXES)
        features = {
            "image_file_path": datasets.Value("string"),
            "image": datasets.Image(),
            "patient_id": number,
            "study_id": number,
            "patient_age": number,
            "patient_sex": sex,
            "view_position": datasets.ClassLabel(names=list(self.VIEWS)),
            **{observation: state_feature() for observation in OBSERVATIONS},
        }
        synthetic = f"Synthetic archive in the layout of {self.NAME}; says nothing of radiographs."
        return datasets.DatasetInfo(
            description=synthetic if self._is_synthetic() else self.DESCRIPTION,
            features=datasets.Features(features),
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
            citation=self.CITATION,
        )

    def _split_generators(self, dl_manager):
        splits, lacking, seen, total = {}, {}, set(), 0
        for split, where, row, lack in self._rows():
            total += 1
            if lack:
                lacking.setdefault(lack, [where, 0])[1] += 1
            elif row.image_file_path in seen:
                raise ValueError(f"{where} comes a second time")
            else:
                seen.add(row.image_file_path)
                splits.setdefault(split, []).append(row)
        self._refuse_or_warn(lacking, total, bool(splits))
        ordered = [split for split in SPLITS if split in splits]
        return [datasets.SplitGenerator(split, {"shards": divide(splits[split])}) for split in ordered]

    def _refuse_or_warn(self, lacking, total, any_left):
        """Raise ValueError for rows that lack something, or count them in one warning if they may be skipped.

        lacking: {what rows lack: [the first row, how many]}.
        """
        if not total:
            raise ValueError(f"the tables in {self.config.data_dir} have no rows")
        for lack, (first, count) in lacking.items():
            if not any_left or not (self.config.allow_missing or lack in self.EXCUSED):
                raise ValueError(
                    f"{first} {lack}; the same holds for {count:,} of {total:,} rows. To skip such rows where "
                    "others remain: --allow-missing in the recipes, "
                    f"{type(self).__name__}(data_dir=…, allow_missing=True) in Python."
                )
        if lacking:
            counts = "; ".join(f"{count:,} like {first}, which {lack}" for lack, (first, count) in lacking.items())
            skipped = sum(count for _, count in lacking.values())
            logger.warning(f"{self.NAME}: skipped {skipped:,} of {total:,} rows: {counts}.")

    def _generate_examples(self, shards):
        for rows in shards:
            for row in rows:
                name, data = row.image_file_path, read_jpeg(self._file(row.image_file_path))
                columns = row._asdict()
                states = dict(zip(OBSERVATIONS, columns.pop("states"), strict=True))
                yield name, {**columns, "image": builder_file.image_of(name, data), **states}

    def _is_synthetic(self):
        return bool(builder_file.synthetic_marks(self.config.data_dir))

    @abc.abstractmethod
    def _rows(self) -> Iterator[tuple]:
        """(split, where, Row, None) for each row of the tables, or (split, where, None, what it lacks)."""

    @abc.abstractmethod
    def _file(self, image_file_path: str) -> str | None:
        """Where the image is on this disk; None if it is not there."""


def divide(rows: list[Row]) -> list[list[Row]]:
    """The rows in lists of SHARD_LENGTH, which `num_proc` divides among processes."""
    return [rows[start : start + SHARD_LENGTH] for start in range(0, len(rows), SHARD_LENGTH)]


# Paths and files


def refuse_outside(path: str) -> None:
    """Raise ValueError for a path that leads out of its folder."""
    if path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path) or re.match("[A-Za-z]:", path):
        raise ValueError(f"{path!r} leads outside the folder; refused")


def read_jpeg(path: str) -> bytes:
    """A JPEG file's bytes; ValueError if its beginning or its end is missing."""
    with open(path, "rb") as file:
        data = file.read()
    if not data.startswith(JPEG_START) or JPEG_END not in data[-64:]:  # padding may follow the end
        raise ValueError(f"{path} is damaged: {len(data):,} bytes that are no whole JPEG. Fetch it again.")
    return data
