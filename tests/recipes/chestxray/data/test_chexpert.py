"""What the builder of CheXpert promises about the folder it reads, and the synthetic archive about its likeness."""

import os
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from archives import build, change, plain, read_lines, write_archive, write_lines
from chestxray.data.chexpert import CheXpert, is_chexpert
from chestxray.data.observations import OBSERVATIONS, STATES
from chestxray.synthetic import archives, phantom
from conftest import ROOT

HEADER = (  # as in the real train.csv and valid.csv
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
FIRST = "train/patient00001/study1/view1_frontal.jpg"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_archive("chexpert", tmp_path_factory.mktemp("chexpert") / "CheXpert-v1.0-small", 12)


@pytest.fixture
def archive(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / original.name)


@pytest.fixture
def load(tmp_path):
    return lambda folder, **options: build(CheXpert, folder, tmp_path / "cache", **options)


def everything(dataset):
    return {path: row for split in dataset.values() for path, row in plain(split).items()}


def spoiled(archive, line, old, new, table="train.csv"):
    change(archive / table, line, old, new)
    return archive


# What it gives


def test_the_columns_are_those_that_every_dataset_of_the_recipes_shares(original, load):
    features = load(original)["train"].features
    own = "image_file_path,image,patient_id,study_id,patient_age,patient_sex,view_position".split(",")
    assert list(features) == own + HEADER.split(",")[5:]
    assert [features[name].dtype for name in ("patient_id", "study_id", "patient_age")] == ["int32"] * 3
    assert features["patient_sex"].names == ["F", "M"]
    assert features["view_position"].names == ["PA", "AP", "LL", "RL", "LATERAL", "FRONTAL"]
    assert all(features[name].names == list(STATES) for name in OBSERVATIONS)


def test_each_table_is_a_split_and_each_row_its_files_own_bytes(original, load):
    dataset = load(original)
    assert list(dataset) == ["train", "validation", "test"]
    tables = {"train": "train.csv", "validation": "valid.csv", "test": "test_labels.csv"}
    for split, table in tables.items():
        rows = plain(dataset[split])
        named = [line.split(",")[0].partition("/")[2] for line in read_lines(original / table)[1:]]
        assert len(named) == len(set(named)) == dataset[split].num_rows and set(named) == set(rows)
        assert all(row["image"] == (original / path).read_bytes() for path, row in rows.items())


def test_patients_do_not_cross_splits(original, load):
    patients = [set(split["patient_id"]) for split in load(original).values()]
    assert all(patients) and sum(map(len, patients)) == len(set.union(*patients))


def test_the_four_cells_are_four_states(archive, load):
    line = read_lines(archive / "train.csv")[1].split(",")[:5]
    cells = ["", "1.0", "0.0", "-1.0", "1", "0", "-1", *[""] * 7]
    write_lines(archive / "train.csv", [HEADER, ",".join([*line, *cells])])
    row = load(archive)["train"][0]
    names = ["not mentioned", "positive", "negative", "uncertain", "positive", "negative", "uncertain"]
    assert [STATES[row[name]] for name in OBSERVATIONS] == [*names, *["not mentioned"] * 7]


def test_patient_study_and_view_come_from_the_path_where_the_table_lacks_them(original, load):
    for row in load(original)["test"].remove_columns("image"):
        folder, patient, study, file = row["image_file_path"].split("/")
        assert (folder, f"patient{row['patient_id']:05d}", f"study{row['study_id']}") == ("test", patient, study)
        assert ("view1_frontal.jpg", "view2_lateral.jpg")[row["view_position"] == 4] == file
        assert row["view_position"] in (4, 5) and row["patient_age"] is row["patient_sex"] is None


def test_a_newborn_is_0_years_old_and_an_unknown_sex_is_none(original, load):
    train = load(original)["train"].remove_columns("image")
    ages = {row["patient_id"]: row["patient_age"] for row in train}
    sexes = {row["patient_id"]: row["patient_sex"] for row in train}
    assert ages[3] == 0 and min(age for patient, age in ages.items() if patient != 3) >= 18
    assert sexes[2] is None and {sex for patient, sex in sexes.items() if patient != 2} == {0, 1}


@pytest.mark.parametrize(
    ("side", "view", "given"),
    [
        ("Frontal", "AP", "AP"),
        ("Frontal", "PA", "PA"),
        ("Frontal", "LL", "LL"),  # 16 real images, and one RL
        ("Frontal", "RL", "RL"),
        ("Lateral", "", "LATERAL"),
        ("Frontal", "", "FRONTAL"),
        ("", "", "FRONTAL"),
    ],
)
def test_the_view_is_the_finest_word_there_is(archive, load, side, view, given):
    was = read_lines(archive / "train.csv")[1].split(",")
    train = load(spoiled(archive, 2, f",{was[3]},{was[4]},", f",{side},{view},"))["train"]
    names = train.features["view_position"].names
    assert {row["image_file_path"]: names[row["view_position"]] for row in train.remove_columns("image")}[
        FIRST
    ] == given


def test_both_published_forms_of_the_test_labels_give_the_same_rows(archive, load):
    by_image = load(archive)
    (archive / "test_labels.csv").unlink()
    by_study = load(archive)
    assert plain(by_study["test"]) == plain(by_image["test"]) and by_study["test"].num_rows
    (archive / "groundtruth.csv").rename(archive / "test.csv")
    assert plain(load(archive)["test"]) == plain(by_image["test"])


def test_every_layout_gives_the_same_rows(original, load, tmp_path):
    expected = everything(load(original))
    assert everything(load(original.parent)) == expected

    full = shutil.copytree(original, tmp_path / "chexpertchestxrays" / "CheXpert-v1.0")
    for table in full.glob("*.csv"):
        write_lines(table, [line.replace("CheXpert-v1.0-small/", "CheXpert-v1.0/") for line in read_lines(table)])
    assert everything(load(full.parent)) == expected

    batches = [full.parent / f"CheXpert-v1.0 batch {n} ({what})" for n, what in ((2, "train 1"), (3, "train 2"))]
    for batch in batches:
        batch.mkdir()
    for number, patient in enumerate(sorted((full / "train").iterdir())):
        patient.rename(batches[number % 2] / patient.name)
    (full / "train").rmdir()
    full.rename(full.parent / "CheXpert-v1.0 batch 1 (validate & csv)")
    assert everything(load(full.parent)) == expected

    # CheXlocalize: another folder for validation, other names, no training images
    other = shutil.copytree(original, tmp_path / "chexlocalize" / "CheXpert", ignore=shutil.ignore_patterns("train*"))
    (other / "valid").rename(other / "val")
    (other / "valid.csv").rename(other / "val_labels.csv")
    dataset = load(other)
    assert list(dataset) == ["validation", "test"]
    assert everything(dataset) == {path: row for path, row in expected.items() if not path.startswith("train/")}


def test_two_processes_give_the_rows_of_one(tmp_path, load):
    folder = write_archive("chexpert", tmp_path / "many", 90)
    alone = everything(load(folder))
    assert len([path for path in alone if path.startswith("train/")]) > 100  # more than one shard
    cache = tmp_path / "another"
    assert everything(build(CheXpert, folder, cache, num_proc=2)) == alone


def test_rows_can_be_streamed(original, tmp_path):
    stream = CheXpert(data_dir=str(original), cache_dir=str(tmp_path)).as_streaming_dataset("validation")
    assert [row["image"].size for row in stream] == [(32, 32)] * len(read_lines(original / "valid.csv")[1:])


def test_a_second_run_repeats_nothing_and_a_change_is_never_missed(archive, tmp_path):
    def prepared():
        builder = CheXpert(data_dir=str(archive), cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        return builder.cache_dir

    first = prepared()
    written = {entry.path: entry.stat().st_mtime_ns for entry in os.scandir(first)}
    assert prepared() == first
    assert written and {entry.path: entry.stat().st_mtime_ns for entry in os.scandir(first)} == written
    was = read_lines(archive / "train.csv")[1].split(",")[2]
    change(archive / "train.csv", 2, f",{was},", ",90,")
    assert (second := prepared()) != first
    Image.new("L", (32, 32)).save(archive / FIRST)
    assert prepared() not in (first, second)


def test_synthetic_archives_are_called_so_and_others_by_their_name(archive, load):
    assert load(archive)["train"].info.description.startswith("Synthetic")
    assert load(archive.parent)["test"].info.description.startswith("Synthetic")
    (archive / "SYNTHETIC.txt").unlink()
    assert load(archive)["train"].info.description.startswith("CheXpert")


def test_a_folder_is_told_by_its_contents(original, archive, tmp_path):
    assert is_chexpert(original) and is_chexpert(original.parent) and is_chexpert(str(original))
    assert not is_chexpert(ROOT / "data" / "sample") and not is_chexpert(tmp_path / "nowhere")
    shutil.rmtree(archive / "train")
    assert is_chexpert(archive)
    (tmp_path / "else").mkdir()
    write_lines(tmp_path / "else" / "train.csv", ["text,label", "a,1"])
    assert not is_chexpert(tmp_path / "else")


# Bad input


@pytest.mark.parametrize(
    ("line", "old", "new", "message"),
    [
        (1, "Pleural Effusion", "Effusion", "train.csv has no column 'Pleural Effusion'"),
        (1, "Support Devices", "Support Devices,Hernia", "train.csv has an unknown column 'Hernia'"),
        (1, "Path", "File", "train.csv has an unknown column 'File'"),
        (3, "CheXpert-v1.0-small/train", "../train", r"train.csv, line 3: '\.\./train.* leads outside the folder"),
        (3, "CheXpert-v1.0-small/train", "/train", "train.csv, line 3: '/train.* leads outside the folder"),
        (3, "study", "report", "train.csv, line 3: path 'CheXpert-v1.0-small/train/patient00001/report"),
        (3, "view", "slice", "train.csv, line 3: path 'CheXpert-v1.0-small/train/patient00001/study"),
        (3, "ale,", "an,", "train.csv, line 3: unknown sex '.*an'; known are Female, Male, Unknown"),
        (3, "al,", "al,AP Supine", "train.csv, line 3: unknown view position 'AP Supine"),
        (3, ",84", ",eighty", "train.csv, line 3: invalid literal for int.*'eighty'"),
        (3, ",1.0,", ",2.0,", "train.csv, line 3: .* is '2.0'; known are 1.0, 0.0, -1.0 and blank"),
        (3, ",1.0,", ",", "train.csv, line 3: not 19 cells, as in the header"),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_file_and_line(archive, load, line, old, new, message):
    with pytest.raises(ValueError, match=message):
        load(spoiled(archive, line, old, new))


def test_an_image_named_twice_is_refused(archive, load):
    lines = read_lines(archive / "train.csv")
    write_lines(archive / "train.csv", [*lines, lines[1]])
    with pytest.raises(ValueError, match=f"train.csv, line {len(lines) + 1}: .*{FIRST} comes a second time"):
        load(archive)


@pytest.mark.parametrize("table", ["train.csv", "valid.csv", "test"])
def test_a_missing_table_is_named(archive, load, table):
    for file in ("test_labels.csv", "groundtruth.csv") if table == "test" else (table,):
        (archive / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no labels: .*{table}.* is not in"):
        load(archive)


def test_a_folder_without_tables_or_none_at_all_is_refused(load, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="None of train.csv, valid.csv"):
        load(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="give data_dir"):
        CheXpert()


def test_two_releases_side_by_side_are_not_mixed(archive, load):
    shutil.copytree(archive, archive.with_name("CheXpert-v1.0"))
    with pytest.raises(ValueError, match="holds CheXpert-v1.0 and CheXpert-v1.0-small"):
        load(archive.parent)


@pytest.mark.parametrize("form", ["test_labels.csv", "groundtruth.csv"])
def test_an_image_the_disk_lacks_is_named_or_counted(archive, load, caplog, form):
    whole = load(archive)
    for other in {"test_labels.csv", "groundtruth.csv"} - {form}:
        (archive / other).unlink()
    lost = sorted((archive / "test").iterdir())[0]
    shutil.rmtree(lost)
    (archive / FIRST).unlink()
    with pytest.raises(ValueError, match=f"train.csv, line 2: CheXpert-v1.0-small/{FIRST} has no image in"):
        load(archive)
    caplog.clear()
    partial = load(archive, allow_missing=True)
    gone = {FIRST} | {path for path in whole["test"]["image_file_path"] if f"/{lost.name}/" in path}
    assert set(everything(whole)) - set(everything(partial)) == gone
    (warning,) = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    rows = [line for line in read_lines(archive / form) if f"/{lost.name}/" in line]
    assert f"skipped {1 + len(rows)} of" in warning


def test_an_archive_without_any_image_is_refused_even_where_missing_ones_are_allowed(archive, load):
    for folder in ("train", "valid", "test"):
        shutil.rmtree(archive / folder)
    with pytest.raises(ValueError, match="train.csv, line 2: .* has no image in"):
        load(archive, allow_missing=True)


@pytest.mark.parametrize("keep", [0, 200])
def test_a_jpeg_cut_short_is_named(archive, load, keep):
    whole = (archive / FIRST).read_bytes()
    (archive / FIRST).write_bytes(whole[:keep])
    with pytest.raises(ValueError, match=f"{FIRST} is damaged: {keep} bytes that are no whole JPEG"):
        load(archive)


# The synthetic archive


def test_the_synthetic_tables_look_like_the_real_ones(original):
    heads = {table.name: read_lines(table)[0] for table in original.glob("*.csv")}
    labels = HEADER.split(",AP/PA,")[1]
    assert heads == {
        "train.csv": HEADER,
        "valid.csv": HEADER,
        "test_labels.csv": f"Path,{labels}",
        "groundtruth.csv": f"Study,{labels}",
    }
    cells = Counter(cell for line in read_lines(original / "train.csv")[1:] for cell in line.split(",")[5:])
    assert set(cells) == {"", "0.0", "1.0", "-1.0"} and cells[""] > sum(cells.values()) / 2
    assert {cell for line in read_lines(original / "valid.csv")[1:] for cell in line.split(",")[5:]} == {"0.0", "1.0"}
    assert {line.split(",")[5] for line in read_lines(original / "train.csv")[1:]} <= {"1.0", ""}  # No Finding
    views = [tuple(line.split(",")[3:5]) for line in read_lines(original / "train.csv")[1:]]
    assert {("Lateral", ""), ("Frontal", "AP"), ("Frontal", "PA"), ("Frontal", "LL")} <= set(views)


def test_a_second_run_draws_only_what_is_missing(original, archive):
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*.jpg")}
    gone = archive / FIRST
    gone.unlink()
    (archive / "train.csv").unlink()
    write_archive("chexpert", archive, 12)
    assert gone.read_bytes() == (original / FIRST).read_bytes()
    assert (archive / "train.csv").read_bytes() == (original / "train.csv").read_bytes()
    kept = {path: path.stat().st_mtime_ns for path in archive.rglob("*.jpg") if path != gone}
    assert kept and kept == {path: time for path, time in before.items() if path != gone}


def test_an_archive_of_other_arguments_and_a_folder_of_other_files_are_kept(original, tmp_path):
    with pytest.raises(FileExistsError, match="not that of .*chexpert OUT --patients 9 --size 32 --seed 0"):
        archives.write_chexpert(original, 9, 32)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no SYNTHETIC.txt"):
        archives.write_chexpert(tmp_path, 9, 32)


def test_what_a_study_is_positive_for_can_be_seen_on_it():
    for number in range(1, 9):
        patient = phantom.draw_patient(0, archives.CHEXPERT_KEY + number)
        for finding, observations in archives.COUNTERPARTS.items():
            shot = replace(patient.shots[0], findings=(finding,))
            picture = archives.draw_study(patient, shot, 64).astype(int)
            healthy = archives.draw_study(patient, replace(shot, findings=()), 64)
            assert (np.abs(picture - healthy) > 25).sum() > 8
            assert set(observations) <= archives.positives(patient, shot)
        tube = archives.draw_study(patient, shot, 64).astype(int) - phantom.draw_image(patient, shot, 64)
        seen = "Support Devices" in archives.positives(patient, shot)
        assert ((np.abs(tube) > 25).sum() > 8) == seen


def test_the_patients_are_none_of_the_synthetic_nih_archive(original):
    """A model trained on one archive must not have seen the other's chests; the same one differs by JPEG alone."""
    ours = [np.asarray(Image.open(path)).astype(int) for path in original.rglob("view1_frontal.jpg")]
    patients = [phantom.draw_patient(0, number) for number in range(1, 13)]
    theirs = [phantom.draw_image(patient, shot, 32) for patient in patients for shot in patient.shots]
    assert len(ours) >= 12 and min(np.abs(one - other).mean() for one in ours for other in theirs) > 3
