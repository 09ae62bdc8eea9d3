"""Where every image of a raw archive lies, so that any process can read any of them at any time."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from datasets import GeneratorBasedBuilder

from chestxray.data import nih_dicom
from chestxray.data.datasets_internals import split_arguments
from chestxray.data.descriptor import BuildOptions
from chestxray.data.nih import NIHChestXray, builder_file
from chestxray.data.nih_dicom import png_name, read_image

DAMAGE = builder_file.DAMAGE


class Place(NamedTuple):
    """Where an image lies.

    Attributes:
        file: the image, or the archive that holds it.
        member: its name in the archive, None for a file of its own.
        offset: where its bytes begin in a tar, else None.
        size: in bytes.
    """

    file: str
    member: str | None
    offset: int | None
    size: int

    @property
    def name(self) -> str:
        return f"{self.file}/{self.member}" if self.member else self.file


class Archive(NamedTuple):
    """What a raw archive holds.

    Attributes:
        splits: {split: names in the list's order}.
        records: {name: (row, boxes)} of every image that the lists name.
        places: {name: Place} of every image that is there.
        compressed: whether any image lies in a tar.gz, which can only be read from its beginning.
    """

    splits: dict[str, list[str]]
    records: dict[str, tuple]
    places: dict[str, Place]
    compressed: bool


def builder_of(folder: str | Path, allow_missing: bool = False) -> GeneratorBasedBuilder:
    """The builder of NIH's release in a folder, of PNG or of DICOM files, with the columns of the config `full`."""
    if os.path.isdir(folder) and nih_dicom.is_dicom_release(Path(folder)):
        return nih_dicom.build(Path(folder), BuildOptions(allow_missing))
    return NIHChestXray("full", data_dir=str(folder), allow_missing=allow_missing)


def open_archive(builder: GeneratorBasedBuilder, map: Callable = map) -> Archive:
    """The archive in the `data_dir` of a builder of the config `full`. No image is read.

    Args:
        map: a pool's `map` lists several archives at a time. That takes long for a tar.gz, which is read to its end.

    Raises:
        FileNotFoundError, ValueError: as the builder, also for images that are missing or come twice.
    """
    arguments = split_arguments(builder)
    splits = {split: list(given["records"]) for split, given in arguments.items()}
    records = {name: record for given in arguments.values() for name, record in given["records"].items()}
    sources = [source for given in arguments.values() for _, source in given["shards"]]
    loose = [path for source in sources if isinstance(source, list) for path in source]
    archives = list(dict.fromkeys(source[0] for source in sources if not isinstance(source, list)))

    places = {os.path.basename(png_name(path)): Place(path, None, None, os.path.getsize(path)) for path in loose}
    for listed in map(list_archive, archives):
        for place in listed:
            name = os.path.basename(place.member)
            if name not in records:
                continue
            if name in places:
                raise ValueError(f"{name} comes twice: {places[name].name} and {place.name}. Keep one of them.")
            places[name] = place
    for split, names in splits.items():
        builder._require(names, places, split, f"{len(loose)} loose images, {len(archives)} archives")
    return Archive(splits, records, places, any(is_gzip(path) for path in archives))


def list_archive(path: str) -> list[Place]:
    """Places of every file in a zip or tar; ValueError names a damaged archive."""
    last = "the beginning"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return [Place(path, info.filename, None, info.file_size) for info in archive.infolist()]
        places = []
        with (gzip.open if is_gzip(path) else open)(path, "rb") as file:
            for member in tarfile.open(fileobj=file, mode="r:"):
                last = member.name
                if member.isfile():
                    places.append(Place(path, member.name, member.offset_data, member.size))
            refuse_unless_end(file)
        return places
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged at or after {last}: {error}. Download it again.") from error


def refuse_unless_end(file: io.BufferedIOBase) -> None:
    """Raise tarfile.ReadError unless the archive is complete. It is read to the end: gzip checks itself there.

    tarfile alone would not notice: it takes a header that it cannot read for the end.
    """
    zeros = 0
    while data := file.read(1 << 20):
        if data.strip(b"\0"):
            raise tarfile.ReadError("a header cannot be read")
        zeros += len(data)
    if zeros < tarfile.BLOCKSIZE:  # two blocks of zeros end a tar; tarfile has read the first
        raise tarfile.ReadError("its end is missing")


def read_member(place: Place) -> bytes:
    """The bytes of a file or of an archive's member, those of a DICOM file as PNG.

    Raises ValueError for a damaged archive, with the member's name, and for a DICOM file without one grey picture.
    """
    if place.member is None:
        return read_image(place.file)
    try:
        archive = open_to_read(place.file)
        if isinstance(archive, zipfile.ZipFile):
            return archive.read(place.member)
        archive.seek(place.offset or 0)
        return archive.read(place.size)
    except DAMAGE as error:
        open_to_read.cache_clear()
        raise ValueError(f"{place.file} is damaged at or after {place.member}: {error}. Download it again.") from error


@lru_cache(maxsize=16)
def open_to_read(path: str) -> zipfile.ZipFile | io.BufferedIOBase:
    # The file stays open between images, because a tar.gz that is opened again is decompressed from its beginning.
    if zipfile.is_zipfile(path):
        return zipfile.ZipFile(path)
    return gzip.open(path) if is_gzip(path) else open(path, "rb")


def is_gzip(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"
