"""Make a synthetic archive in the layout of CheXpert or of MIMIC-CXR-JPG, from a seed.

    python -m chestxray.synthetic.archives chexpert OUT --patients 200 --size 80
    python -m chestxray.synthetic.archives mimic OUT --patients 200 --size 80 --version 2.1.0

In a clone that is not installed, set PYTHONPATH=recipes. The module chestxray.synthetic.phantom draws the chests and
their signs. It does not use the patients of its own archives. `COUNTERPARTS` says what these tables call the signs. A
tube from the neck to the heart stands for Support Devices. Fracture is never drawn and never positive. The phantom has
no lateral chest: it is a frontal one, squeezed to three fifths of its width.

The tables have the real columns, cells and odd rows. Most cells are blank, and a tenth of the positive ones are
uncertain. There is an age of 0, a sex unknown, and LL and RL among the frontal images; a study without a row, a row
without a label, a blank view, two labelers that differ. Three patients in five are for training, one each for
validation and test. If a run is stopped, start it again and it goes on. Its scores say nothing about radiographs.
"""

import argparse
import gzip
import io
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from chestxray.data import mimic
from chestxray.data.observations import OBSERVATIONS
from chestxray.files import write
from chestxray.synthetic.chest import Film, expose, stream
from chestxray.synthetic.folders import claim, csv_bytes, draw_patients
from chestxray.synthetic.phantom import Patient, Shot, draw_patient, pose
from chestxray.synthetic.signs import draw_signs

# Irvin et al. 2019, figure 1: Lung Opacity stands above the kinds of it, Enlarged Cardiomediastinum above Cardiomegaly.
# Emphysema and Hernia have no counterpart, but a chest that shows one is not "No Finding".
COUNTERPARTS = {
    "Atelectasis": ("Atelectasis", "Lung Opacity"),
    "Cardiomegaly": ("Cardiomegaly", "Enlarged Cardiomediastinum"),
    "Consolidation": ("Consolidation", "Lung Opacity"),
    "Edema": ("Edema", "Lung Opacity"),
    "Effusion": ("Pleural Effusion",),
    "Emphysema": (),
    "Fibrosis": ("Lung Opacity",),
    "Hernia": (),
    "Infiltration": ("Lung Opacity",),
    "Mass": ("Lung Lesion", "Lung Opacity"),
    "Nodule": ("Lung Lesion", "Lung Opacity"),
    "Pleural_Thickening": ("Pleural Other",),
    "Pneumonia": ("Pneumonia", "Lung Opacity"),
    "Pneumothorax": ("Pneumothorax",),
}
SPLITS = ("train", "train", "train", "valid", "test")  # of one patient after another


# One study -------------------------------------------------------------------------------------------------------


def draw_study(patient: Patient, shot: Shot, size: int) -> np.ndarray:
    """The image of one visit, with the tube if the patient has one: (size, size) uint8."""
    film = Film(size, shot.window)
    body, _ = draw_signs(film, pose(patient.body, shot.view), shot.findings)
    if has_tube(patient):
        x, y = body.middle, body.dome
        film.density += 0.8 * film.strokes([(0.014, [(x - 0.06, 0.0), (x - 0.05, 0.25), (x + 0.03, y - 0.25)])])
    return expose(film, body, shot.gain, stream(patient.key, shot.name))


def has_tube(patient: Patient) -> bool:
    """Whether a tube is drawn from the patient's neck to the heart."""
    return stream(patient.key, "tube").random() < 0.4


def squeeze(picture: np.ndarray) -> np.ndarray:
    """A stand-in for the lateral image: the frontal one at three fifths of its width, with black beside it."""
    size = len(picture)
    width, canvas = round(0.6 * size), np.zeros_like(picture)
    left = (size - width) // 2
    canvas[:, left : left + width] = np.asarray(Image.fromarray(picture).resize((width, size)))
    return canvas


def equalize(picture: np.ndarray) -> np.ndarray:
    """OpenCV's equalizeHist, as in MIMIC-CXR-JPG. Pillow's equalize rounds coarsely on pictures this small."""
    counts = np.bincount(picture.ravel(), minlength=256)
    counts[picture.min()] = 0
    return np.round(np.cumsum(counts) * (255 / max(counts.sum(), 1))).astype(np.uint8)[picture]


