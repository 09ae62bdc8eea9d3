"""MIMIC-CXR-JPG 2.0.0 and 2.1.0: chest X-rays of Beth Israel Deaconess, read from the folder PhysioNet hands out.

    builder = MIMICCXR(data_dir=DIR, labeler="chexpert")
    builder.download_and_prepare(num_proc=8)
    dataset = builder.as_dataset()

DIR holds `files/` and the tables `mimic-cxr-2.0.0-*.csv.gz` (or `.csv`); 2.1.0 uses the same names. The facts about the
release are from its README, https://physionet.org/content/mimic-cxr-jpg/2.1.0/ (credentialed access).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import datasets

from chestxray.data.csv_tables import at_line, read_rows
from chestxray.data.datasets_internals import FolderConfig
from chestxray.data.descriptor import BuildOptions, Descriptor, broader, equal
from chestxray.data.nih import builder_file
from chestxray.data.observation_builder import ObservationBuilder, Row
from chestxray.data.observations import (
    DISAGREEMENT,
    MEANINGS,
    OBSERVATIONS,
    OPACITY_LIST,
    OPACITY_WORDS,
    read_states,
)

LABELERS = ("chexpert", "negbio", "both", "radiologist")
SPLITS = {"train": datasets.Split.TRAIN, "validate": datasets.Split.VALIDATION, "test": datasets.Split.TEST}
VIEWS = (  # every ViewPosition of the 377,110 except the blank one, the most frequent first
    *("PA", "AP", "LATERAL", "LL", "PA LLD", "PA RLD", "AP LLD", "AP RLD", "AP AXIAL"),
    *("XTABLE LATERAL", "LAO", "RAO", "LPO", "SWIMMERS"),
)
FRONTAL_VIEWS = ("PA", "AP", "AP AXIAL", "PA LLD", "PA RLD", "AP LLD", "AP RLD")  # LLD: lying on the left side
TABLES = {
    "split": "mimic-cxr-2.0.0-split.csv",
    "metadata": "mimic-cxr-2.0.0-metadata.csv",
    "chexpert": "mimic-cxr-2.0.0-chexpert.csv",
    "negbio": "mimic-cxr-2.0.0-negbio.csv",
    "radiologist": "mimic-cxr-2.1.0-test-set-labeled.csv",
}
RADIOLOGIST_NAMES = {"Lung Opacity": "Airspace Opacity"}  # what its header calls one observation
# "Eight studies could not be labeled due to a lack of a findings or impression section" (README). It does not name
# them. We take the eight with "no findings at all in the entire report" in the parser that cut the reports for the
# labelers (MIT-LCP/mimic-code, 58b2987, txt/section_parser.py, end of `custom_mimic_cxr_rules`).
UNLABELLED = {50798377, 52035334, 53071062, 53607029, 54168089, 54231141, 56724958, 58235663}
DICOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


@dataclass
class MIMICCXRConfig(FolderConfig):
    """labeler: whose labels; allow_missing: skip rows without an image or labels, and count them in one warning."""

    labeler: str = "chexpert"

    def __post_init__(self):
        super().__post_init__()
        if self.labeler not in LABELERS:
            raise ValueError(f"labeler is {self.labeler!r}; known are {', '.join(LABELERS)}")

    @property
    def labelers(self):
        """The tables of labels that are read."""
        return ("chexpert", "negbio") if self.labeler == "both" else (self.labeler,)

    def files_read(self):
        tables = [find_table(self.data_dir, which) for which in ("split", "metadata", *self.labelers)]
        files = os.path.join(self.data_dir, "files")
        images = (
            [file for file in builder_file.files_below(files) if file.endswith(".jpg")] if os.path.isdir(files) else []
        )
        return [*filter(None, tables), *builder_file.synthetic_marks(self.data_dir)], images


class MIMICCXR(ObservationBuilder):
    """`MIMICCXR(data_dir=DIR, labeler="chexpert", allow_missing=False)`; see `ObservationBuilder` for the columns.

    377,110 images in the official split (its `validate` is `validation` here); age and sex are not in the release and
    are None. Labels belong to a study and hold for each of its images. labeler is one of

        chexpert, negbio    one of the two tables made from the reports
        both                the state on which the two agree, `disagreement` where they differ in any way
        radiologist         2.1.0's reading of 687 test reports by one radiologist; there is no other split then

    A study without labels gets no invented ones. The release could not label eight studies. They have no row, so they
    are skipped, and a warning counts them. Any other study without a row is an error unless `allow_missing`. In 2,414
    studies every cell is blank: the CheXpert labeler saw something, but none of the 14. They are kept, and all their
    observations are `not mentioned`.

    Raises:
        FileNotFoundError: a table is missing.
        ValueError: a column, cell or JPEG is wrong; a study has no labels, or the folder lacks an image, unless
            `allow_missing`. The message names file and line.
    """

    NAME = "MIMIC-CXR-JPG"
    VIEWS = VIEWS
    DESCRIPTION = (
        "MIMIC-CXR-JPG: 377,110 chest X-rays of 227,835 studies, histogram-equalised, labelled by machine from the "
        "reports with 14 observations, and the official split by patient."
    )
    HOMEPAGE = "https://physionet.org/content/mimic-cxr-jpg/2.1.0/"
    LICENSE = "PhysioNet Credentialed Health Data License 1.5.0: credentialed users only, no redistribution."
    CITATION = """\
