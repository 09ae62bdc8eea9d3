"""Validation is cut by patient, by a rule that never changes."""

import io
import subprocess

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

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


# What is read


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


def test_parquet_files_that_are_no_dataset_together_are_refused_in_one_line(tmp_path):
    pd.DataFrame({"image": ["a"], "patient": [1]}).to_parquet(tmp_path / "images.parquet")
    pd.DataFrame({"logit/Mass": [0.5]}).to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(ValueError, match=f"^{tmp_path} holds Parquet files that are no dataset together: ") as caught:
        sources.load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_fewer_training_images_are_among_more_and_patients_stay_whole_but_for_one():
    paths = [f"images/{patient:08}_{image:03}.png" for patient in range(1, 41) for image in range(1 + patient % 5)]
    rows = Dataset.from_dict({"image_file_path": paths})
    kept = {count: sources.keep_images(rows, count)["image_file_path"] for count in (1, 10, 11, 50, len(paths))}
    assert [len(names) for names in kept.values()] == list(kept)
    sets = [set(names) for names in kept.values()]
    assert all(few < more for few, more in zip(sets, sets[1:], strict=False))
    for names in kept.values():
        assert names == [path for path in paths if path in names], "in their own order"
        cut = {sources.patient(path) for path in names} & {sources.patient(path) for path in set(paths) - set(names)}
        assert len(cut) <= 1
    assert max(map(sources.patient, kept[50])) > sources.patient(paths[-20]), "not the lowest numbers: NIH sorted them"
    with pytest.raises(ValueError, match=f"train_images is 1,000, but there are {len(paths)} training images"):
        sources.keep_images(rows, 1000)
