"""Tar shards give the rows of the archive they were made from, and nothing in them is ever unpickled."""

import csv
import os
import pickle
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import webdataset
from datasets import Image

from chestxray import NIHChestXray
from chestxray.data.labels import findings, targets
from chestxray.data.tar_subsets import TarSubset, is_tar_subset
from conftest import ROOT

HEADER = ["Image Index", *NIHChestXray("metadata").info.features["labels"].feature.names[1:]]
PARTS = {"train": slice(0, 5), "val": slice(5, 7), "test": slice(7, 11)}
SHARD = "datasets/ChestXray14_train_001.tar"


def load(folder, cache, num_proc=None, **settings):
    builder = TarSubset(data_dir=str(folder), cache_dir=str(cache), **settings)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset()


def plain(rows):
    """Rows by path, images as bytes."""
    rows = rows.cast_column("image", Image(decode=False))
    return {
        row["image_file_path"]: {**row, "image": row["image"]["bytes"], "labels": set(row["labels"])} for row in rows
    }


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=12)


@pytest.fixture(scope="module")
def original(archive, tmp_path_factory):
    """Every row of the archive the shards are made from, by path."""
    builder = NIHChestXray("full", data_dir=str(archive), cache_dir=str(tmp_path_factory.mktemp("cache")))
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    return plain(dataset["train"]) | plain(dataset["test"])


@pytest.fixture
def noya(archive, original, tmp_path):
    """Some of the archive as MichaelNoya writes it: two images a tar, a pickled vector beside each, a CSV a split."""
    folder = tmp_path / "noya"
    (folder / "datasets").mkdir(parents=True)
    (folder / "labels").mkdir()
    for split, part in PARTS.items():
        pattern = str(folder / "datasets" / f"ChestXray14_{split}_%03d.tar")
        table = [HEADER]
        with webdataset.ShardWriter(pattern, maxcount=2, verbose=0) as sink:
            for path in sorted(original)[part]:
                name = path.removeprefix("images/")
                hot = [int(number in original[path]["labels"]) for number in range(1, 15)]
                png = (archive / "images" / name).read_bytes()
                sink.write({"__key__": name[:-4], "png": png, "pyd": np.array(hot, "float")})
                table.append([name, *hot])
        with open(folder / "labels" / f"{split}_labels.csv", "w", newline="") as file:
            csv.writer(file).writerows(table)
    return folder


@pytest.fixture(scope="module")
def published(archive, tmp_path_factory):
    """The archive as publish.py writes it."""
    folder = tmp_path_factory.mktemp("published") / "out"
    command = [sys.executable, ROOT / "recipes" / "publish.py", archive, folder, "--format", "webdataset"]
    subprocess.run([*command, "--num-proc", "1"], check=True, capture_output=True)
    return folder


def rewrite(path, change):
    """A tar with other members: `change(name, data)` gives a new pair, or None to leave it out."""
    with tarfile.open(path) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old]
    with tarfile.open(path, "w") as new:
        for pair in (change(*member) for member in members):
            if pair:
                beside = path.with_name("member")
                beside.write_bytes(pair[1])
                new.add(beside, pair[0])
                beside.unlink()


def edit(path, change):
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


# MichaelNoya's


def test_his_subset_gives_the_rows_of_the_archive_in_his_splits(noya, original, tmp_path):
    dataset = load(noya, tmp_path / "cache")
    assert dataset.num_rows == {"train": 5, "validation": 2, "test": 4}
    assert dataset["train"].column_names == ["image_file_path", "image", "labels", "patient_id"]
    for split, part in zip(("train", "validation", "test"), PARTS.values(), strict=True):
        wanted = sorted(original)[part]
        columns = ("image_file_path", "image", "labels", "patient_id")
        assert plain(dataset[split]) == {path: {name: original[path][name] for name in columns} for path in wanted}
    labels = [label for row in dataset["train"]["labels"] for label in row]
    assert len(set(labels)) > 2 and dataset["train"][0]["image"].size == (32, 32)


