"""The cache of CheXpert and of MIMIC-CXR-JPG is that of what is read, and of all that is read."""

import os
import shutil

import pytest

from archives import build, plain, read_lines, write_archive, write_lines
from chestxray.data.chexpert import CheXpert
from chestxray.data.mimic import MIMICCXR

# layout: builder, a table it reads, a table it can do without
KINDS = {
    "chexpert": (CheXpert, "train.csv", "groundtruth.csv"),
    "mimic": (MIMICCXR, "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-negbio.csv.gz"),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return {layout: write_archive(layout, tmp_path_factory.mktemp("made") / layout, 20) for layout in KINDS}


@pytest.fixture(params=KINDS)
def layout(request):
    return request.param


@pytest.fixture
def archive(originals, layout, tmp_path):
    return shutil.copytree(originals[layout], tmp_path / "archive")


@pytest.fixture
def cache_of(layout, tmp_path):
    return lambda folder: KINDS[layout][0](data_dir=str(folder), cache_dir=str(tmp_path / "cache")).cache_dir


def test_what_is_not_read_and_another_spelling_make_no_new_cache(archive, layout, cache_of, tmp_path, monkeypatch):
    before = cache_of(archive)
    (archive / "note.txt").write_text("seen")
    (archive / "runs").mkdir()
    (archive / "runs" / "predictions.parquet").write_bytes(b"PAR1")
    (archive / "above").symlink_to(archive)
    (archive / KINDS[layout][2]).unlink()
    (tmp_path / "link").symlink_to(archive)
    monkeypatch.chdir(archive)
    for folder in (f"{archive}/", ".", "above", f"../{archive.name}", tmp_path / "link"):
        assert cache_of(folder) == before, folder
    monkeypatch.chdir(tmp_path)
    archive.rename(tmp_path / "moved")
    assert cache_of("moved") == before


def test_a_replaced_image_and_an_edited_table_make_a_new_cache(archive, layout, cache_of):
    before = cache_of(archive)
    image, table = min(archive.rglob("*.jpg")), archive / KINDS[layout][1]
    data, state = image.read_bytes(), image.stat()
    image.write_bytes(data + b" ")
    assert cache_of(archive) != before
    image.write_bytes(data)
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache_of(archive) == before
    write_lines(table, [*read_lines(table), read_lines(table)[1]])
    assert cache_of(archive) != before


def test_a_lost_link_or_a_fifo_in_the_place_of_an_image_is_named(archive, cache_of, tmp_path):
    image = min(archive.rglob("*.jpg"))
    image.unlink()
    image.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match=f"{image} cannot be read: No such file"):
        cache_of(archive)
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(OSError, match=f"{image} is no ordinary file"):
        cache_of(archive)


def test_read_from_inside_its_folder_it_keeps_the_images_themselves(archive, layout, tmp_path, monkeypatch):
    monkeypatch.chdir(archive)
    rows = plain(build(KINDS[layout][0], ".", tmp_path / "cache")["train"])
    assert rows and all(row["image"] == (archive / path).read_bytes() for path, row in rows.items())
