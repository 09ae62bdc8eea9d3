"""CheXpert: chest X-rays of Stanford Hospital with 14 observations, read from the folder that its owner hands out.

    builder = CheXpert(data_dir=DIR)
    builder.download_and_prepare(num_proc=8)
    dataset = builder.as_dataset()

DIR holds `train.csv` and `valid.csv` of v1.0 or v1.0-small, or the folder with these files. The four unzipped batches
of the full download, side by side, will do as well. Files: https://stanfordaimi.azurewebsites.net (licence: no
redistribution).
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import datasets

from chestxray.data.csv_tables import at_line, read_rows
from chestxray.data.datasets_internals import FolderConfig
from chestxray.data.descriptor import BuildOptions, Descriptor, has_mark
from chestxray.data.nih import builder_file
from chestxray.data.observation_builder import ObservationBuilder, Row, refuse_outside
from chestxray.data.observations import MEANINGS, OBSERVATIONS, read_states

VIEWS = ("PA", "AP", "LL", "RL", "LATERAL", "FRONTAL")  # the last two are for a table without a finer word
FRONTAL_VIEWS = ("PA", "AP", "FRONTAL")
SEXES = {"Female": builder_file.SEXES.index("F"), "Male": builder_file.SEXES.index("M"), "Unknown": None, "": None}
PATIENT_COLUMNS = ("Path", "Study", "Sex", "Age", "Frontal/Lateral", "AP/PA")  # each of them is missing in some table
TABLES = {  # the names of the files with each split's labels, the finer form first
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


@dataclass
class CheXpertConfig(FolderConfig):
    """allow_missing: skip rows without an image, and count them in one warning."""

    def files_read(self):
        places = [place for found in find_folders(self.data_dir).values() for place in found]
        files = [file for place in places for file in builder_file.files_below(place)]
        tables = [*find_tables(self.data_dir).values(), *builder_file.synthetic_marks(self.data_dir)]
        return tables, [file for file in files if is_view(os.path.basename(file))]


class CheXpert(ObservationBuilder):
    """`CheXpert(data_dir=DIR, allow_missing=False)`: the splits that DIR has tables for; see `ObservationBuilder`.

    223,414 training images of 64,540 patients, labelled by machine in four states; 234 for validation (200 studies,
    three radiologists) and 668 for test (500 studies, five radiologists), 0 or 1. `study_id` counts within a
    patient. 17 training images have LL or RL for a view although `Frontal/Lateral` calls them frontal.

    The test labels come in two forms: `test_labels.csv` (or `test.csv`) with a row per image, as in CheXlocalize, and
    `groundtruth.csv` with a row per study (rajpurkarlab/cheXpert-test-set-labels, a930205). The row of a study is
    used for every image in its folder. Neither form has sex or age; the view is in the file's name.

    Raises:
        FileNotFoundError: there is no table, or a split has images but no table.
        ValueError: a column, cell, path or JPEG is wrong; the folder lacks an image that a table names, unless
            `allow_missing`. The message names file and line.
    """

    BUILDER_CONFIG_CLASS = CheXpertConfig
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
        return find_folders(self.config.data_dir)

    def _file(self, image_file_path):
        word, _, rest = image_file_path.partition("/")
        files = (os.path.join(folder, rest) for folder in self._folders[word])
        return next((file for file in files if os.path.isfile(file)), None)

    def _views(self, folder):
        """The file names of a study's images: what lies in its folder, `test/patient64741/study1`."""
        word, _, rest = folder.partition("/")
        studies = [os.path.join(place, rest) for place in self._folders[word]]
        return sorted(name for study in studies if os.path.isdir(study) for name in os.listdir(study) if is_view(name))


def is_chexpert(folder: str | os.PathLike) -> bool:
    """Whether a folder, or the folder of the release in it, holds CheXpert's tables; only their headers are read."""
    tables = find_tables(folder).values() if os.path.isdir(folder) else ()
    return any(has_observations(table) for table in tables)


def has_observations(table: str) -> bool:
    """Whether the header of a table begins like CheXpert's and names one of the observations."""
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline().strip().split(",")
    return header[0] in ("Path", "Study") and not set(header).isdisjoint(OBSERVATIONS)


