"""CheXpert: chest X-rays of Stanford Hospital with 14 observations, read from the folder its owner hands out.

    builder = CheXpert(data_dir=DIR)
    builder.download_and_prepare(num_proc=8)
    dataset = builder.as_dataset()

DIR holds `train.csv` and `valid.csv`, of v1.0 or v1.0-small, or holds the folder that does; so do the four unzipped
batches of the full download, side by side. Files: https://stanfordaimi.azurewebsites.net (licence: no redistribution).

The reading of such tables is here as well, in `ObservationBuilder`, and MIMIC-CXR-JPG's builder is its other user.
"""

import csv
import gzip
import hashlib
import importlib
import inspect
import os
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import datasets

from chestxray.observations import CELLS, OBSERVATIONS, state

nih = importlib.import_module("NIH-Chest-X-ray-dataset")
logger = datasets.logging.get_logger(__name__)

SPLITS = (datasets.Split.TRAIN, datasets.Split.VALIDATION, datasets.Split.TEST)
SHARD_LENGTH = 100  # rows in one of the shards that `num_proc` divides
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


# Any archive of images with observations


class Row(NamedTuple):
    """One image: its columns as they are written, but for the states of its observations, which are one byte each."""

    image_file_path: str
    patient_id: int
    study_id: int
    patient_age: int | None  # years
    patient_sex: int | None
    view_position: int | None
    states: bytes


@dataclass
class ObservationConfig(datasets.BuilderConfig):
    """allow_missing: skip, and count in one warning, rows without an image or labels."""

    allow_missing: bool = False

    def create_config_id(self, config_kwargs, *args, **kwargs):
        # `datasets` keys its cache by the folder's path; a table or an image that has changed since must not be stale.
        if self.data_dir:
            config_kwargs = {**config_kwargs, "contents": nih.fingerprint(self.data_dir)}
        return super().create_config_id(config_kwargs, *args, **kwargs)


