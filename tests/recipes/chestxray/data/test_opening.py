"""An open dataset says what it is: its name, whether it was drawn, whether it may be passed on."""

import datasets
import pytest
from datasets import Dataset, DatasetDict, DatasetInfo

from archives import write_archive
from chestxray.data import opening, parquet_folders
from chestxray.data.opening import OpenDataset
from chestxray.training.settings import Settings
from conftest import ROOT

SAMPLE = ROOT / "data" / "sample"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def open_dataset(source, **settings):
    return opening.open_dataset(str(source), Settings(dataset=[str(source)], num_proc=1, **settings))


def test_a_synthetic_archive_is_called_so_and_by_the_layout_it_has(tmp_path):
    chexpert = write_archive("chexpert", tmp_path / "chexpert", 20)
    sample, drawn = open_dataset(SAMPLE), open_dataset(chexpert)
    assert (sample.name, sample.synthetic, sample.may_be_passed_on) == (
        "Synthetic archive in the layout of NIH ChestX-ray14",
        True,
        True,
    )
    assert (drawn.name, drawn.synthetic, drawn.may_be_passed_on) == (
        "Synthetic archive in the layout of CheXpert",
        True,
        False,
    )
    (chexpert / "SYNTHETIC.txt").unlink()
    assert (open_dataset(chexpert).name, open_dataset(chexpert).synthetic) == ("CheXpert", False)


def rows(description=""):
    info = DatasetInfo(description=description)
    columns = {"image_file_path": ["images/00000001_000.png"]}
    return DatasetDict({"test": Dataset.from_dict(columns, info=info)})


@pytest.mark.parametrize(
    "description, name, synthetic",
    [
        ("", "someone/xray", False),
        ("NIH ChestX-ray14: 112,120 frontal-view chest X-rays", "NIH ChestX-ray14", False),
        ("Synthetic archive in NIH's layout; says nothing", "Synthetic archive in NIH's layout", True),
    ],
)
def test_a_hub_copy_is_known_by_the_description_that_came_with_it(monkeypatch, description, name, synthetic):
    monkeypatch.setattr(opening.sources, "load", lambda *arguments: rows(description))
    found = open_dataset("someone/xray")
    assert (found.name, found.synthetic, found.may_be_passed_on) == (name, synthetic, False)


def test_a_hub_copy_of_drawn_images_is_known_by_the_mark_that_was_published_with_it(monkeypatch, tmp_path):
    monkeypatch.setattr(opening.sources, "load", lambda *arguments: rows())
    marks = {("someone/drawn", "SYNTHETIC.txt")}

    def download(repository, file, repo_type):
        if (repository, file) not in marks:
            raise parquet_folders.EntryNotFoundError(f"{file} is not in {repository}")

    monkeypatch.setattr(parquet_folders, "hf_hub_download", download)
    assert open_dataset("someone/drawn").synthetic and not open_dataset("someone/real").synthetic


def test_datasets_of_one_name_are_told_apart_without_their_places():
    folders = ["/home/jsmith/a/nih", "/home/jsmith/b/nih", "/home/jsmith/own"]
    same = [OpenDataset(folder, "NIH", rows(), False) for folder in folders]
    assert opening.distinct_names(same) == ["NIH, nih", "NIH, nih (2)", "NIH, own"]
    unnamed = [OpenDataset(folder, folder.rpartition("/")[2], rows(), False) for folder in folders]
    assert opening.distinct_names(unnamed) == ["nih", "nih (2)", "own"]
