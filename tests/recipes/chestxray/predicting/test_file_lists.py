"""Which files a person means by a file, a folder or a table."""

import os

import numpy as np
import pandas as pd
import pytest

from chestxray.predicting.file_lists import list_files
from dicoms import pixels, radiograph, save


@pytest.fixture
def ward(tmp_path):
    """A folder with all that may lie in one."""
    folder = tmp_path / "ward"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.PNG", "a.jpeg", "deep/c.tiff", "d.dcm", "notes.txt", "report.pdf", ".hidden.png", "README", "IM9"):
        (folder / name).write_bytes(b"something")
    for name in ("IM0001", "1.2.840.113", "export.img"):
        save(tmp_path, radiograph(pixels())).rename(folder / name)
    return folder


def test_a_folder_means_usual_endings_and_dicom_files_without_one(ward):
    names = ["1.2.840.113", "IM0001", "a.jpeg", "b.PNG", "d.dcm", "deep/c.tiff"]
    assert list_files([str(ward)]) == [str(ward / name) for name in names]


def test_the_folder_of_the_output_is_left_out(ward):
    assert str(ward / "deep" / "c.tiff") not in list_files([str(ward)], ward / "deep")


def test_a_file_is_taken_whatever_its_name_and_each_once(ward):
    inputs = [str(ward / "notes.txt"), str(ward / "a.jpeg"), str(ward), str(ward / "notes.txt")]
    found = list_files(inputs)
    assert found[:2] == inputs[:2] and len(found) == 7 == len(set(found))


@pytest.mark.parametrize("header", ["path", "Image Index", "file_name"])
def test_a_table_names_files_by_a_usual_header_relative_to_itself(ward, header):
    (ward / "list.csv").write_text(f"ward,{header}\nA,a.jpeg\nB,deep/c.tiff\nC,gone.png\n")
    assert list_files([str(ward / "list.csv")]) == [str(ward / name) for name in ("a.jpeg", "deep/c.tiff", "gone.png")]


def test_a_table_with_absolute_paths_means_them(ward):
    (ward / "list.csv").write_text(f"scan\n{ward / 'a.jpeg'}\n")
    assert list_files([str(ward / "list.csv")]) == [str(ward / "a.jpeg")]


@pytest.mark.parametrize(
    "name, shown", [(b"\xff.png", r"udcff\.png"), (b"a\nb.png", r"a\\nb\.png"), (b"a\x1b[2J.png", "x1b")]
)
def test_a_name_that_is_no_text_of_one_line_is_refused_by_name(ward, name, shown):
    (ward / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{shown}.*' has a name that no table can hold: rename the file") as error:
        list_files([str(ward)])
    assert str(error.value).isprintable()


def test_links_and_pipes_in_a_folder_do_not_stop_it(ward):
    before = list_files([str(ward)])
    (ward / "above").symlink_to(ward)
    (ward / "itself.png").symlink_to(ward / "itself.png")
    (ward / "lost.png").symlink_to(ward / "nowhere.png")
    os.mkfifo(ward / "pipe.png")
    os.mkfifo(ward / "IM0002")
    assert list_files([str(ward)]) == before
    (ward / "same.png").symlink_to(ward / "a.jpeg")
    assert set(list_files([str(ward)])) == {*before, str(ward / "same.png")}


def test_what_means_no_file_is_refused(ward, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png does not exist"):
        list_files([str(ward / "none.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no file of \.png, .*and no DICOM file"):
        list_files([str(tmp_path / "empty")])
    pd.DataFrame({"number": np.arange(3)}).to_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(ValueError, match="numbers.parquet has no column with names of files; it has number"):
        list_files([str(tmp_path / "numbers.parquet")])
