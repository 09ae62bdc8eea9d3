"""Make a synthetic archive in the layout of NIH ChestX-ray14, from a seed.

    python -m chestxray.synthetic.phantom data/sample --patients 480 --size 80 --seed 0   # this repository's sample
    python -m chestxray.synthetic.phantom OUT --patients 10000 --size 1024                # an archive to measure with

In a clone that is not installed, set PYTHONPATH=recipes. Each patient has a generator of its own,
`np.random.default_rng([seed, patient])`: a small and a large archive have the same patient, and the number of
processes changes nothing. If a run is stopped, start it again and it goes on.

The archive is balanced where NIH's is not: each finding is on about an eighth of the images, and a quarter of
the images have none. So a few hundred images hold positives and negatives of each finding in every split.
A quarter of the patients form the test list. Its scores say nothing about radiographs.
"""

import argparse
import io
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from chestxray.files import write
from chestxray.synthetic.chest import Body, Film, expose, stream
from chestxray.synthetic.folders import claim, csv_bytes, draw_patients
from chestxray.synthetic.signs import SIGNS, draw_signs

ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
FRAME = 1024  # boxes are always in the frame of NIH's 1024-pixel images; our images may be smaller
# NIH's four commonest: width and height in pixels, spacing in mm
DETECTORS = ((2500, 2048, 0.168), (2992, 2991, 0.143), (3056, 2544, 0.139), (2048, 2500, 0.171))


# Patients ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """One image of a patient, before it is drawn."""

    name: str  # 00000001_000.png
    follow_up: int
    age: int  # years
    view: str  # PA or AP
    detector: tuple[int, int, float]  # width and height in pixels, spacing in mm
    window: tuple[float, float, float]  # the part of the picture plane on the image: left, top, side
    gain: float  # exposure
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Patient:
    key: tuple[int, int]  # seed, patient
    sex: str
    test: bool
    body: Body
    shots: tuple[Shot, ...]


def anatomy(key: tuple[int, int], sex: str, rng: np.random.Generator) -> Body:
    """A healthy adult; the cardiothoracic ratio stays below 0.5."""
    return Body(
        key,
        middle=rng.normal(0.5, 0.008),
        apex=rng.uniform(0.07, 0.12),
        dome=rng.uniform(0.66, 0.73),
        drop=rng.uniform(0.10, 0.15),
        width=rng.uniform(0.35, 0.39) + 0.02 * (sex == "M"),
        ctr=rng.uniform(0.40, 0.48),
        fat=rng.random(),
        breast=rng.uniform(0.06, 0.20) * (sex == "F"),
        pitch=rng.uniform(0.070, 0.085),
    )


def draw_patient(seed: int, number: int) -> Patient:
    """A patient without the pixels: one in five is healthy, the others have one to four findings."""
    key = (seed, number)
    rng = np.random.default_rng(key)
    count = rng.choice(5, p=[0.20, 0.10, 0.26, 0.26, 0.18])
    disease = rng.choice(sorted(SIGNS), count, replace=False)
    sex, age, test = rng.choice(["F", "M"]), int(rng.integers(18, 85)), bool(rng.random() < 0.25)
    body = anatomy(key, sex, rng)
    visits = rng.choice([1, 2, 3, 4], p=[0.55, 0.25, 0.15, 0.05])
    shots = tuple(draw_shot(number, visit, age, disease, rng) for visit in range(visits))
    return Patient(key, str(sex), test, body, shots)


def draw_shot(number: int, follow_up: int, age: int, disease: np.ndarray, rng: np.random.Generator) -> Shot:
    """One visit, half a year after the last; it shows five of six findings. disease: the patient's findings, texts."""
    side = rng.uniform(0.94, 1.0)
    return Shot(
        name=f"{number:08d}_{follow_up:03d}.png",
        follow_up=follow_up,
        age=age + follow_up // 2,
        view=str(rng.choice(["PA", "AP"], p=[0.6, 0.4])),
        detector=DETECTORS[rng.integers(len(DETECTORS))],
        window=(*rng.uniform(0, 1 - side, 2), side),
        gain=rng.uniform(1.1, 1.5),
        findings=tuple(sorted(str(finding) for finding in disease if rng.random() < 5 / 6)),
    )


# Pictures ---------------------------------------------------------------------------------------------------


