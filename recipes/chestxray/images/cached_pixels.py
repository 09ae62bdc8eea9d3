"""The pixel cache read from its files, because pages of a file that is mapped stay in the process that reads them.

A mapped page stays until the kernel lacks memory. So each process that reads a cache through its map comes to hold all
of it. Where an image lies in its file is known from where its bytes lie in the map. Reading takes no longer: 6 μs for
an image of 224 pixels, as a copy from the map does (AMD EPYC, both from the kernel's own cache, 22 November 2026).
"""

import os
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from datasets import Dataset

from chestxray.data.datasets_internals import stored_column, stored_files
from chestxray.machine import FileMap, mapped_files

COLUMN = "pixels"


class CachedPixels:
    """The images of n rows with a column `pixels`, each of `size` bytes."""

    def __init__(self, rows: Dataset, size: int):
        self.rows, self.size = rows.with_format("arrow"), size
        self.places = find_places(rows, size)
        for descriptor in set(self.places.files.tolist() if self.places else ()):
            weakref.finalize(self, os.close, descriptor)

    def __reduce__(self):
        return CachedPixels, (self.rows, self.size)  # another process has other maps and other open files

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """(m, size) uint8.

        Raises:
            OSError: a file of the cache has become shorter.
        """
        if self.places is None:
            return np.stack([np.frombuffer(row.as_buffer(), np.uint8) for row in self.rows[indices][COLUMN]])
        pixels = np.empty((len(indices), self.size), np.uint8)
        files, offsets = (values[indices].tolist() for values in self.places)
        for image, file, offset in zip(pixels, files, offsets, strict=True):
            if os.preadv(file, [image.data], offset) != self.size:
                raise OSError("a file of the pixel cache became shorter while it was read: give the command again")
        return pixels


class Places(NamedTuple):
    """Where each image lies: the descriptor of its open file, and its first byte there. (n,) int64 each."""

    files: np.ndarray
    offsets: np.ndarray


def find_places(rows: Dataset, size: int) -> Places | None:
    """Where the images lie; None if they have to be read from the map or from memory.

    That is so where there is no /proc, and if an image is in memory, has not `size` bytes, or its file does not open.
    """
    whole, chosen = stored_column(rows, COLUMN)
    maps = sorted(mapped_files(stored_files(rows)))
    addresses = [image_addresses(chunk, size) for chunk in whole.chunks]
    if not maps or not addresses or any(found is None for found in addresses):
        return None
    first = np.concatenate([found for found in addresses if found is not None])
    first = first if chosen is None else first[chosen]
    begins, ends, shifts = np.array([(one.begin, one.end, one.offset - one.begin) for one in maps]).T
    place = np.searchsorted(begins, first, side="right") - 1
    if (place < 0).any() or (first + size > ends[place]).any():
        return None
    files = open_files([maps[number] for number in np.unique(place)])
    if not files:
        return None
    return Places(np.array([files.get(one, -1) for one in maps])[place], first + shifts[place])


def image_addresses(chunk: pa.Array, size: int) -> np.ndarray | None:
    """The address of each image's first byte, (m,) int64; None if one has not `size` bytes."""
    if not len(chunk):
        return np.zeros(0, np.int64)
    if not pa.types.is_binary(chunk.type) or chunk.null_count:
        return None
    _, offsets, data = chunk.buffers()
    ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return data.address + ends[:-1].astype(np.int64) if (np.diff(ends) == size).all() else None


def open_files(maps: Sequence[FileMap]) -> dict[FileMap, int]:
    """{map: descriptor of its file}; {} if a path leads to another file by now, or so many files may not be open."""
    files: dict[FileMap, int] = {}
    try:
        for one in maps:
            files[one] = os.open(one.path, os.O_RDONLY)
            if os.fstat(files[one]).st_ino != one.inode:
                raise FileNotFoundError(one.path)
        return files
    except OSError:
        for file in files.values():
            os.close(file)
        return {}