def positives(patient: Patient, shot: Shot) -> set[str]:
    """The observations that can be seen on a study's images; {"No Finding"} if nothing was drawn."""
    seen = {name for finding in shot.findings for name in COUNTERPARTS[finding]}
    seen |= {"Support Devices"} if has_tube(patient) else set()
    return seen or ({"No Finding"} if not shot.findings else set())


def radiologist_cells(seen: set[str]) -> dict[str, str]:
    """{observation: cell} as radiologists fill it: 1.0 or 0.0."""
    return {observation: "1.0" if observation in seen else "0.0" for observation in OBSERVATIONS}


def labeler_cells(patient: Patient, shot: Shot, reader: str) -> dict[str, str]:
    """{observation: cell} as a labeler fills it from the report: 1.0 if seen, sometimes -1.0; else mostly blank.

    reader: the labeler's name. Each one makes its own errors.
    """
    seen, rng = positives(patient, shot), stream(patient.key, f"{reader} {shot.name}")
    cells = {}
    for observation in OBSERVATIONS[1:]:
        chances = {"1.0": 0.9, "-1.0": 0.1} if observation in seen else {"": 0.78, "0.0": 0.2, "-1.0": 0.02}
        cells[observation] = str(rng.choice(list(chances), p=list(chances.values())))
    ill = shot.findings or any(cells[name] in ("1.0", "-1.0") for name in cells if name != "Support Devices")
    return {"No Finding": "" if ill else "1.0", **cells}


# One archive -----------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """One patient's part of the archive's tables: {table: rows}."""

    tables: dict[str, list[tuple]] = field(default_factory=dict)

    def add(self, name: str, *cells) -> None:
        self.tables.setdefault(name, []).append(cells)


def write_jpeg(path: Path, picture: np.ndarray, quality: int) -> None:
    jpeg = io.BytesIO()
    Image.fromarray(picture).save(jpeg, "JPEG", quality=quality)
    write(path, jpeg.getvalue())


def claim_for(out: Path, arguments: str) -> None:
    claim(out, "chestxray/synthetic/archives.py", f"python -m chestxray.synthetic.archives {arguments}")


def gather(parts: list[Rows], name: str) -> list[tuple]:
    """All patients' rows of one table."""
    return [row for part in parts for row in part.tables.get(name, ())]


# CheXpert --------------------------------------------------------------------------------------------------------

CHEXPERT_HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS)
CHEXPERT_FIRST = {"train": 1, "valid": 64541, "test": 64741}  # the numbers that the real splits begin with
CHEXPERT_KEY = 1_000_000  # the phantom's numbers of these patients, far above the numbers in its NIH archives


def make_chexpert_patient(out: Path, size: int, seed: int, number: int) -> Rows:
    """One patient's images and rows; a follow-up is a study of its own."""
    patient, rows = draw_patient(seed, CHEXPERT_KEY + number), Rows()
    group, place = divmod(number - 1, len(SPLITS))
    split = SPLITS[place]
    name = CHEXPERT_FIRST[split] + (3 * group + place if split == "train" else group)
    for shot in patient.shots:
        study = f"{split}/patient{name:05d}/study{shot.follow_up + 1}"
        views = draw_views(out, study, patient, shot, size)
        labelled = split == "train"  # by a labeler; the other splits by radiologists
        cells = labeler_cells(patient, shot, "report") if labelled else radiologist_cells(positives(patient, shot))
        add_chexpert_rows(rows, split, study, views, patient_cells(name, patient, shot), cells)
    return rows


def draw_views(out: Path, study: str, patient: Patient, shot: Shot, size: int) -> list[str]:
    """Draw a study's missing images, a frontal one and for most PA studies a lateral one. Returns the names of all."""
    lateral = shot.view == "PA" and stream(patient.key, f"views {shot.name}").random() < 0.6
    names = ["view1_frontal.jpg", "view2_lateral.jpg"][: 1 + lateral]
    if missing := [name for name in names if not (out / study / name).exists()]:
        picture = draw_study(patient, shot, size)
        for name in missing:
            write_jpeg(out / study / name, squeeze(picture) if "lateral" in name else picture, quality=90)
    return names


def patient_cells(name: int, patient: Patient, shot: Shot) -> tuple[str, int, str]:
    """Sex, Age and AP/PA, odd for the training patients 2 to 5 as for a few among the real ones."""
    sex = "Unknown" if name == 2 else {"F": "Female", "M": "Male"}[patient.sex]
    return sex, 0 if name == 3 else shot.age, {4: "LL", 5: "RL"}.get(name, shot.view)


