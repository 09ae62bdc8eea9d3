"""Images come from the cache's files as from its map, and the map's pages stay out of the process."""

import os
import pickle
import sys

import numpy as np
import pytest
from datasets import Dataset, Features, Value, concatenate_datasets

from chestxray.images.cached_pixels import CachedPixels

SIZE = 16 * 16
FEATURES = Features({"image_file_path": Value("string"), "pixels": Value("binary")})
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def draw(count, seed=0, size=SIZE):
    """(rows in memory, their pixels)"""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)
    paths = [f"{number:08}_000.png" for number in range(count)]
    columns = {"image_file_path": paths, "pixels": [row.tobytes() for row in pixels]}
    return Dataset.from_dict(columns, features=FEATURES), pixels


def on_disk(rows, folder, shards=1):
    rows.save_to_disk(folder, num_shards=shards)
    return Dataset.load_from_disk(str(folder))


@linux
def test_rows_of_several_files_chosen_rows_and_joined_datasets_are_read_from_their_files(tmp_path):
    (rows, pixels), (others, their_pixels) = draw(50), draw(20, seed=1)
    mapped, theirs = on_disk(rows, tmp_path / "one", shards=3), on_disk(others, tmp_path / "two")
    order = np.random.default_rng(0).permutation(50)
    for found, wanted in (
        (mapped, pixels),
        (mapped.select(order), pixels[order]),
        (mapped.select(range(10, 30)), pixels[10:30]),
        (concatenate_datasets([mapped.select(order), theirs]), np.concatenate([pixels[order], their_pixels])),
    ):
        cached = CachedPixels(found, SIZE)
        assert cached.places is not None
        assert np.array_equal(cached.read(range(len(wanted))), wanted)
        some = [7, 3, 3, 9]
        assert np.array_equal(cached.read(some), wanted[some])


def test_what_lies_in_memory_is_read_there():
    rows, pixels = draw(50)
    cached = CachedPixels(rows, SIZE)
    assert cached.places is None and np.array_equal(cached.read([4, 1]), pixels[[4, 1]])


@linux
def test_one_part_in_memory_and_one_on_disk_are_read_together(tmp_path):
    (rows, pixels), (others, their_pixels) = draw(50), draw(20, seed=1)
    together = concatenate_datasets([on_disk(rows, tmp_path / "one"), others])
    assert np.array_equal(CachedPixels(together, SIZE).read([3, 60]), [pixels[3], their_pixels[10]])


@linux
def test_another_process_finds_the_files_again(tmp_path):
    rows, pixels = draw(50)
    again = pickle.loads(pickle.dumps(CachedPixels(on_disk(rows, tmp_path / "one"), SIZE)))
    assert again.places is not None and np.array_equal(again.read([4, 1]), pixels[[4, 1]])


@linux
def test_a_file_that_was_written_anew_is_not_taken_for_the_one_that_is_mapped(tmp_path):
    (rows, pixels), (others, _) = draw(50), draw(50, seed=1)
    mapped, (file,) = on_disk(rows, tmp_path / "one"), (tmp_path / "one").glob("*.arrow")
    on_disk(others, tmp_path / "two")
    os.replace(next((tmp_path / "two").glob("*.arrow")), file)
    assert np.array_equal(CachedPixels(mapped, SIZE).read([4, 1]), pixels[[4, 1]])


@linux
def test_if_so_many_files_may_not_be_open_the_map_is_read(tmp_path, monkeypatch):
    rows, pixels = draw(50)
    mapped = on_disk(rows, tmp_path / "one", shards=3)
    opened, really_open = [], os.open

    def refuse_the_third(path, flags):
        if len(opened) == 2:
            raise OSError(24, "Too many open files")
        opened.append(really_open(path, flags))
        return opened[-1]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse_the_third)
        cached = CachedPixels(mapped, SIZE)
    assert cached.places is None and np.array_equal(cached.read([4, 49]), pixels[[4, 49]])
    for file in opened:
        with pytest.raises(OSError):
            os.fstat(file)


@linux
def test_a_file_that_became_shorter_is_an_error_of_one_line(tmp_path):
    cached = CachedPixels(on_disk(draw(50)[0], tmp_path / "one"), SIZE)
    os.truncate(next((tmp_path / "one").glob("*.arrow")), 4096)
    with pytest.raises(OSError, match="pixel cache became shorter while it was read"):
        cached.read([40])


@linux
def test_files_are_closed_with_it(tmp_path):
    mapped = on_disk(draw(50)[0], tmp_path / "one", shards=3)
    before = len(os.listdir("/proc/self/fd"))
    cached = CachedPixels(mapped, SIZE)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    del cached
    assert len(os.listdir("/proc/self/fd")) == before


@linux
def test_images_that_were_read_leave_no_pages_in_the_process(tmp_path):
    cached = CachedPixels(on_disk(draw(500, size=2**17)[0], tmp_path / "one"), 2**17)
    before = mapped_mib()
    for first in range(0, 500, 50):
        cached.read(range(first, first + 50))
    assert mapped_mib() - before < 16, "of 62 MiB that were read"


def mapped_mib():
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("RssFile")]
    return int(line.split()[1]) / 1024
