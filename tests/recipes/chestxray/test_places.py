"""Of a path others see the last part alone; what is no path stays as it is."""

import doctest

import pytest

from chestxray import places


@pytest.mark.parametrize(
    "source, shown",
    [
        ("/home/someone/nih/", "nih"),
        ("../x/nih", "nih"),
        ("C:\\Users\\someone\\nih", "nih"),
        ("convnext-tiny", "convnext-tiny"),
        ("facebook/convnextv2-base-22k-224", "facebook/convnextv2-base-22k-224"),
        ("configs/sample.json", "sample.json"),
        ("a/b/c", "c"),
        ("", ""),
    ],
)
def test_a_hub_id_stays_and_a_path_is_cut(source, shown):
    assert places.public_name(source) == shown


def test_a_folder_is_no_hub_id_and_is_called_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert places.public_name("runs/first") == "first"
    monkeypatch.chdir(tmp_path / "runs" / "first")
    assert places.public_name(".") == "first"


def test_a_setting_nobody_has_named_yet_tells_no_place():
    values = {"model": "timm/resnet18", "new": "lists/val.txt", "newer": ["/a/b", {"deep": "~/c"}], "epochs": 3}
    shown = places.public_settings(values | {"uncertain": "zeros,Edema=ones", "teacher": None})
    assert shown == {
        **{"model": "timm/resnet18", "new": "val.txt", "newer": ["b", {"deep": "c"}], "epochs": 3},
        **{"uncertain": "zeros,Edema=ones", "teacher": None},
    }


def test_folders_are_told_apart_by_as_much_of_their_paths_as_that_takes():
    assert places.folder_names(["runs/a/best", "someone/nih"]) == ["best", "nih"]
    assert places.folder_names(["/runs/a/best", "/runs/b/best", "/nih"]) == ["a-best", "b-best", "nih"]


def test_a_folder_that_comes_twice_is_refused_however_it_is_spelt(tmp_path):
    with pytest.raises(ValueError, match="nih/ is given twice"):
        places.folder_names([f"{tmp_path}/nih", f"{tmp_path}/nih/"])


def test_the_docstrings_examples_run():
    assert doctest.testmod(places) == (0, 3)
