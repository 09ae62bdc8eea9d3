"""A folder tells which dataset it holds, whatever else lies in it; a dataset's descriptor says what may be done."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from archives import write_archive
from chestxray.data import registry, sources
from chestxray.data.descriptor import SYNTHETIC_MARK, BuildOptions
from chestxray.data.nih import builder_file
from chestxray.data.registry import UNKNOWN_FOLDER
from conftest import ROOT

SAMPLE = ROOT / "data" / "sample"


def builder_of(folder):
    descriptor = registry.recognise(folder)
    return descriptor.build and descriptor.build(Path(folder), BuildOptions())


def kind(folder):
    builder = builder_of(folder)
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


@pytest.mark.parametrize("name", ["chexpert", "mimic"])
@pytest.mark.parametrize("place", ["above", "below"])
def test_a_folder_near_the_tables_is_told_where_they_are(hospital, tmp_path, name, place):
    tables = tmp_path / "outer" / "a" / "tables"
    tables.parent.mkdir(parents=True)
    shutil.copytree(hospital(name, 60), tables)
    (inner,) = list(filter(Path.is_dir, tables.iterdir()))[:1]
    with pytest.raises(FileNotFoundError, match=f"holds no tables of a dataset, {tables} does: give that folder"):
        sources.load(str(inner if place == "above" else tmp_path / "outer"))


def test_parquet_datasets_side_by_side_are_not_joined_unless_a_card_names_what_to_load(outputs, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(outputs / "parquet" / "full", tmp_path / name)
    with pytest.raises(ValueError, match=f"holds several datasets, {tmp_path}/a and {tmp_path}/b among them"):
        sources.load(str(tmp_path))
    with pytest.raises(ValueError, match="holds several datasets"):
        sources.stream(str(tmp_path))
    assert sources.load(str(outputs / "parquet")).num_rows == sources.load(str(tmp_path / "a")).num_rows


@pytest.mark.parametrize("layout", ["flat", "box", "hub"])
def test_an_archive_stays_one_whatever_our_scripts_write_into_its_folder(release, outputs, layout):
    folder = release(layout)
    before = builder_of(folder).cache_dir
    shutil.copytree(outputs, folder / "published")
    shutil.copytree(outputs / "parquet" / "full", folder / "full")
    for file in ("predictions.parquet", "scores/predictions.parquet", "runs/first/images.parquet", "train.parquet"):
        put(folder / file)
    builder = builder_of(folder)
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


def test_what_is_published_has_its_path_with_the_image_from_whatever_folder(outputs):
    row = load_dataset(str(outputs / "parquet"), "full", split="train").with_format("arrow")[0]
    assert row["image"][0]["path"] == row["image_file_path"][0]


# What the descriptor says


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    return {layout: write_archive(layout, tmp_path_factory.mktemp(layout) / "x", 5) for layout in ("chexpert", "mimic")}


def test_what_may_be_passed_on_is_known_of_every_dataset_and_of_others_not(outputs, hospitals, tmp_path):
    for folder in (SAMPLE, outputs / "parquet", outputs / "webdataset"):
        assert registry.recognise(folder).may_be_passed_on, folder
    for folder in hospitals.values():
        assert not registry.recognise(folder).may_be_passed_on, folder
    others = tmp_path / "others"
    put(others / "a.png")
    assert registry.recognise(others) == UNKNOWN_FOLDER and not UNKNOWN_FOLDER.may_be_passed_on
    Dataset.from_dict({"image_file_path": ["patient00001"]}).to_parquet(others / "train.parquet")
    assert not registry.recognise(others).may_be_passed_on
    assert not registry.recognise("someone/chexpert").may_be_passed_on


def test_parquet_of_another_beside_what_was_published_may_not_be_passed_on(outputs, tmp_path):
    folder = shutil.copytree(outputs / "parquet", tmp_path / "p")
    Dataset.from_dict({"image_file_path": ["patient00001"]}).to_parquet(folder / "full" / "train-others.parquet")
    assert kind(folder) == "Parquet" and not registry.recognise(folder).may_be_passed_on


def test_what_its_owner_forbids_to_pass_on_is_refused_by_name_and_licence(hospitals):
    for folder, name in zip(hospitals.values(), ("CheXpert", "MIMIC-CXR-JPG"), strict=True):
        with pytest.raises(ValueError, match=f"holds {name}, which may not be passed on: .*no redistribution"):
            registry.refuse_restricted(folder)
    registry.refuse_restricted(SAMPLE)


def test_drawn_images_are_known_by_their_mark_in_every_form(outputs, hospitals, tmp_path):
    for folder in (SAMPLE, outputs / "parquet", outputs / "webdataset", *hospitals.values()):
        assert registry.recognise(folder).is_synthetic(folder), folder
    shutil.copytree(hospitals["chexpert"], tmp_path / "CheXpert-v1.0-small")
    assert registry.recognise(tmp_path).name == "CheXpert" and registry.recognise(tmp_path).is_synthetic(tmp_path)
    (tmp_path / "CheXpert-v1.0-small" / SYNTHETIC_MARK).unlink()
    assert not registry.recognise(tmp_path).is_synthetic(tmp_path)
    assert SYNTHETIC_MARK == builder_file.SYNTHETIC_MARK


def test_frontal_views_are_those_of_the_dataset_and_of_all_where_it_is_not_known():
    known = {dataset.name: set(dataset.frontal_views) for dataset in registry.DATASETS}
    assert known["NIH ChestX-ray14"] == {"PA", "AP"} and "FRONTAL" in known["CheXpert"]
    assert "LATERAL" not in registry.frontal_views(registry.recognise("someone/chexpert"))
    assert registry.frontal_views(registry.recognise("someone/chexpert")) == set().union(*known.values())
    assert registry.frontal_views(registry.recognise(SAMPLE)) == {"PA", "AP"}


def modules_with(pattern):
    """The library's and the scripts' modules whose code a regular expression fits."""
    recipes = ROOT / "recipes"
    found = [path for path in recipes.rglob("*.py") if re.search(pattern, path.read_text(encoding="utf-8"))]
    return sorted(path.relative_to(recipes).as_posix() for path in found)


def test_the_builders_file_is_imported_in_one_place():
    assert modules_with(r"import_module\(.NIH-") == ["chestxray/data/nih.py"]


def test_only_one_module_reaches_into_datasets():
    hooks = "prepare_split_single|split_generators\\(datasets"
    private = rf"\._(fingerprint|indices|to_yaml_list|{hooks})\b|datasets\.fingerprint|cache_files"
    assert modules_with(private) == ["chestxray/data/datasets_internals.py"]
