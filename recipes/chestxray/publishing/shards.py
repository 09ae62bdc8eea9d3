"""The files of a published dataset: which images each of them holds, and how they are written.

A shard is planned from the archive's lists alone. So the number of processes and interruptions change no byte of it.
It carries a key: the digest of all it is made from. A file with the right key is finished.

All sizes are cut at the same images. So one job writes these images in every size, and reads and decodes each once.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import pyarrow
from datasets import Features, GeneratorBasedBuilder

from chestxray import files, png
from chestxray.data import archive, nih_dicom, published_parquet
from chestxray.data.nih import NIHChestXray, builder_file
from chestxray.images.decoding import decode_grey
from chestxray.images.resizing import resize_grey
from chestxray.publishing import parquet, sizes, tarshards, thumbnails

SHARD_IMAGES = 1200  # 480 MB of full-size images, 120 MB at 512 pixels, 36 MB at 256, 11 MB of thumbnails


class Format(NamedTuple):
    """How a file of shards ends, is written and gives its key back."""

    suffix: str
    open_rows: Callable
    read_key: Callable


FORMATS = {
    "parquet": Format(parquet.SUFFIX, parquet.open_rows, published_parquet.read_key),
    "webdataset": Format(tarshards.SUFFIX, tarshards.open_rows, tarshards.read_key),
}


@dataclass(frozen=True)
class Part:
    """The images of a shard. Shards of several sizes share one.

    Attributes:
        reads: the builder's config that reads them.
        number, of: the part is `number` (from 0) of `of` parts of the split.
        images: ((name, Place or None), …).
        records: {name: (row, boxes)}, what the builder needs.
    """

    reads: str
    split: str
    number: int
    of: int
    images: tuple
    records: dict


@dataclass(frozen=True)
class Shard:
    """One file to write.

    Attributes:
        form: a name of FORMATS.
        config: the folder of the file.
        columns: which columns it has, see `features_of`.
        size: side of shrunk images in pixels; None for the archive's own bytes.
    """

    form: str
    config: str
    columns: str
    size: int | None
    part: Part

    @property
    def split(self) -> str:
        return self.part.split

    @property
    def images(self) -> tuple:
        return self.part.images

    @property
    def file(self) -> str:
        numbers = f"{self.part.number:05}-of-{self.part.of:05}"
        return f"{self.config}/{self.split}-{numbers}{FORMATS[self.form].suffix}"

    @property
    def key(self) -> str:
        plain = [name for name in features_of(self.columns) if name in builder_file.PLAIN_COLUMNS]
        made_by = (pyarrow.__version__, PIL.__version__, self.file, self.columns, self.size, *plain)
        made_from = [(name, place and place.size, self.part.records[name]) for name, place in self.images]
        return files.digest(repr((made_by, made_from)))


# The plan


def plan_shards(
    source: archive.Archive,
    splits: Mapping[str, Sequence[str]],
    form: str = "parquet",
    wanted: Sequence[str] = (sizes.FULL,),
) -> list[Shard]:
    """Every shard of a repository. The first is of the default config.

    Args:
        splits: {split: names}; names without an image are left out of all but `metadata`.
        wanted: names of `sizes.SIZES`, in that order.
    """
    present = {split: [name for name in names if name in source.places] for split, names in splits.items()}
    if source.compressed:  # keep the archive's own order, because a jump back means to read from its beginning again
        present = {split: sorted(names, key=lambda name: source.places[name][:3]) for split, names in present.items()}
    series = [sizes.series_of(size, form) for size in wanted]
    parts = cut(source, present, "full", SHARD_IMAGES)
    shards = [Shard(form, config, columns, side, part) for config, columns, side in series for part in parts]
    if form == "parquet" and sizes.FULL in wanted:
        boxed = {split: [name for name in names if source.records[name][1]] for split, names in present.items()}
        parts = cut(source, boxed, "object-detection", SHARD_IMAGES)
        shards += [Shard(form, part.reads, part.reads, None, part) for part in parts]
    if form == "parquet":
        shards += [Shard(form, part.reads, part.reads, None, part) for part in cut(source, splits, "metadata", None)]
    return shards


def cut(source: archive.Archive, splits: Mapping[str, Sequence[str]], reads: str, length: int | None) -> list[Part]:
    """Parts of `length` images, the last of a split has fewer. None: all rows in one part, and no image is read."""
    parts = []
    for split, names in splits.items():
        step = length or max(len(names), 1)
        chosen = [names[start : start + step] for start in range(0, len(names), step)]
        for number, some in enumerate(chosen):
            images = tuple((name, source.places[name] if length else None) for name in some)
            parts.append(Part(reads, split, number, len(chosen), images, {name: source.records[name] for name in some}))
    return parts


def group_shards(shards: Sequence[Shard]) -> list[list[Shard]]:
    """The jobs: the shards of each part together."""
    groups: dict[int, list[Shard]] = {}
    for shard in shards:
        groups.setdefault(id(shard.part), []).append(shard)
    return list(groups.values())


def is_finished(out: Path, shard: Shard) -> bool:
    path = Path(out) / shard.file
    return path.exists() and FORMATS[shard.form].read_key(path) == shard.key


# Writing


def write_shards(out: Path, shards: Sequence[Shard], tick: Callable[[int], None] = lambda images: None) -> None:
    """Write shards of one part; each is whole or not there. `tick(1)` is called for each image that is done.

    Raises:
        ValueError: an image or an archive is damaged; the message names it.
        OSError: the disk is full; the message names the shard, and nothing of it is left.
    """
    with ExitStack() as stack:
        adds = [stack.enter_context(open_shard(out, shard)) for shard in shards]
        for rows in shard_rows(shards, tick):
            for add, row in zip(adds, rows, strict=True):
                add(row)


@contextmanager
def open_shard(out: Path, shard: Shard) -> Iterator[Callable[[dict], None]]:
    """A function that adds a row to the shard."""
    with name_if_full(out, shard), files.whole_file(Path(out) / shard.file) as path:
        with FORMATS[shard.form].open_rows(path, features_of(shard.columns), shard.key) as add:

            def add_row(row: dict) -> None:
                with name_if_full(out, shard):  # here, because an error passes through all shards that are open
                    add(row)

            yield add_row


@contextmanager
def name_if_full(out: Path, shard: Shard) -> Iterator[None]:
    """If the disk is full, say so, with the shard."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(f"The disk of {out} is full; {shard.file} did not fit. Make room and start again.") from error


