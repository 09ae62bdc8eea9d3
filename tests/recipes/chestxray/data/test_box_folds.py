"""Folds of NIH's boxed images: each box is scored once, by a model that has not seen its patient."""

import shutil

import pytest

from chestxray.data import box_folds, sources
from chestxray.data.opening import open_dataset
from chestxray.training.settings import Settings


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=160)


@pytest.fixture(scope="module")
def folds(archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "out"
    box_folds.main([str(archive), str(out), "--folds", "3"])
    return sorted(out.iterdir())


def boxed_images(rows):
    return {path for path, objects in zip(rows["image_file_path"], rows["objects"], strict=True) if objects["bbox"]}


@pytest.fixture(scope="module")
def opened(folds):
    return [open_dataset(str(folder), Settings(num_proc=1)) for folder in folds]


def test_each_box_is_on_test_images_of_one_fold_and_to_learn_from_in_the_others(archive, opened):
    whole = boxed_images(sources.load(str(archive))["test"])
    scored = [boxed_images(fold.splits["test"]) for fold in opened]
    assert all(scored) and sum(map(len, scored)) == len(whole) and set.union(*scored) == whole
    for fold, images in zip(opened, scored, strict=True):
        learnt = boxed_images(fold.splits["train"]) | boxed_images(fold.splits["validation"])
        assert learnt == whole - images


def test_no_patient_is_in_two_splits_and_no_image_is_lost(archive, opened):
    names = {path for rows in sources.load(str(archive)).values() for path in rows["image_file_path"]}
    for fold in opened:
        splits = [set(fold.splits[name]["image_file_path"]) for name in ("train", "validation", "test")]
        assert set.union(*splits) == names and sum(map(len, splits)) == len(names)
        patients = [{sources.patient(path) for path in split} for split in splits]
        assert sum(map(len, patients)) == len(set.union(*patients))


def test_a_fold_of_drawn_images_is_still_called_synthetic(opened):
    assert all(fold.synthetic for fold in opened)


def test_what_cannot_be_divided_is_refused_in_one_line(archive, folds, tmp_path, capsys):
    with pytest.raises(ValueError, match="folds is 1; it must be at least 2"):
        box_folds.write_folds(archive, tmp_path / "out", 1)
    with pytest.raises(ValueError, match="leave fold .* of 5000 empty: give fewer --folds"):
        box_folds.write_folds(archive, tmp_path / "out", 5000)
    with pytest.raises(FileExistsError):
        box_folds.write_folds(archive, folds[0].parent, 3)
    bare = shutil.copytree(archive, tmp_path / "bare", ignore=shutil.ignore_patterns("BBox*", "images"))
    with pytest.raises(ValueError, match="has no BBox_List_2017.csv: name a folder with all of NIH's tables"):
        box_folds.write_folds(bare, tmp_path / "out")
    header = (archive / "BBox_List_2017.csv").read_text().splitlines()[0]
    (bare / "BBox_List_2017.csv").write_text(header + "\n")
    with pytest.raises(SystemExit):
        box_folds.main([str(bare), str(tmp_path / "out")])
    assert "no image of the test list of" in capsys.readouterr().err