def test_an_image_without_a_finding_is_labelled_no_finding(noya, tmp_path):
    edit(
        noya / "labels" / "val_labels.csv", lambda lines: [lines[0], *(f"{line[:16]}{',0' * 14}" for line in lines[1:])]
    )
    rows = load(noya, tmp_path / "cache")["validation"]
    assert rows["labels"][:] == [[0], [0]]
    assert not targets(rows, findings(None, [rows])).any()


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_is_ever_unpickled(noya, original, tmp_path):
    proof, unpickled = tmp_path / "proof", tmp_path / "unpickled"
    pickle.loads(pickle.dumps(Bomb(proof))).close()
    assert proof.exists()
    for path in (noya / "datasets").iterdir():
        rewrite(path, lambda name, data: (name, pickle.dumps(Bomb(unpickled)) if name.endswith(".pyd") else data))
    dataset = load(noya, tmp_path / "cache")
    assert sum(dataset.num_rows.values()) == 11 and not unpickled.exists()
    assert all(row["labels"] == original[path]["labels"] for path, row in plain(dataset["train"]).items())


def test_several_processes_read_what_one_does(noya, tmp_path):
    one, two = (load(noya, tmp_path / f"cache{number}", num_proc=number) for number in (1, 2))
    assert all(plain(one[split]) == plain(two[split]) for split in one)


def test_a_subset_that_has_changed_is_not_served_from_the_cache(noya, tmp_path):
    before = load(noya, tmp_path / "cache")["test"]["labels"][:]
    edit(
        noya / "labels" / "test_labels.csv",
        lambda lines: [lines[0], *(f"{line[:16]}{',1' * 14}" for line in lines[1:])],
    )
    assert load(noya, tmp_path / "cache")["test"]["labels"][:] == [list(range(1, 15))] * 4 != before


def test_the_cache_is_that_of_what_is_read(noya, tmp_path, monkeypatch):
    def cache_of(folder):
        return TarSubset(data_dir=str(folder), cache_dir=str(tmp_path / "cache")).cache_dir

    before = cache_of(noya)
    (noya / "note.txt").write_text("seen")
    (noya / "above").symlink_to(noya)
    (tmp_path / "link").symlink_to(noya)
    monkeypatch.chdir(tmp_path)
    assert {cache_of(folder) for folder in (noya, f"{noya}/", "noya", "./link")} == {before}
    os.utime(noya / SHARD, ns=(0, 10**18))
    assert cache_of(noya) != before


def test_read_from_inside_the_archive_it_keeps_the_images_themselves(noya, archive, original, tmp_path, monkeypatch):
    monkeypatch.chdir(archive)  # where images/NAME.png is a file
    rows = plain(load(noya, tmp_path / "cache")["train"])
    assert {path: row["image"] for path, row in rows.items()} == {path: original[path]["image"] for path in rows}


def without_table(folder):
    (folder / "labels" / "train_labels.csv").unlink()


def without_row(folder):
    edit(folder / "labels" / "train_labels.csv", lambda lines: lines[:-1])