def shard_rows(shards: Sequence[Shard], tick: Callable[[int], None] = lambda images: None) -> Iterator[list[dict]]:
    """For each image of a part the rows of its shards, in their order."""
    sides = {shard.size for shard in shards if shard.size}
    for example in examples(shards[0].part, tick):
        shrunk = shrink(example["image"], sides) if sides else {}
        yield [shard_row(shard, example, shrunk) for shard in shards]


def examples(part: Part, tick: Callable[[int], None]) -> Iterator[dict]:
    """The builder's examples for a part's images."""

    def read(images, wanted):
        for name, place in images:
            yield (nih_dicom.png_name(place.name), archive.read_member(place)) if place else (name, None)
            tick(1 if place else 0)

    for _, example in builder_of(part.reads)._generate_examples([(read, part.images)], part.records):
        if "image" in example:
            example["image"]["path"] = example["image_file_path"]  # the same for every folder of the archive
        yield example


def shrink(image: Mapping, sides: set[int]) -> dict[int, np.ndarray]:
    """{"path", "bytes"} of a PNG as {side: (side, side) uint8}; it is decoded once."""
    try:
        pixels = decode_grey(image["bytes"])
        return {side: resize_grey(pixels, side) for side in sides}
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{image['path']} is damaged: {error}. Fetch it again.") from error


def shard_row(shard: Shard, example: dict, shrunk: Mapping[int, np.ndarray]) -> dict:
    """The builder's example as a row of the shard."""
    if not shard.size:
        return example
    if shard.columns == "thumbnails":
        return thumbnails.thumbnail_row(example, shrunk[shard.size])
    return {**example, "image": {**example["image"], "bytes": png.encode_grey(shrunk[shard.size])}}


def features_of(columns: str) -> Features:
    """The columns of a shard: those of the builder's config of this name, or of the thumbnails."""
    return thumbnails.thumbnail_features() if columns == "thumbnails" else builder_of(columns).info.features


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


def count_images(groups: Sequence[Sequence[Shard]]) -> int:
    """How many images are read for these jobs; a row without its image does not count."""
    return sum(place is not None for shards in groups for _, place in shards[0].images)
