"""Validation is cut by patient, by a rule that never changes."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict, load_dataset
from PIL import Image

import publish
from archives import write_archive
from chestxray import NIHChestXray
from chestxray.data import sources
from chestxray.images import pixels
from conftest import NIH, ROOT


def test_patients_do_not_cross_splits():
    dataset = sources.with_validation(sources.load(str(ROOT / "data" / "sample")))
    patients = {split: {sources.patient(path) for path in rows["image_file_path"]} for split, rows in dataset.items()}
    assert not patients["train"] & patients["validation"]
    assert not (patients["train"] | patients["validation"]) & patients["test"]


def test_the_rule_is_the_one_documented():
    patients = [f"{number:08}" for number in range(1, 2001)]
    held_out = [patient for patient in patients if sources.is_validation(patient)]
    assert len(held_out) == pytest.approx(250, abs=45)
    for patient in patients[:20]:
        shown = subprocess.run(["sha256sum"], input=patient.encode(), capture_output=True).stdout.decode()
        assert sources.is_validation(patient) == (shown[0] in "01")


def rows_of(*names):
    return Dataset.from_dict({"image_file_path": [f"images/{name}.png" for name in names]})


@pytest.fixture
def dataset():
    train = rows_of("00000001_000", "00000001_001", "00000002_000", "00000003_000", "00000004_000")
    return DatasetDict({"train": train, "test": rows_of("00000009_000")})


def test_a_validation_split_of_the_datasets_own_is_kept(dataset):
    dataset["validation"] = rows_of("00000007_000")
    assert sources.with_validation(dataset) is dataset


def test_a_list_says_whom_to_validate_on(dataset, tmp_path):
    (tmp_path / "val.txt").write_text("00000001_001.png 0 0 1\n\nimages/00000001_000.png\n00000004_000.png")
    cut = sources.with_validation(dataset, tmp_path / "val.txt")
    assert [path[7:15] for path in cut["validation"]["image_file_path"]] == ["00000001", "00000001", "00000004"]
    assert [path[7:15] for path in cut["train"]["image_file_path"]] == ["00000002", "00000003"]


def test_a_list_that_cuts_through_a_patient_is_refused_by_name(dataset, tmp_path):
    (tmp_path / "val.txt").write_text("00000001_001.png\n00000002_000.png")
    with pytest.raises(ValueError, match="patient 00000001 is in train and in validation .*val.txt"):
        sources.with_validation(dataset, tmp_path / "val.txt")


def test_a_list_that_names_what_is_not_there_is_refused_by_line(dataset, tmp_path):
    (tmp_path / "val.txt").write_text("00000002_000.png\n00000009_000.png")
    with pytest.raises(ValueError, match="val.txt, line 2: 00000009_000.png is not in train"):
        sources.with_validation(dataset, tmp_path / "val.txt")
    cut = sources.with_validation(dataset, tmp_path / "val.txt", allow_missing=True)
    assert cut["validation"].num_rows == 1


def test_a_validation_list_in_another_encoding_is_refused_by_line(dataset, tmp_path):
    (tmp_path / "val.txt").write_bytes("a.png\nü.png".encode("latin-1"))
    with pytest.raises(ValueError, match="val.txt, line 2: byte 0xfc is no UTF-8 text. Save it as UTF-8"):
        sources.with_validation(dataset, tmp_path / "val.txt")


def test_a_patient_of_train_in_test_is_refused_by_name(dataset):
    dataset["test"] = rows_of("00000004_001")
    dataset["validation"] = rows_of("00000007_000")
    with pytest.raises(ValueError, match="patient 00000004 is in train and in test"):
        sources.with_validation(dataset)


def test_a_dataset_without_a_train_split_or_without_images_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="no train split to learn from, only test"):
        sources.with_validation(DatasetDict({"test": dataset["test"]}))
    dataset["train"].to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="has no column image; it has .'image_file_path'."):
        sources.load(str(tmp_path))


@pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
def test_the_official_train_split_is_cut_in_the_same_place_for_ever(nih_metadata):
    builder = NIHChestXray("metadata", data_dir=str(NIH), cache_dir=str(nih_metadata))
    cut = sources.with_validation(builder.as_dataset())
    assert cut.num_rows == {"train": 75903, "validation": 10621, "test": 25596}


# What may be passed on


def test_what_may_be_passed_on_is_known_of_every_dataset_and_of_others_not(tmp_path):
    sample = ROOT / "data" / "sample"
    for form in ("parquet", "webdataset"):
        publish.main([str(sample), str(tmp_path / form), "--format", form, "--num-proc", "1"])
        assert sources.may_be_passed_on(str(tmp_path / form)), form
    assert sources.may_be_passed_on(str(sample))
    for layout in ("chexpert", "mimic"):
        assert not sources.may_be_passed_on(write_archive(layout, tmp_path / layout, 5)), layout
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.png").touch()
    assert not sources.may_be_passed_on(tmp_path / "others")
    Dataset.from_dict({"image_file_path": ["patient00001"]}).to_parquet(tmp_path / "others" / "train.parquet")
    assert not sources.may_be_passed_on(tmp_path / "others")
    assert not sources.may_be_passed_on("someone/chexpert")


def test_datasets_of_one_name_are_told_apart_without_their_places(dataset):
    folders = ["/home/jsmith/a/nih", "/home/jsmith/b/nih", "/home/jsmith/own"]
    assert sources.names_of([dataset] * 3, folders) == ["nih", "nih (2)", "own"]


# Which dataset a folder holds


def kind(folder):
    builder = sources.builder_of(Path(folder), False, "chexpert")
    return "Parquet" if builder is None else type(builder).__name__


def put(path, data=b"PAR1"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The sample as publish.py writes it from inside its folder, in both forms, in a folder of each."""
    folder = tmp_path_factory.mktemp("outputs")
    for form in ("parquet", "webdataset"):
        command = [sys.executable, ROOT / "recipes" / "publish.py", ROOT / "data" / "sample", folder / form]
        command += ["--format", form, "--num-proc", "1"]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT / "data" / "sample")
    return folder


