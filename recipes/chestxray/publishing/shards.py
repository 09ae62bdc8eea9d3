"""The files of a published dataset: which images each of them holds, and how one is written.

A shard is planned from the archive's lists alone. So the number of processes and interruptions change no byte of it.
It carries a key: the digest of all it is made from. A file with the right key is finished.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import PIL
import pyarrow
from datasets import GeneratorBasedBuilder

from chestxray import files, png
from chestxray.data import archive, nih_dicom, published_parquet
from chestxray.data.nih import NIHChestXray
from chestxray.images.decoding import shrink_bytes
from chestxray.publishing import parquet, tarshards

SHARD_IMAGES = 1200  # NIH's images average 0.4 MB: about 480 MB
SHRUNK_PIXELS = 480e6 / 0.42  # pixels in a shard of shrunk images, which take 3.1 to 3.7 bits each


class Format(NamedTuple):
    """How a file of shards ends, is written and gives its key back."""

    suffix: str
    write_rows: Callable
    read_key: Callable


FORMATS = {
    "parquet": Format(parquet.SUFFIX, parquet.write_rows, published_parquet.read_key),
    "webdataset": Format(tarshards.SUFFIX, tarshards.write_rows, tarshards.read_key),
}


@dataclass(frozen=True)
class Shard:
    """One file to write.

    Attributes:
        form: a name of FORMATS.
        config: the folder of the file.
        columns: the builder's config that names its columns.
        number, of: the file is `number` (from 0) of `of` files.
        size: side of shrunk images in pixels; None for the archive's own bytes.
        images: ((name, Place or None), …).
        records: {name: (row, boxes)}, what the builder needs.
    """

    form: str
    config: str
    columns: str
    split: str
    number: int
    of: int
    size: int | None
    images: tuple
    records: dict

    @property
    def file(self) -> str:
        return f"{self.config}/{self.split}-{self.number:05}-of-{self.of:05}{FORMATS[self.form].suffix}"

    @property
    def key(self) -> str:
        made_by = (pyarrow.__version__, PIL.__version__, self.file, self.columns, self.size)
        made_from = [(name, place and place.size, self.records[name]) for name, place in self.images]
        return files.digest(repr((made_by, made_from)))


def plan_shards(
    source: archive.Archive, splits: Mapping[str, Sequence[str]], form: str = "parquet", sizes: Sequence[int] = ()
) -> list[Shard]:
    """Every shard of a repository, in the order in which they are written.

    Args:
        splits: {split: names}; names without an image are left out of all but `metadata`.
        sizes: sides in pixels of the shrunk configs.
    """
    present = {split: [name for name in names if name in source.places] for split, names in splits.items()}
    if source.compressed:  # keep the archive's own order, because a jump back means to read from its beginning again
        present = {split: sorted(names, key=lambda name: source.places[name][:3]) for split, names in present.items()}
    full = "full" if form == "parquet" else "image-classification"
    shards = config_shards(source, present, SHARD_IMAGES, form, full, "full")
    for size in sizes:
        length = max(int(SHRUNK_PIXELS / (size * size)), 1)
        shards += config_shards(source, present, length, form, f"image-classification-{size}", "full", size)
    if form == "parquet":
        boxed = {split: [name for name in names if source.records[name][1]] for split, names in present.items()}
        shards += config_shards(source, boxed, SHARD_IMAGES, form, "object-detection", "object-detection")
        shards += config_shards(source, splits, None, form, "metadata", "metadata")
    return shards


def config_shards(
    source: archive.Archive,
    splits: Mapping[str, Sequence[str]],
    length: int | None,
    form: str,
    config: str,
    columns: str,
    size: int | None = None,
) -> list[Shard]:
    """The shards of one config: `length` images in each but the last; all rows in one shard where `length` is None."""
    shards = []
    for split, names in splits.items():
        step = length or max(len(names), 1)
        parts = [names[start : start + step] for start in range(0, len(names), step)]
        for number, part in enumerate(parts):
            images = tuple((name, source.places[name] if length else None) for name in part)
            records = {name: source.records[name] for name in part}
            shards.append(Shard(form, config, columns, split, number, len(parts), size, images, records))
    return shards


def is_finished(out: Path, shard: Shard) -> bool:
    path = Path(out) / shard.file
    return path.exists() and FORMATS[shard.form].read_key(path) == shard.key


def write_shard(out: Path, shard: Shard, tick: Callable[[int], None] = lambda images: None) -> None:
    """Write a shard; it is whole or not there. `tick(1)` is called for each image that is done.

    Raises:
        ValueError: an image or an archive is damaged; the message names it.
        OSError: the disk is full; the message names the shard, and nothing of it is left.
    """
    path = Path(out) / shard.file
    try:
        with files.whole_file(path) as part:
            features = builder_of(shard.columns).info.features
            FORMATS[shard.form].write_rows(part, shard_rows(shard, tick), features, shard.key)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(f"The disk of {out} is full; {shard.file} did not fit. Make room and start again.") from error


def shard_rows(shard: Shard, tick: Callable[[int], None]) -> Iterator[dict]:
    """The builder's examples for the shard's images, shrunk if the shard has a size."""

    def read(images, wanted):
        for name, place in images:
            yield (nih_dicom.png_name(place.name), archive.read_member(place)) if place else (name, None)
            tick(1 if place else 0)

    for _, example in builder_of(shard.columns)._generate_examples([(read, shard.images)], shard.records):
        if "image" in example:
            example["image"]["path"] = example["image_file_path"]  # the same for every folder of the archive
        if shard.size:
            example["image"]["bytes"] = shrink(example["image"], shard.size)
        yield example


def shrink(image: Mapping, size: int) -> bytes:
    """{"path", "bytes"} of a PNG as the bytes of a size × size grey one."""
    try:
        return png.encode_grey(shrink_bytes(image["bytes"], size))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{image['path']} is damaged: {error}. Fetch it again.") from error


@lru_cache
def builder_of(config: str) -> GeneratorBasedBuilder:
    return NIHChestXray(config)


def refuse_strangers(out: Path, shards: Sequence[Shard]) -> None:
    """Raise ValueError if `out` holds shards of another archive or of other settings."""
    planned = {shard.file for shard in shards}
    found = {path.relative_to(out).as_posix() for path in Path(out).glob("*/*-of-*.*")}
    if strangers := sorted(found - planned):
        raise ValueError(
            f"{out} holds {len(strangers)} shards of another archive or other settings, {strangers[0]} among them. "
            "Publish into an empty folder, or delete them."
        )


def count_images(shards: Sequence[Shard]) -> int:
    """How many images the shards hold together; a row without its image does not count."""
    return sum(place is not None for shard in shards for _, place in shard.images)
