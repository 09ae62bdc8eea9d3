"""A table from anywhere is read whole, its column of names is found, and what is wrong is named by file and line."""

import gzip

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chestxray.data import image_tables
from chestxray.data.image_names import ImageNames

IMAGES = ImageNames(["images/00000001_000.png", "images/00000001_001.png"])


def read(folder, text, name="theirs.csv"):
    (folder / name).write_text(text)
    return image_tables.read(folder / name)


@pytest.mark.parametrize("header", ["Image Index", "image_file_path", "path", "Unnamed: 0", "", "what"])
def test_the_column_of_names_is_found_whatever_it_is_called(tmp_path, header):
    table = read(tmp_path, f"Mass,{header},id\n0.5,00000001_000.png,x7\n0.1,00000001_001.png,x8\n")
    found = table.names_column(IMAGES)
    assert table.columns[found].tolist() == ["00000001_000.png", "00000001_001.png"]
    assert table.find_images(IMAGES, found, "NIH").tolist() == [0, 1]


def test_an_index_of_numbers_is_not_taken_for_names(tmp_path):
    table = read(tmp_path, ",image,Mass\n0,00000001_000,0.5\n1,00000001_001,0.1\n")
    assert table.names_column(IMAGES) == "image" and list(table.columns) == ["Unnamed: 0", "image", "Mass"]


@pytest.mark.parametrize("form", ["theirs.csv", "theirs.csv.gz", "theirs.parquet"])
def test_every_form_holds_the_same_table(tmp_path, form):
    frame = pd.DataFrame({"image": ["00000001_000.png", "00000001_001.png"], "Mass": [0.25, 0.5], "note": ["a", None]})
    path = tmp_path / form
    frame.to_parquet(path) if form.endswith("parquet") else frame.to_csv(path, index=False)
    table = image_tables.read(path)
    assert table.file == form and table.columns["image"].tolist() == frame["image"].tolist()
    assert [float(cell) for cell in table.columns["Mass"]] == [0.25, 0.5] and table.columns["note"].tolist() == [
        "a",
        "",
    ]


def test_the_index_of_a_parquet_file_counts_and_its_images_are_not_read(tmp_path):
    frame = pd.DataFrame({"Mass": [0.25]}, index=pd.Index(["00000001_000.png"], name="Image Index"))
    frame["image"] = [{"bytes": b"pixels", "path": "00000001_000.png"}]
    frame["image_category"] = pd.Categorical(["00000001_000.png"])
    frame.to_parquet(tmp_path / "theirs.parquet")
    table = image_tables.read(tmp_path / "theirs.parquet")
    assert table.columns["image"].tolist() == [""]
    assert table.columns["image_category"].tolist() == table.columns["Image Index"].tolist() == ["00000001_000.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "theirs.csv is empty"),
        ("image,Mass,Mass\n", "theirs.csv has two columns 'Mass': remove one"),
        ("image,Mass\na,1\n\nb\n", "theirs.csv, line 4: 1 cells, but the header has 2"),
        ('image,Mass\n"a,1\n', "theirs.csv, line 2: unexpected end of data"),
    ],
)
def test_a_damaged_table_is_named_by_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="theirs.txt is no table: its name must end in .csv, .csv.gz, .parquet"):
        read(tmp_path, "image\n", "theirs.txt")
    with pytest.raises(ValueError, match="theirs.parquet is no Parquet file, or a damaged one"):
        read(tmp_path, "image\n", "theirs.parquet")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"image,Mass\n" * 99)[:-9])
    with pytest.raises(ValueError, match="cut.csv.gz is damaged"):
        image_tables.read(tmp_path / "cut.csv.gz")
    with pytest.raises(FileNotFoundError, match="none.csv does not exist"):
        image_tables.read(tmp_path / "none.csv")
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match="twice.parquet has two columns 'a'"):
        image_tables.read(tmp_path / "twice.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when,Mass\nnow,1\n", "theirs.csv has no column with names of the images; it has when, Mass"),
        ("image,Mass\nx.png,1\n", "names no image of NIH: for example 'x.png' in column image; NIH has .*00000001_000"),
        ("image,Mass\n", "names no image of NIH: it has no rows"),
        (
            "image,Mass\n00000001_000,1\nother,1\nimages/00000001_000.png,1\n",
            "theirs.csv has images/00000001_000.png twice, in line 2 and line 4, column image: give one row per image",
        ),
        ("image,Mass\n00000001_000,1\nother,1\nother,1\n", "theirs.csv has other twice, in line 3 and line 4"),
    ],
)
def test_names_that_do_not_fit_are_one_clear_error(tmp_path, text, message):
    table = read(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        table.find_images(IMAGES, table.names_column(IMAGES), "NIH")


def test_one_known_image_among_many_rows_is_enough_to_find_the_column(tmp_path):
    rows = [f"{number},x{number}.png" for number in range(5_000)]
    rows[4_321] = "4321,00000001_001.png"
    table = read(tmp_path, "\n".join(["image,what", *rows]))
    assert table.names_column(IMAGES) == "what"
    assert (table.find_images(IMAGES, "what", "NIH") >= 0).nonzero()[0].tolist() == [4_321]