def find_release(folder: str | os.PathLike) -> str | os.PathLike:
    """The folder of the release, if exactly one lies in `folder` and `folder` has no tables itself; else `folder`."""
    inside = [name for name in RELEASES if os.path.isdir(os.path.join(folder, name))]
    tables = [name for name in ALL_TABLES if os.path.isfile(os.path.join(folder, name))]
    return os.path.join(folder, inside[0]) if len(inside) == 1 and not tables else folder


def find_roots(folder: str | os.PathLike) -> list[str]:
    """The folder, and the folders in it that hold a release or a batch of the full download.

    Raises ValueError if it holds two releases.
    """
    inside = [name for name in sorted(os.listdir(folder)) if os.path.isdir(os.path.join(folder, name))]
    releases = [name for name in inside if name in RELEASES]
    if len(releases) > 1:
        raise ValueError(f"{folder} holds {' and '.join(releases)}: give the path of one of them")
    batches = [name for name in inside if name.startswith("CheXpert-v1.0 batch")]
    return [str(folder), *(os.path.join(folder, name) for name in releases + batches)]


def find_folders(folder: str | os.PathLike) -> dict[str, list[str]]:
    """{first part of `image_file_path`: folders on this disk that it stands for}"""
    roots = find_roots(folder)
    places = {word: [os.path.join(root, name) for root in roots for name in names] for word, names in FOLDERS.items()}
    return {word: [place for place in found if os.path.isdir(place)] for word, found in places.items()}


def find_tables(folder: str | os.PathLike) -> dict[datasets.Split, str]:
    """{split: path of the table of its labels}, for each split that has one."""
    tables = {}
    for split, names in TABLES.items():
        paths = [os.path.join(root, name) for name in names for root in find_roots(folder)]
        if present := [path for path in paths if os.path.isfile(path)]:
            tables[split] = present[0]
    return tables


def read_path(cells: dict[str, str]) -> tuple[str, str, int, int, str | None]:
    """A row's path, the folder of its study as in `image_file_path`, patient, study, and file name or None."""
    path = (cells.get("Path") or cells.get("Study") or "").strip()
    refuse_outside(path)
    if not (parts := PATH.fullmatch(path)):
        raise ValueError(f"path {path!r}, expected like CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg")
    word, study, patient, number, view = parts.groups()
    word = "valid" if word == "val" else word
    return path, f"{word}/{study}", int(patient), int(number), view


def read_age(cells: dict[str, str]) -> int | None:
    """Years, or None if the table has none; newborns are 0."""
    cell = cells.get("Age", "").strip()
    return int(cell) if cell else None


def read_sex(cells: dict[str, str]) -> int | None:
    cell = cells.get("Sex", "").strip()
    if cell not in SEXES:
        raise ValueError(f"unknown sex {cell!r}; known are {', '.join(filter(None, SEXES))}")
    return SEXES[cell]


def read_view(cells: dict[str, str], view: str) -> int:
    """The index in VIEWS: the column `AP/PA`, else `Frontal/Lateral`, else the file name."""
    side = cells.get("Frontal/Lateral", "").strip() or view.rpartition("_")[2].removesuffix(".jpg")
    cell = cells.get("AP/PA", "").strip() or side.upper()
    return builder_file.index(VIEWS, cell, "view position")


def is_view(name: str) -> bool:
    return re.fullmatch(r"view\d+_(frontal|lateral)\.jpg", name) is not None


def is_synthetic(folder: Path) -> bool:
    return has_mark(folder) or has_mark(Path(find_release(folder)))


def build(folder: Path, options: BuildOptions) -> CheXpert:
    return CheXpert(data_dir=str(folder), allow_missing=options.allow_missing)


DESCRIPTOR = Descriptor(
    name=CheXpert.NAME,
    licence=CheXpert.LICENSE,
    may_be_passed_on=False,
    recognise=is_chexpert,
    build=build,
    is_synthetic=is_synthetic,
    frontal_views=FRONTAL_VIEWS,
    vocabulary="chexpert",
    meanings=MEANINGS,
)