@article{Johnson_2019,
  title   = {{MIMIC-CXR-JPG}, a large publicly available database of labeled chest radiographs},
  author  = {Johnson, Alistair E. W. and Pollard, Tom J. and Greenbaum, Nathaniel R. and Lungren, Matthew P. and
             Deng, Chih-ying and Peng, Yifan and Lu, Zhiyong and Mark, Roger G. and Berkowitz, Seth J. and
             Horng, Steven},
  journal = {arXiv preprint arXiv:1901.07042},
  year    = {2019}
}
"""
    BUILDER_CONFIG_CLASS = MIMICCXRConfig
    NO_REPORT = "is of one of the eight studies that the release leaves without labels"
    NO_TEST_IMAGE = f"has no image in the test split of {TABLES['split']}"
    EXCUSED = (NO_REPORT, NO_TEST_IMAGE)

    def _rows(self):
        views, labels, read = self._read_views(), self._read_labels(), set()
        table, by_radiologist = self._table("split"), self.config.labeler == "radiologist"
        file = os.path.basename(table)
        for line, cells in read_rows(table, ("dicom_id", "study_id", "subject_id", "split")):
            with at_line(table, line):
                split, name, patient, study = read_split(cells)
                if cells["dicom_id"] not in views:
                    raise ValueError(f"{cells['dicom_id']} has no row in {TABLES['metadata']}")
            key = (None if by_radiologist else patient, study)
            if by_radiologist and (key not in labels or split != datasets.Split.TEST):
                continue
            read.add(key)
            row = Row(name, patient, study, None, None, views[cells["dicom_id"]], labels.get(key))
            yield split, f"{file}, line {line}: {name}", row, self._lack(row)
        if by_radiologist:
            for _, study in sorted(labels.keys() - read):
                yield datasets.Split.TEST, f"{TABLES['radiologist']}: study {study}", None, self.NO_TEST_IMAGE

    def _lack(self, row):
        """What a row lacks that its table promises; None if nothing."""
        if row.states is None and row.study_id in UNLABELLED:
            return self.NO_REPORT
        if row.states is None:
            return f"is of a study without labels in {' or '.join(TABLES[table] for table in self.config.labelers)}"
        return None if self._file(row.image_file_path) else f"is not in {self.config.data_dir}"

    def _file(self, image_file_path):
        file = os.path.join(self.config.data_dir, image_file_path)
        return file if os.path.isfile(file) else None

    def _read_views(self):
        """{dicom_id: index in VIEWS, None where ViewPosition is blank}"""
        views, table = {}, self._table("metadata")
        for line, cells in read_rows(table, ("dicom_id", "ViewPosition"), others=None):
            with at_line(table, line):
                cell = cells["ViewPosition"].strip()
                views[cells["dicom_id"]] = builder_file.index(VIEWS, cell, "view position") if cell else None
        return views

    def _read_labels(self):
        """{(subject_id, study_id): states}; the radiologist's table has no subject_id, None stands for it."""
        if self.config.labeler != "both":
            return read_labels(self._table(self.config.labeler))
        first, second = (read_labels(self._table(labeler)) for labeler in ("chexpert", "negbio"))
        return {study: merge_states(first[study], second[study]) for study in first if study in second}

    def _table(self, which):
        if path := find_table(self.config.data_dir, which):
            return path
        since = "2.1.0" if which == "radiologist" else "2.0.0"
        raise FileNotFoundError(
            f"Neither {TABLES[which]}.gz nor {TABLES[which]} is in {self.config.data_dir}. It is part of {self.NAME} "
            f"since {since}: {self.HOMEPAGE}"
        )


