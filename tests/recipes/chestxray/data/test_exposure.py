"""An image, and a patient, is known again in whatever dataset it lies."""

import pytest
from datasets import Dataset

from chestxray.data import exposure
from chestxray.data.opening import OpenDataset


def rows_of(*paths, **columns):
    return Dataset.from_dict({"image_file_path": list(paths), **columns})


def keys(*paths, name="NIH ChestX-ray14", synthetic=False, **columns):
    return exposure.keys_of(rows_of(*paths, **columns), name, synthetic)


@pytest.fixture
def seen(tmp_path):
    """What a model of two NIH images and one of another hospital has seen, read from its file."""
    train = rows_of("images/00000001_000.png", "images/00000002_000.png")
    validation = rows_of("images/00000003_000.png")
    nih = OpenDataset("nih", "NIH ChestX-ray14", {"train": train, "validation": validation}, False)
    splits = {"train": rows_of("p/1.jpg", patient_id=[7]), "validation": rows_of("p/2.jpg", patient_id=[8])}
    exposure.write([nih, OpenDataset("other", "Other", splits, False)], [{}, {}], tmp_path)
    return exposure.read(tmp_path)


def test_another_image_of_a_patient_counts_as_seen(seen):
    assert seen.has_seen(keys("images/00000001_005.png", "images/00000004_000.png")).tolist() == [True, False]
    assert seen.has_validated(keys("images/00000003_000.png", "images/00000003_001.png")).tolist() == [True, False]


def test_images_of_nih_are_known_in_any_dataset_beside_others(seen):
    mixed = keys("a/00000002_000.png", "a/portrait.png", name="somebody's subset", patient_id=[5, 5])
    assert seen.has_seen(mixed).tolist() == [True, False]


def test_the_same_number_at_another_hospital_is_another_patient(seen):
    assert seen.has_seen(keys("p/9.jpg", name="Other", patient_id=[7])).all()
    assert not seen.has_seen(keys("p/9.jpg", name="A third", patient_id=[7])).any()


def test_a_drawn_image_is_not_the_real_one_of_the_same_name(seen):
    assert not seen.has_seen(keys("images/00000001_000.png", synthetic=True)).any()


def test_a_damaged_file_is_refused_by_name(seen, tmp_path):
    data = (tmp_path / exposure.FILE).read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"no Parquet"):
        (tmp_path / exposure.FILE).write_bytes(damaged)
        with pytest.raises(ValueError, match="images.parquet is damaged: .*Delete it to go without it"):
            exposure.read(tmp_path)


def test_a_checkpoint_of_unknown_origin_is_named(seen, tmp_path):
    assert not exposure.doubts([tmp_path])
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "settings.yaml").write_text("epochs: 1")
    (tmp_path / "next").mkdir()
    splits = {"train": rows_of("images/00000001_000.png"), "validation": rows_of("images/00000002_000.png")}
    exposure.write([OpenDataset("nih", "NIH", splits, False)], [{}], tmp_path / "next", tmp_path / "base")
    base, following = exposure.doubts([tmp_path / "base", tmp_path / "next"])
    assert base == "It is not known which images base was trained on: its folder has no images.parquet."
    assert following.startswith("It is not known which images the first weights of next had seen")