def add_chexpert_rows(rows: Rows, split: str, study: str, views: list[str], who: tuple, cells: dict[str, str]) -> None:
    sex, age, view = who
    for name in views:
        path = f"CheXpert-v1.0-small/{study}/{name}"
        if split == "test":
            rows.add("test", path, *cells.values())
        else:
            side = ("Lateral", "") if "lateral" in name else ("Frontal", view)
            rows.add(split, path, sex, age, *side, *cells.values())
    if split == "test":
        rows.add("studies", f"CheXpert-v1.0/{study}", *(cell.removesuffix(".0") for cell in cells.values()))


def write_chexpert(
    folder: str | Path, patients: int, size: int = 80, seed: int = 0, num_proc: int | None = None
) -> Path:
    """Write a synthetic CheXpert-v1.0-small into `folder`: images of `size` pixels a side, and the tables last.

    The test labels come in both published forms, `test_labels.csv` by image and `groundtruth.csv` by study. With five
    patients or more every split has one. With nine or more all odd cells are there.

    Raises FileExistsError if the folder holds anything but this archive.
    """
    out = Path(folder)
    claim_for(out, f"chexpert OUT --patients {patients} --size {size} --seed {seed}")
    parts = draw_patients(partial(make_chexpert_patient, out, size, seed), patients, num_proc)
    images, studies = ("Path", *OBSERVATIONS), ("Study", *OBSERVATIONS)
    headers = {"train": CHEXPERT_HEADER, "valid": CHEXPERT_HEADER, "test": images, "studies": studies}
    files = {"train": "train.csv", "valid": "valid.csv", "test": "test_labels.csv", "studies": "groundtruth.csv"}
    for name, file in files.items():
        write(out / file, csv_bytes(",".join(headers[name]) + "\n", gather(parts, name)))
    return out


# MIMIC-CXR-JPG ---------------------------------------------------------------------------------------------------