def is_mimic(folder: str | os.PathLike) -> bool:
    """Whether a folder holds MIMIC-CXR-JPG's tables, by their names."""
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    return any(name.removesuffix(".gz") in TABLES.values() for name in names)


def find_table(folder: str | os.PathLike, which: str) -> str | None:
    """The path of a table, gzipped or not; None if there is none."""
    paths = (os.path.join(folder, TABLES[which] + ending) for ending in (".gz", ""))
    return next(filter(os.path.isfile, paths), None)


def read_split(cells: dict[str, str]) -> tuple[datasets.Split, str, int, int]:
    """The split, `image_file_path`, subject and study of an image, from its row in the table of splits."""
    if cells["split"] not in SPLITS:
        raise ValueError(f"unknown split {cells['split']!r}; known are {', '.join(SPLITS)}")
    if not DICOM_ID.fullmatch(cells["dicom_id"]):
        raise ValueError(f"dicom_id {cells['dicom_id']!r}, expected five times eight hexadecimal digits, joined by -")
    patient, study = int(cells["subject_id"]), int(cells["study_id"])
    path = f"files/p{patient // 1_000_000}/p{patient}/s{study}/{cells['dicom_id']}.jpg"
    return SPLITS[cells["split"]], path, patient, study


def read_labels(table: str) -> dict[tuple[int | None, int], bytes]:
    """{(subject_id, study_id): states} of one table of labels; see `MIMICCXR._read_labels`."""
    by_radiologist = os.path.basename(table).removesuffix(".gz") == TABLES["radiologist"]
    names = RADIOLOGIST_NAMES if by_radiologist else {}
    columns, labels = [names.get(observation, observation) for observation in OBSERVATIONS], {}
    for line, cells in read_rows(table, ("study_id", *columns), others=() if by_radiologist else ("subject_id",)):
        with at_line(table, line):
            study = (None if by_radiologist else int(cells["subject_id"]), int(cells["study_id"]))
            if study in labels:
                raise ValueError(f"study {study[1]} comes a second time")
            labels[study] = read_states(cells, columns)
    return labels


def merge_states(first: bytes, second: bytes) -> bytes:
    """Two labelers' states of one study as one, `disagreement` where they differ."""
    return bytes(one if one == other else DISAGREEMENT for one, other in zip(first, second, strict=True))


def build(folder: Path, options: BuildOptions) -> MIMICCXR:
    return MIMICCXR(data_dir=str(folder), labeler=options.labeler, allow_missing=options.allow_missing)


RADIOLOGISTS_WORD = "MIMIC-CXR-JPG 2.1.0's test set says Airspace Opacity"
DESCRIPTOR = Descriptor(
    name=MIMICCXR.NAME,
    licence=MIMICCXR.LICENSE,
    may_be_passed_on=False,
    recognise=is_mimic,
    build=build,
    frontal_views=FRONTAL_VIEWS,
    labelers=LABELERS,
    vocabulary="mimic",
    meanings=MEANINGS
    | {
        "Infiltration": broader("Lung Opacity", "Airspace Opacity", source=OPACITY_WORDS),
        "Lung Opacity": equal("Lung Opacity", "Airspace Opacity", source=f"{OPACITY_LIST}, and {RADIOLOGISTS_WORD}"),
    },
)
