"""Validation is cut by patient, by a rule that never changes."""

import subprocess

import pytest
from datasets import Dataset, DatasetDict

from chestxray import NIHChestXray, sources
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


def test_a_validation_split_of_the_datasets_own_is_kept():
    rows = Dataset.from_dict({"image_file_path": ["images/00000001_000.png"]})
    dataset = DatasetDict({"train": rows, "validation": rows, "test": rows})
    assert sources.with_validation(dataset) is dataset


@pytest.mark.parametrize("lost", ["train", "test"])
def test_a_dataset_without_a_split_is_refused_by_name(tmp_path, lost):
    rows = Dataset.from_dict({"image_file_path": ["images/00000001_000.png"]})
    rows.to_parquet(tmp_path / ("test.parquet" if lost == "train" else "train.parquet"))
    with pytest.raises(ValueError, match=f"no {lost} split"):
        sources.load(str(tmp_path))


@pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
def test_the_official_train_split_is_cut_in_the_same_place_for_ever(tmp_path):
    builder = NIHChestXray("metadata", data_dir=str(NIH), cache_dir=str(tmp_path))
    builder.download_and_prepare()
    cut = sources.with_validation(builder.as_dataset())
    assert cut.num_rows == {"train": 75903, "validation": 10621, "test": 25596}