MIMIC_OBSERVATIONS = sorted(OBSERVATIONS)
MIMIC_HEADERS = {
    "split": ("dicom_id", "study_id", "subject_id", "split"),
    "metadata": (
        *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows"),
        *("Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
        "PatientOrientationCodeSequence_CodeMeaning",
    ),
    "chexpert": ("subject_id", "study_id", *MIMIC_OBSERVATIONS),
    "negbio": ("subject_id", "study_id", *MIMIC_OBSERVATIONS),
    "radiologist": ("study_id", *(mimic.RADIOLOGIST_NAMES.get(name, name) for name in MIMIC_OBSERVATIONS)),
}
VIEW_CODES = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral", "LL": "lateral"}
ODD_VIEWS = {1: "", 6: "AP AXIAL", 7: "SWIMMERS"}  # of the first image of these patients
STRIDE = 7_654_321  # shares no factor with ten million, so that numbers spread over the folders p10 to p19


def make_mimic_patient(out: Path, size: int, seed: int, number: int) -> Rows:
    """One patient's images and rows; patient 3's first study is one that the release leaves without labels."""
    subject = 10_000_000 + number * STRIDE % 10_000_000
    patient, rows = draw_patient(seed, subject), Rows()
    group, place = divmod(number - 1, len(SPLITS))
    for shot in patient.shots:
        study = 50_000_000 + (4 * number + shot.follow_up) * STRIDE % 10_000_000
        first = shot.follow_up == 0
        study = min(mimic.UNLABELLED) if first and number == 3 else study
        folder = f"files/p{subject // 1_000_000}/p{subject}/s{study}"
        for dicom, view in draw_dicoms(out, folder, patient, shot, size, ODD_VIEWS.get(number) if first else None):
            rows.add("split", dicom, study, subject, {"valid": "validate"}.get(SPLITS[place], SPLITS[place]))
            rows.add("metadata", dicom, subject, study, *metadata_cells(view, shot, size))
            rows.add("images", f"{folder}/{dicom}.jpg")
        if study not in mimic.UNLABELLED:
            add_labels(rows, patient, shot, (subject, study), blank=first and number == 2)
        if SPLITS[place] == "test" and group % 2 == 0:  # the real one read 687 of 3,269 test studies
            rows.add("radiologist", study, *mimic_cells(patient, shot, "radiologist"))
    return rows


def draw_dicoms(out: Path, folder: str, patient: Patient, shot: Shot, size: int, odd: str | None) -> list[tuple]:
    """Draw a study's images that are not there yet, histogram-equalised as the release's are; (dicom_id, view) each."""
    rng = stream(patient.key, f"views {shot.name}")
    lateral = [str(rng.choice(["LATERAL", "LL"]))] if shot.view == "PA" and rng.random() < 0.6 else []
    views = [shot.view if odd is None else odd, *lateral]
    dicoms = ["-".join(f"{part:08x}" for part in rng.integers(0, 2**32, 5)) for _ in views]
    paths = [f"{folder}/{dicom}.jpg" for dicom in dicoms]
    if missing := [path for path in paths if not (out / path).exists()]:
        frontal = draw_study(patient, shot, size)
        for path in missing:
            picture = frontal if path == paths[0] else squeeze(frontal)
            write_jpeg(out / path, equalize(picture), quality=95)
    return list(zip(dicoms, views, strict=True))


def metadata_cells(view: str, shot: Shot, size: int) -> tuple:
    """One image's cells of the metadata table, after its three ids."""
    portable = shot.view == "AP"
    step = "CHEST (PORTABLE AP)" if portable else "CHEST (PA AND LAT)"
    date, time = 21_800_101 + 10_000 * shot.follow_up, "213014.531"
    return step, view, size, size, date, time, step, VIEW_CODES.get(view, ""), "Recumbent" if portable else "Erect"


def add_labels(rows: Rows, patient: Patient, shot: Shot, study: tuple[int, int], blank: bool) -> None:
    """The rows of both labelers. They read the same report and sometimes differ."""
    for labeler in ("chexpert", "negbio"):
        cells = mimic_cells(patient, shot, labeler)
        rows.add(labeler, *study, *([""] * len(cells) if blank and labeler == "chexpert" else cells))


def mimic_cells(patient: Patient, shot: Shot, reader: str) -> list[str]:
    """A labeler's cells in the order of MIMIC-CXR-JPG's columns."""
    cells = labeler_cells(patient, shot, reader)
    return [cells[observation] for observation in MIMIC_OBSERVATIONS]


def write_mimic(
    folder: str | Path,
    patients: int,
    size: int = 80,
    seed: int = 0,
    version: str = "2.1.0",
    num_proc: int | None = None,
) -> Path:
    """Write a synthetic MIMIC-CXR-JPG into `folder`: images of `size` pixels a side, and the tables last.

    version: "2.0.0", or "2.1.0", which also has the radiologist's table. With five patients or more every split has
    one. With seven or more all odd rows are there.

    Raises FileExistsError if the folder holds anything but this archive.
    """
    out = Path(folder)
    claim_for(out, f"mimic OUT --patients {patients} --size {size} --seed {seed} --version {version}")
    parts = draw_patients(partial(make_mimic_patient, out, size, seed), patients, num_proc)
    for name in ("split", "metadata", "chexpert", "negbio"):
        content = csv_bytes(",".join(MIMIC_HEADERS[name]) + "\n", gather(parts, name))
        write(out / f"{mimic.TABLES[name]}.gz", gzip.compress(content, mtime=0))
    write(out / "IMAGE_FILENAMES", csv_bytes("", gather(parts, "images")))
    if version == "2.1.0":
        content = csv_bytes(",".join(MIMIC_HEADERS["radiologist"]) + "\n", gather(parts, "radiologist"))
        write(out / mimic.TABLES["radiologist"], content)
    return out


def main(argv: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    layouts = parser.add_subparsers(dest="layout", required=True)
    for layout, writer in (("chexpert", write_chexpert), ("mimic", write_mimic)):
        one = layouts.add_parser(layout)
        one.set_defaults(write=writer)
        one.add_argument("folder", metavar="OUT", type=Path, help="folder of the archive")
        one.add_argument("--patients", type=int, default=200, help="one to four studies each, of one or two images")
        one.add_argument("--size", type=int, default=80, help="side of the images in pixels")
        one.add_argument("--seed", type=int, default=0)
        one.add_argument("--num-proc", type=int, default=None, help="processes (default: one per CPU)")
    one.add_argument("--version", choices=("2.0.0", "2.1.0"), default="2.1.0", help="of the release")
    arguments = vars(parser.parse_args(argv))
    arguments.pop("layout")
    try:
        arguments.pop("write")(**arguments)
    except FileExistsError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
