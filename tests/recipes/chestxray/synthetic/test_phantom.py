"""What the synthetic archive promises, asked of the module and of the sample it made for this repository."""

import csv
import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chestxray.synthetic import phantom
from chestxray.synthetic.signs import SIGNS
from conftest import ROOT

SAMPLE = ROOT / "data" / "sample"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_table(path):
    return list(csv.reader(path.read_text().splitlines()))[1:]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return phantom.make_archive(tmp_path_factory.mktemp("phantom") / "a", patients=12, size=48, num_proc=1)


def test_the_same_arguments_give_the_same_bytes_whatever_the_number_of_processes(archive, tmp_path):
    again = phantom.make_archive(tmp_path / "b", patients=12, size=48, num_proc=2)
    assert len(contents(archive)) > 12 + 4
    assert contents(again) == contents(archive)


def test_another_seed_gives_other_patients(archive, tmp_path):
    other = contents(phantom.make_archive(tmp_path / "b", patients=12, size=48, seed=1, num_proc=1))
    images = {name: data for name, data in contents(archive).items() if name.startswith("images/")}
    assert images and all(other.get(name) != data for name, data in images.items())


def test_a_patient_is_the_same_in_a_larger_archive(archive, tmp_path):
    small = phantom.make_archive(tmp_path / "b", patients=3, size=48, num_proc=1)
    images = {name: data for name, data in contents(small).items() if name.startswith("images/")}
    assert images and images.items() <= contents(archive).items()


def test_a_larger_picture_shows_the_same_chest():
    for number in range(1, 5):
        patient = phantom.draw_patient(0, number)
        small, large = (phantom.draw_image(patient, patient.shots[0], size) for size in (64, 512))
        shrunk = large.reshape(64, 8, 64, 8).mean((1, 3))
        assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.98