@pytest.mark.parametrize("layout", ["flat", "box", "hub"])
def test_an_archive_stays_one_whatever_our_scripts_write_into_its_folder(release, outputs, layout):
    folder = release(layout)
    before = sources.builder_of(folder, False, "chexpert").cache_dir
    shutil.copytree(outputs, folder / "published")
    shutil.copytree(outputs / "parquet" / "full", folder / "full")
    for file in ("predictions.parquet", "scores/predictions.parquet", "runs/first/images.parquet", "train.parquet"):
        put(folder / file)
    builder = sources.builder_of(folder, False, "chexpert")
    assert type(builder).__name__ == "NIHChestXray" and builder.cache_dir == before
    assert sources.load(str(folder)).num_rows == {"train": 5, "test": 3}


def test_an_archive_without_a_table_or_without_images_is_still_called_so(release):
    folder = release()
    put(folder / "runs" / "first" / "predictions.parquet")
    (folder / "train_val_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match="No train_val_list.txt"):
        sources.load(str(folder))
    shutil.rmtree(folder / "images")
    assert kind(folder) == "NIHChestXray"


def test_a_published_folder_is_parquet_beside_tables_and_images_of_the_archive(outputs, release, tmp_path):
    folder = shutil.copytree(outputs / "parquet", tmp_path / "published")
    assert kind(folder) == "Parquet"
    archive = release()
    for table in archive.glob("*.*"):
        shutil.copy(table, folder)
    assert kind(folder) == "Parquet"
    shutil.copytree(archive / "images", folder / "images")
    assert kind(folder) == "Parquet", "its README says what to load"
    (folder / "README.md").unlink()
    assert kind(folder) == "NIHChestXray"


def test_other_folders_of_parquet_are_parquet(tmp_path):
    for number, file in enumerate(("train.parquet", "data/test-00000-of-00001.parquet", "plain/train/0000.parquet")):
        put(tmp_path / str(number) / file)
        assert kind(tmp_path / str(number)) == "Parquet"


def test_tar_shards_stay_tar_shards_beside_our_scripts_outputs(outputs, tmp_path):
    folder = shutil.copytree(outputs / "webdataset", tmp_path / "tars")
    put(folder / "runs" / "predictions.parquet")
    assert kind(folder) == "TarSubset"


def test_a_folder_that_links_to_itself_or_to_nothing_is_told_all_the_same(release, outputs, tmp_path):
    for folder, name in (
        (release(), "NIHChestXray"),
        (shutil.copytree(outputs / "parquet", tmp_path / "p"), "Parquet"),
    ):
        (folder / "above").symlink_to(folder)
        (folder / "itself").symlink_to(folder / "itself")
        (folder / "lost.parquet").symlink_to(folder / "nowhere")
        assert kind(folder) == name


def test_a_replaced_image_is_replaced_in_the_pixels_as_well(release):
    folder = release()
    image = folder / "images" / "00000003_001.png"
    before = pixels.shrink(sources.load(str(folder))["train"], 16)[0]["pixels"]
    png = io.BytesIO()
    Image.new("L", (32, 32), 200).save(png, "PNG")
    image.write_bytes(png.getvalue())
    train = pixels.shrink(sources.load(str(folder))["train"], 16)
    assert train[0]["image_file_path"] == "images/00000003_001.png"
    assert train[0]["pixels"] == bytes([200]) * 256 != before


def test_what_is_published_has_its_path_with_the_image_from_whatever_folder(outputs):
    row = load_dataset(str(outputs / "parquet"), "full", split="train").with_format("arrow")[0]
    assert row["image"][0]["path"] == row["image_file_path"][0]


def test_a_folder_published_anew_is_not_served_as_it_was(dataset, tmp_path):
    """The same folder with the same README.md: `datasets` itself takes the first one for the second."""
    image = io.BytesIO()
    Image.new("L", (8, 8)).save(image, "PNG")
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: full\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
    )
    for label in (1, 2):
        rows = Dataset.from_dict(
            {
                "image_file_path": ["images/a.png"],
                "image": [{"bytes": image.getvalue(), "path": None}],
                "labels": [[label]],
            },
            features=NIHChestXray("image-classification").info.features,
        )
        rows.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
        assert sources.load(str(tmp_path))["train"]["labels"][0] == [label]