class ObservationBuilder(datasets.GeneratorBasedBuilder):
    """An archive whose tables give each image a state per observation; the columns are

    `image_file_path` (the path inside the folder), `image` (the file's own bytes), `patient_id`, `study_id`,
    `patient_age` (years), `patient_sex` and `view_position` (None where the archive does not say), and one
    ClassLabel of `observations.STATES` for each of `OBSERVATIONS`.

    A subclass says what it is (`NAME`, `VIEWS` and the texts), gives `_rows` and finds files in `_file`.
    """

    BUILDER_CONFIG_CLASS = ObservationConfig
    DEFAULT_WRITER_BATCH_SIZE = 32  # full-size images of 2 MB (439 GB / 223,648 in CheXpert): 64 MB in memory
    EXCUSED = ()  # what a row may lack without `allow_missing`

    def __init__(self, config_name=None, **kwargs):
        if not kwargs.get("data_dir"):
            raise ValueError(f"{self.NAME} may not be handed on: get it from {self.HOMEPAGE} and give data_dir=DIR")
        # Neither a changed builder nor an older `datasets` may be served a cache that it cannot read.
        kwargs["hash"] = kwargs.get("hash") or f"{digest_code(type(self))}-{nih.DATASETS_RELEASE}"
        super().__init__(config_name=config_name, **kwargs)

    def _info(self):
        number, sex = datasets.Value("int32"), datasets.ClassLabel(names=nih.SEXES)
        features = {
            "image_file_path": datasets.Value("string"),
            "image": datasets.Image(),
            "patient_id": number,
            "study_id": number,
            "patient_age": number,
            "patient_sex": sex,
            "view_position": datasets.ClassLabel(names=list(self.VIEWS)),
            **{observation: state() for observation in OBSERVATIONS},
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
        self._answer_for(lacking, total, bool(splits))
        ordered = [split for split in SPLITS if split in splits]
        return [datasets.SplitGenerator(split, {"shards": cut(splits[split])}) for split in ordered]

    def _answer_for(self, lacking, total, any_left):
        """Raise for what rows lack, {lack: [the first, how many]}, or count it in one warning where that is allowed."""
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
                yield name, {**columns, "image": {"path": name, "bytes": data}, **states}

    def _prepare_split_single(self, *args, **kwargs):
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except datasets.builder.DatasetGenerationError as error:
            # `datasets` says "An error occurred while generating the dataset"; its cause says what and where.
            raise error.__cause__ or error  # noqa: B904

    def _is_synthetic(self):
        return os.path.isfile(os.path.join(self.config.data_dir, nih.SYNTHETIC_MARK))

    def _rows(self):
        """(split, where, Row, None) for each row of the tables, or (split, where, None, what it lacks)."""
        raise NotImplementedError

    def _file(self, image_file_path):
        """Where the image lies on this disk; None if nowhere."""
        raise NotImplementedError


def cut(rows):
    """What `num_proc` divides: the rows in lists of SHARD_LENGTH."""
    return [rows[start : start + SHARD_LENGTH] for start in range(0, len(rows), SHARD_LENGTH)]


def digest_code(builder):
    """SHA-256 over the files that define a builder and those it inherits from in this library."""
    files = sorted({inspect.getfile(kind) for kind in builder.__mro__ if kind.__module__.startswith("chestxray.")})
    return hashlib.sha256("".join(nih.digest(file, "sha256") for file in files).encode()).hexdigest()


# Reading tables


def read_rows(path, columns, others=()):
    """(line number, {column: cell}) for each row of a CSV file, gzipped or not.

    Args:
        columns: what it must have.
        others: what it may have besides; None for anything.

    Raises ValueError, naming file and column or line, where the header is otherwise, a row has another length than
    the header, or the file is cut short.
    """
    name, opened = os.path.basename(path), gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        try:
            check_header(name, table.fieldnames or [], columns, others)
            for cells in table:
                if None in cells or None in cells.values():
                    raise ValueError(
                        f"{name}, line {table.line_num}: not the {len(table.fieldnames)} cells of its header"
                    )
                yield table.line_num, cells
        except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{name} is damaged after line {table.line_num}: {error}. Fetch it again.") from error


def check_header(name, header, columns, others):
    if missing := [column for column in columns if column not in header]:
        raise ValueError(f"{name} has no column {missing[0]!r}; it has {', '.join(header)}")
    if others is not None and (unknown := [column for column in header if column not in (*columns, *others)]):
        raise ValueError(f"{name} has an unknown column {unknown[0]!r}; known are {', '.join((*columns, *others))}")


@contextmanager
def at_line(path, line):
    """Put file and line before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.path.basename(path)}, line {line}: {error}") from None


def read_states(cells, columns=OBSERVATIONS):
    """The states of the observations in these columns, one byte each, an index into `observations.STATES`."""
    try:
        return bytes(CELLS[cells[column].strip()] for column in columns)
    except KeyError:
        column = next(column for column in columns if cells[column].strip() not in CELLS)
        raise ValueError(f"{column} is {cells[column]!r}; known are 1.0, 0.0, -1.0 and blank") from None


def refuse_outside(path):
    """Raise ValueError for a path that is not below the folder it is read against."""
    if path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path) or re.match("[A-Za-z]:", path):
        raise ValueError(f"{path!r} leads outside the folder; refused")


def read_jpeg(path):
    """A JPEG file's bytes; ValueError where its beginning or its end is missing."""
    with open(path, "rb") as file:
        data = file.read()
    if not data.startswith(JPEG_START) or JPEG_END not in data[-64:]:  # padding may follow the end
        raise ValueError(f"{path} is damaged: {len(data):,} bytes that are no whole JPEG. Fetch it again.")
    return data


# CheXpert

VIEWS = ("PA", "AP", "LL", "RL", "LATERAL", "FRONTAL")  # the last two where the table has no finer word
SEXES = {"Female": nih.SEXES.index("F"), "Male": nih.SEXES.index("M"), "Unknown": None, "": None}
PATIENT_COLUMNS = ("Path", "Study", "Sex", "Age", "Frontal/Lateral", "AP/PA")  # none of which every table has
TABLES = {  # the names under which each split's labels are handed out, the finer form first
    datasets.Split.TRAIN: ("train.csv",),
    datasets.Split.VALIDATION: ("valid.csv", "val_labels.csv"),
    datasets.Split.TEST: ("test_labels.csv", "test.csv", "groundtruth.csv"),
}
ALL_TABLES = [name for names in TABLES.values() for name in names]
RELEASES = ("CheXpert-v1.0", "CheXpert-v1.0-small")
FOLDERS = {  # where the patients of train/, valid/ and test/ lie
    "train": ("train", *(f"CheXpert-v1.0 batch {number + 1} (train {number})" for number in (1, 2, 3))),
    "valid": ("valid", "val"),
    "test": ("test",),
}
PATH = re.compile(
    r"(?:[^/]+/)*(train|valid|val|test)/(patient(\d+)/study(\d+))(?:/(view\d+_(?:frontal|lateral)\.jpg))?"
)


class CheXpert(ObservationBuilder):
    """`CheXpert(data_dir=DIR, allow_missing=False)`: the splits that DIR has tables for; see `ObservationBuilder`.

    223,414 training images of 64,540 patients, labelled by machine in four states; 234 for validation (200 studies,
    three radiologists) and 668 for test (500 studies, five radiologists), 0 or 1. `study_id` counts within a
    patient. 17 training images have LL or RL for a view although `Frontal/Lateral` calls them frontal.

    The test labels come in two forms: `test_labels.csv` (or `test.csv`) with a row per image, as in CheXlocalize, and
    `groundtruth.csv` with a row per study (rajpurkarlab/cheXpert-test-set-labels, a930205), which then holds for
    every image in the study's folder. Neither has sex or age; the view is in the file's name.

    Raises:
        FileNotFoundError: there is no table, or images of a split without its table.
        ValueError: a column, cell, path or JPEG that cannot be; an image that a table names and the folder lacks,
            unless `allow_missing`. The message names file and line.
    """

    NAME = "CheXpert"
    VIEWS = VIEWS
    DESCRIPTION = (
        "CheXpert: 224,316 chest X-rays of 65,240 patients, labelled with 14 observations, the training images by "
        "machine from the reports, with uncertainty, validation and test by radiologists."
    )
    HOMEPAGE = "https://stanfordmlgroup.github.io/competitions/chexpert/"
    LICENSE = "Stanford University Dataset Research Use Agreement: research only, no redistribution."
    CITATION = """\
@inproceedings{Irvin_2019,
  title     = {{CheXpert}: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison},
  author    = {Irvin, Jeremy and Rajpurkar, Pranav and Ko, Michael and Yu, Yifan and Ciurea-Ilcus, Silviana and
               others},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {33},
  year      = {2019},
  doi       = {10.1609/aaai.v33i01.3301590}
}
"""

    def __init__(self, config_name=None, **kwargs):
        if kwargs.get("data_dir"):
            kwargs["data_dir"] = find_release(kwargs["data_dir"])
        super().__init__(config_name, **kwargs)

    def _rows(self):
        tables, folders = find_tables(self.config.data_dir), self._folders
        if not tables:
            raise FileNotFoundError(
                f"None of {', '.join(ALL_TABLES)} is in {self.config.data_dir}. Get them: {self.HOMEPAGE}"
            )
        for split, word in zip(TABLES, FOLDERS, strict=True):
            if split in tables:
                yield from self._split_rows(split, tables[split])
            elif folders[word]:
                names = " or ".join(TABLES[split])
                raise FileNotFoundError(f"{folders[word][0]} has no labels: {names} is not in {self.config.data_dir}")

    def _split_rows(self, split, table):
        file, lack = os.path.basename(table), f"has no image in {self.config.data_dir}"
        for line, cells in read_rows(table, OBSERVATIONS, PATIENT_COLUMNS):
            with at_line(table, line):
                path, folder, patient, study, view = read_path(cells)
                age, sex, states = read_age(cells), read_sex(cells), read_states(cells)
                views = [view] if view else self._views(folder)
                rows = [
                    Row(f"{folder}/{view}", patient, study, age, sex, read_view(cells, view), states) for view in views
                ]
            where = f"{file}, line {line}: {path}"
            for row in rows:
                yield split, where, row, None if self._file(row.image_file_path) else lack
            if not rows:
                yield split, where, None, lack

    @cached_property
    def _folders(self):
        """{first part of `image_file_path`: folders on this disk that it stands for}"""
        roots = find_roots(self.config.data_dir)
        places = {
            word: [os.path.join(root, name) for root in roots for name in names] for word, names in FOLDERS.items()
        }
        return {word: [folder for folder in found if os.path.isdir(folder)] for word, found in places.items()}

    def _file(self, image_file_path):
        word, _, rest = image_file_path.partition("/")
        files = (os.path.join(folder, rest) for folder in self._folders[word])
        return next((file for file in files if os.path.isfile(file)), None)

    def _views(self, folder):
        """The file names of a study's images: what lies in its folder, `test/patient64741/study1`."""
        word, _, rest = folder.partition("/")
        studies = [os.path.join(place, rest) for place in self._folders[word]]
        return sorted(name for study in studies if os.path.isdir(study) for name in os.listdir(study) if is_view(name))


def is_chexpert(folder):
    """Whether a folder holds CheXpert's tables, or the folder of the release that does; reads headers alone."""
    tables = find_tables(folder).values() if os.path.isdir(folder) else ()
    return any(is_header(table) for table in tables)


def is_header(table):
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline().strip().split(",")
    return header[0] in ("Path", "Study") and not set(header).isdisjoint(OBSERVATIONS)


def find_release(folder):
    """The one release in a folder that has no tables itself, the folder else; what lies beside it is none of ours."""
    inside = [name for name in RELEASES if os.path.isdir(os.path.join(folder, name))]
    tables = [name for name in ALL_TABLES if os.path.isfile(os.path.join(folder, name))]
    return os.path.join(folder, inside[0]) if len(inside) == 1 and not tables else folder


def find_roots(folder):
    """The folder and what lies in it unzipped: a release, or the batches of the full download."""
    inside = [name for name in sorted(os.listdir(folder)) if os.path.isdir(os.path.join(folder, name))]
    releases = [name for name in inside if name in RELEASES]
    if len(releases) > 1:
        raise ValueError(f"{folder} holds {' and '.join(releases)}: give the path of one of them")
    batches = [name for name in inside if name.startswith("CheXpert-v1.0 batch")]
    return [str(folder), *(os.path.join(folder, name) for name in releases + batches)]


def find_tables(folder):
    """{split: path of the table of its labels}, for those splits that have one."""
    tables = {}
    for split, names in TABLES.items():
        paths = [os.path.join(root, name) for name in names for root in find_roots(folder)]
        if present := [path for path in paths if os.path.isfile(path)]:
            tables[split] = present[0]
    return tables


def read_path(cells):
    """A row's path, the folder of its study as in `image_file_path`, patient, study, and file name or None."""
    path = (cells.get("Path") or cells.get("Study") or "").strip()
    refuse_outside(path)
    if not (parts := PATH.fullmatch(path)):
        raise ValueError(f"path {path!r}, expected like CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg")
    word, study, patient, number, view = parts.groups()
    word = "valid" if word == "val" else word
    return path, f"{word}/{study}", int(patient), int(number), view


def read_age(cells):
    """Years, or None where the table has none; newborns are 0."""
    cell = cells.get("Age", "").strip()
    return int(cell) if cell else None


def read_sex(cells):
    cell = cells.get("Sex", "").strip()
    if cell not in SEXES:
        raise ValueError(f"unknown sex {cell!r}; known are {', '.join(filter(None, SEXES))}")
    return SEXES[cell]


def read_view(cells, view):
    """The index in VIEWS: the column `AP/PA`, else `Frontal/Lateral`, else the file name."""
    side = cells.get("Frontal/Lateral", "").strip() or view.rpartition("_")[2].removesuffix(".jpg")
    cell = cells.get("AP/PA", "").strip() or side.upper()
    return nih.index(VIEWS, cell, "view position")


def is_view(name):
    return re.fullmatch(r"view\d+_(frontal|lateral)\.jpg", name) is not None