def test_a_second_run_draws_only_what_is_missing(tmp_path):
    out = phantom.make_archive(tmp_path / "a", patients=4, size=48, num_proc=1)
    before = contents(out)
    gone, *kept = sorted((out / "images").iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    gone.unlink()
    (out / "test_list.txt").unlink()
    phantom.make_archive(out, patients=4, size=48, num_proc=1)
    assert contents(out) == before
    assert kept and [path.stat().st_mtime_ns for path in kept] == times


def test_a_folder_made_with_other_arguments_is_refused(archive):
    before = contents(archive)
    message = "the archive of .* --patients 12 --size 48 --seed 0`, not that of .* --patients 12 --size 64 --seed 0`"
    with pytest.raises(FileExistsError, match=message):
        phantom.make_archive(archive, patients=12, size=64, num_proc=1)
    assert contents(archive) == before


def test_a_folder_that_holds_anything_else_is_refused(tmp_path):
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("the real one")
    with pytest.raises(FileExistsError, match="no SYNTHETIC.txt"):
        phantom.make_archive(tmp_path, patients=1, size=48, num_proc=1)
    assert len(contents(tmp_path)) == 1


@pytest.mark.parametrize("finding", SIGNS)
def test_each_finding_changes_the_picture_where_its_box_is(finding):
    for number in range(1, 6):
        patient = phantom.draw_patient(0, number)
        shot = replace(patient.shots[0], findings=(finding,))
        without = phantom.draw_image(patient, replace(shot, findings=()), 64).astype(int)
        change = np.abs(phantom.draw_image(patient, shot, 64) - without)
        assert (change > 25).sum() > 8
        for box in phantom.draw_boxes(patient, shot).values():
            left, top, width, height = (round(cell / 16) for cell in box)
            inside = change[top : top + height + 1, left : left + width + 1]
            assert inside.max() > 25 and inside.sum() > 0.5 * change.sum()


def test_the_eight_findings_that_nih_boxed_have_boxes_and_no_others():
    patient = phantom.draw_patient(0, 1)
    boxed = phantom.draw_boxes(patient, replace(patient.shots[0], findings=tuple(SIGNS)))
    nih = "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax"
    assert sorted(boxed) == nih.split()


def test_a_heart_wider_than_half_the_chest_is_cardiomegaly():
    for number in range(1, 200):
        patient = phantom.draw_patient(0, number)
        shot = replace(patient.shots[0], findings=("Cardiomegaly",), window=(0, 0, 1))
        [(_, _, width, _)] = phantom.draw_boxes(patient, shot).values()
        assert phantom.pose(patient.body, shot.view).ctr < (
            0.53 if shot.view == "AP" else 0.5
        )  # an AP view magnifies the heart
        assert width / 1024 / (2 * patient.body.width) > 0.59


# The sample in this repository ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def splits():
    """The sample's rows by split; validation is cut from the train list by patient, as the recipes do."""
    rows = read_table(SAMPLE / "Data_Entry_2017_v2020.csv")
    test = set((SAMPLE / "test_list.txt").read_text().split("\n"))
    splits = {"train": [], "validation": [], "test": []}
    for row in rows:
        cut = hashlib.sha256(row[0][:8].encode()).hexdigest()[0] in "01"
        splits["test" if row[0] in test else "validation" if cut else "train"].append(row)
    return splits


def test_the_sample_has_a_few_positives_and_negatives_of_each_finding_in_each_split(splits):
    for rows in splits.values():
        positives = Counter(label for row in rows for label in row[1].split("|"))
        assert set(positives) == {*SIGNS, "No Finding"}
        assert all(3 <= count <= len(rows) - 3 for count in positives.values())


def test_the_sample_lists_each_image_once_and_no_patient_twice():
    lists = [(SAMPLE / name).read_text() for name in ("train_val_list.txt", "test_list.txt")]
    assert not any(text.endswith("\n") for text in lists)
    train_val, test = (text.split("\n") for text in lists)
    assert not {name[:8] for name in train_val} & {name[:8] for name in test}
    assert sorted(train_val + test) == sorted(path.name for path in (SAMPLE / "images").iterdir())
    rows = read_table(SAMPLE / "Data_Entry_2017_v2020.csv")
    assert sorted(train_val + test) == sorted(row[0] for row in rows)


def test_the_sample_boxes_lie_in_the_frame_and_name_a_label_of_a_test_image(splits):
    labels = {row[0]: row[1].split("|") for row in splits["test"]}
    boxes = read_table(SAMPLE / "BBox_List_2017.csv")
    assert len(boxes) > 50 and "Infiltrate" in {row[1] for row in boxes}
    for name, finding, *cells in boxes:
        x, y, width, height = map(float, cells)
        assert {"Infiltrate": "Infiltration"}.get(finding, finding) in labels[name]
        assert min(x, y) >= 0 and min(width, height) > 20 and max(x + width, y + height) <= 1024.001


def test_the_sample_has_nih_headers_and_plausible_cells(splits):
    lines = (SAMPLE / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    assert lines[0] == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    boxes = (SAMPLE / "BBox_List_2017.csv").read_text()
    assert boxes.startswith("Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    for name, _, follow_up, patient, age, sex, view, width, height, *spacing in sum(splits.values(), []):
        assert name == f"{int(patient):08d}_{int(follow_up):03d}.png"
        assert 18 <= int(age) < 95 and sex in "FM" and view in ("PA", "AP")
        assert 2000 < int(width) < 3100 and 2000 < int(height) < 3100 and 0.1 < float(spacing[0]) < 0.2


def test_the_sample_is_grey_small_and_called_synthetic():
    images = sorted((SAMPLE / "images").iterdir())
    assert len(images) > 600
    assert {(Image.open(path).mode, Image.open(path).size) for path in images} == {("L", (80, 80))}
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 3_000_000
    notice = (SAMPLE / "SYNTHETIC.txt").read_text()
    assert notice.startswith("This archive is synthetic") and "--patients 480 --size 80 --seed 0\n" in notice


def test_the_sample_is_what_the_documented_command_makes(tmp_path):
    """Tables byte for byte; pixels to one grey level, as the last bit of `exp` differs between CPUs."""
    documented = "python -m chestxray.synthetic.phantom data/sample --patients 480 --size 80 --seed 0 "
    assert documented in phantom.__doc__
    phantom.write_tables(tmp_path, [phantom.tabulate(phantom.draw_patient(0, n)) for n in range(1, 481)])
    assert len(contents(tmp_path)) == 4
    assert contents(tmp_path).items() <= contents(SAMPLE).items()
    for number in range(1, 481, 32):
        patient = phantom.draw_patient(0, number)
        for shot in patient.shots:
            stored = np.asarray(Image.open(SAMPLE / "images" / shot.name)).astype(int)
            assert np.abs(stored - phantom.draw_image(patient, shot, 80)).max() <= 1


def test_the_command_makes_an_archive_and_says_why_it_will_not(tmp_path):
    command = [
        sys.executable,
        "-m",
        "chestxray.synthetic.phantom",
        str(tmp_path / "a"),
        "--patients",
        "2",
        "--size",
        "48",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "recipes")}
    made = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert made.returncode == 0 and "synthetic patients: 100%" in made.stderr
    assert (tmp_path / "a" / "Data_Entry_2017_v2020.csv").exists()
    refused = subprocess.run([*command, "--seed", "1"], env=environment, capture_output=True, text=True)
    assert refused.returncode != 0 and "OUT --patients 2 --size 48 --seed 0`, not that of" in refused.stderr
    assert "Traceback" not in refused.stderr