def pose(body: Body, view: str) -> Body:
    """The body in a view. AP: the heart is further from the detector and looks larger, the breath is shallower."""
    return replace(body, ctr=1.08 * body.ctr, dome=body.dome - 0.03) if view == "AP" else body


def draw_image(patient: Patient, shot: Shot, size: int) -> np.ndarray:
    """The image of one visit: (size, size) uint8, bright is dense."""
    film = Film(size, shot.window)
    body, _ = draw_signs(film, pose(patient.body, shot.view), shot.findings)
    return expose(film, body, shot.gain, stream(patient.key, shot.name))


def draw_boxes(patient: Patient, shot: Shot) -> dict[str, tuple[float, ...]]:
    """{finding that NIH boxed: (x, y, width, height)}, in pixels of the 1024-pixel frame."""
    _, boxes = draw_signs(Film(8, shot.window), pose(patient.body, shot.view), shot.findings)
    left, top, side = shot.window
    origin, frame = np.array([left, top, left, top]), {}
    for finding, box in boxes.items():
        x0, y0, x1, y1 = np.clip((np.array(box) - origin) / side, 0, 1) * FRAME
        frame[finding] = tuple(round(float(cell), 3) for cell in (x0, y0, x1 - x0, y1 - y0))
    return frame


# Archive ----------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """One patient's part of the archive's text files."""

    test: bool
    entries: list[tuple]
    boxes: list[tuple]


def tabulate(patient: Patient) -> Rows:
    """A patient's rows. Boxes are on test images only, as NIH's are, on the first of each patient."""
    rows = Rows(patient.test, [], [])
    for shot in patient.shots:
        labels, (width, height, spacing) = "|".join(shot.findings) or "No Finding", shot.detector
        who = (shot.follow_up, patient.key[1], shot.age, patient.sex, shot.view)
        rows.entries.append((shot.name, labels, *who, width, height, spacing, spacing))
    if patient.test:
        for finding, box in draw_boxes(patient, patient.shots[0]).items():
            nih_name = finding.replace("Infiltration", "Infiltrate")
            rows.boxes.append((patient.shots[0].name, nih_name, *box))
    return rows


def make_patient(out: Path, size: int, seed: int, number: int) -> Rows:
    """Draw a patient's images that are not there yet; returns the patient's rows."""
    patient = draw_patient(seed, number)
    for shot in patient.shots:
        path = out / "images" / shot.name
        if not path.exists():
            png, image = io.BytesIO(), Image.fromarray(draw_image(patient, shot, size))
            image.save(png, "PNG", compress_level=4)  # at 1024 three times as fast as 6, no larger
            write(path, png.getvalue())
    return tabulate(patient)


def write_tables(out: Path, parts: list[Rows]) -> None:
    """The two lists without a newline at the end, as NIH's are, and the two tables."""
    for name, test in (("train_val_list.txt", False), ("test_list.txt", True)):
        names = [row[0] for part in parts if part.test == test for row in part.entries]
        write(out / name, "\n".join(names).encode())
    write(out / "BBox_List_2017.csv", csv_bytes(BOX_HEADER, [row for part in parts for row in part.boxes]))
    entries = [row for part in parts for row in part.entries]
    write(out / "Data_Entry_2017_v2020.csv", csv_bytes(ENTRY_HEADER, entries))


def make_archive(out: str | Path, patients: int, size: int = 80, seed: int = 0, num_proc: int | None = None) -> Path:
    """Write the archive of patients 1 to `patients` into the folder `out`, images of `size` pixels a side.

    Images that are there already are kept; the tables come last, so an archive that has them is complete.
    """
    out = Path(out)
    command = f"python -m chestxray.synthetic.phantom OUT --patients {patients} --size {size} --seed {seed}"
    claim(out, "chestxray/synthetic/phantom.py", command)
    write_tables(out, draw_patients(partial(make_patient, out, size, seed), patients, num_proc))
    return out


def main(argv: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("out", type=Path, help="folder of the archive")
    parser.add_argument("--patients", type=int, default=480, help="one to four images each")
    parser.add_argument("--size", type=int, default=80, help="side of the images in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-proc", type=int, default=None, help="processes (default: one per CPU)")
    try:
        make_archive(**vars(parser.parse_args(argv)))
    except FileExistsError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