def cut(folder):
    data = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(data[: len(data) // 3])


def garbled(folder):
    rewrite(folder / SHARD, lambda name, data: (name, data.replace(b"IDAT", b"IDAT~", 1)))


def twice(folder):
    (folder / "datasets" / "ChestXray14_train_009.tar").write_bytes((folder / SHARD).read_bytes())


def row_twice(folder):
    edit(folder / "labels" / "train_labels.csv", lambda lines: [*lines, lines[1]])


def without_image(folder):
    (folder / SHARD).unlink()


def odd_cell(folder):
    edit(folder / "labels" / "train_labels.csv", lambda lines: [*lines[:2], lines[2][:-1] + "2", *lines[3:]])


def odd_column(folder):
    edit(folder / "labels" / "train_labels.csv", lambda lines: [lines[0].replace("Hernia", "Fracture"), *lines[1:]])


@pytest.mark.parametrize(
    "damage, error, message",
    [
        (without_table, FileNotFoundError, r"No train_labels.csv in .*noya.* never from the pickled .pyd"),
        (
            without_row,
            ValueError,
            r"ChestXray14_train_002.tar/\d{8}_\d{3}.png has no row in .*train_labels.csv \(1 such",
        ),
        (cut, ValueError, r"ChestXray14_train_001.tar is damaged"),
        (garbled, ValueError, r"ChestXray14_train_001.tar/\d{8}_\d{3}.png is damaged at its IDAT"),
        (twice, ValueError, r"\.png comes twice: .*train_001.tar/.* and .*train_009.tar/"),
        (row_twice, ValueError, r"train_labels.csv, line 7: \d{8}_\d{3}.png comes a second time"),
        (without_image, ValueError, r"2 of the 5 images of .*train_labels.csv are in no tar: .*allow_missing=True"),
        (odd_cell, ValueError, r"train_labels.csv, line 3 \(\d{8}_\d{3}.png\): .*'2'\] is not 0 or 1"),
        (odd_column, ValueError, r"train_labels.csv has the columns .*'Fracture'\]; expected .*Hernia"),
    ],
)
def test_a_damaged_subset_is_refused_with_file_and_image_or_row(noya, tmp_path, damage, error, message):
    damage(noya)
    with pytest.raises(error, match=message):
        load(noya, tmp_path / "cache")


@pytest.mark.parametrize("where, message", [("header", "a header cannot be read"), ("end", "its end is missing")])
def test_a_tar_whose_members_end_too_soon_is_refused_not_read_in_part(published, tmp_path, where, message):
    folder = tmp_path / "shards"
    shutil.copytree(next(published.glob("*/train-*.tar")).parent, folder)
    (path,) = folder.glob("train-*.tar")
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        at = archive.getmembers()[2].offset
    path.write_bytes(data[:at] + bytes(512) + data[at + 512 :] if where == "header" else data[:at])
    with pytest.raises(ValueError, match=f"{path.name} is damaged at or after .*: {message}"):
        load(folder, tmp_path / "cache")


def test_missing_images_are_left_out_and_counted_when_asked_for(noya, original, tmp_path, caplog):
    without_image(noya)
    dataset = load(noya, tmp_path / "cache", allow_missing=True)
    gone = sorted(original)[2:4]
    assert set(plain(dataset["train"])) == set(sorted(original)[:5]) - set(gone)
    assert "2 of the 5 images" in caplog.text


# Ours


def test_our_shards_give_the_rows_of_the_archive_they_were_published_from(published, original, tmp_path):
    dataset = load(published, tmp_path / "cache")
    rows = plain(dataset["train"]) | plain(dataset["test"])
    assert rows == {path: {name: row[name] for name in dataset["train"].column_names} for path, row in original.items()}
    assert {"patient_id", "patient_age", "patient_sex", "view_position"} < set(dataset["train"].column_names)
    assert dataset["train"].info.description.startswith("Synthetic")


@pytest.fixture
def shards(published, tmp_path):
    """A copy of the published folder to be damaged."""
    folder = tmp_path / "shards"
    (folder / "image-classification").mkdir(parents=True)
    for path in (published / "image-classification").iterdir():
        (folder / "image-classification" / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_lost_shard_of_ours_is_noticed(shards, tmp_path):
    (path,) = (shards / "image-classification").glob("train-*")
    path.rename(path.with_name("train-00001-of-00003.tar"))
    with pytest.raises(ValueError, match="1 of the 3 shards of train are in .*shards.*allow_missing=True"):
        load(shards, tmp_path / "cache")
    assert load(shards, tmp_path / "cache", allow_missing=True)["train"].num_rows


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda name, data: None if name.endswith(".json") else (name, data), r"train-.*\.png has no \.json beside it"),
        (lambda name, data: (name, data.replace(b'"label_names": [', b'"label_names": ["Cough", ')), "finding 'Cough'"),
        (lambda name, data: (name, b"{" if name.endswith(".json") else data), r"\.json is not as publish.py writes it"),
        (
            lambda name, data: (name.replace(".png", ".jpg"), data),
            r"train-00000-of-00001.tar holds no image named like",
        ),
    ],
)
def test_a_shard_of_ours_without_proper_labels_is_refused_with_the_member(shards, tmp_path, change, message):
    (path,) = (shards / "image-classification").glob("train-*")
    rewrite(path, change)
    with pytest.raises(ValueError, match=message):
        load(shards, tmp_path / "cache")


def test_of_the_same_images_in_two_sizes_one_has_to_be_chosen(shards, original, tmp_path):
    (shards / "image-classification").rename(shards / "full")
    (shards / "small").mkdir()
    for path in (shards / "full").iterdir():
        (shards / "small" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="choose one of .*shards/full, .*shards/small"):
        load(shards, tmp_path / "cache")
    assert sum(load(shards / "small", tmp_path / "cache").num_rows.values()) == len(original)


# Which is which


def test_a_tar_subset_is_told_from_other_folders(noya, published, archive, release, tmp_path):
    assert is_tar_subset(noya) and is_tar_subset(published)
    without_table(noya)
    assert is_tar_subset(noya)  # so that the error names the table
    assert not is_tar_subset(archive) and not is_tar_subset(release("tar"))
    with pytest.raises(FileNotFoundError, match="holds no tar shards like"):
        load(archive, tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        load(tmp_path / "nowhere", tmp_path / "cache")
