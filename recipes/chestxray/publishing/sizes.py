"""The sizes in which images are published, as the command line names them, and the config of each."""

from typing import NamedTuple

FULL = "full"  # the archive's own bytes
THUMBNAIL = "thumbnail"  # to look through: JPEG, and one column per finding
SIDES = {"512": 512, "384": 384, "256": 256, "224": 224, "128": 128, THUMBNAIL: 224}  # pixels
SIZES = (FULL, *SIDES)  # the config of the first that is published is the default one
DEFAULT = {"parquet": (FULL, THUMBNAIL), "webdataset": (FULL,)}


class Series(NamedTuple):
    """All shards of one size.

    Attributes:
        config: the config and its folder.
        columns: a key of `shards.features_of`.
        side: pixels of shrunk images; None for the archive's own bytes.
    """

    config: str
    columns: str
    side: int | None


def series_of(size: str, form: str) -> Series:
    """What a name of SIZES means in Parquet or in tar files."""
    if size == FULL:
        return Series("full" if form == "parquet" else "image-classification", "full", None)
    if size == THUMBNAIL:
        return Series("thumbnails", "thumbnails", SIDES[size])
    return Series(f"image-classification-{size}", "full", SIDES[size])


def in_order(sizes: tuple[str, ...] | list[str] | None, form: str) -> list[str]:
    """The sizes that are asked for, each once, in the order of SIZES; the defaults for None.

    Raises ValueError for thumbnails in tar files: no viewer could filter them.
    """
    wanted = DEFAULT[form] if sizes is None else sizes
    if form != "parquet" and THUMBNAIL in wanted:
        raise ValueError(
            f"--sizes {THUMBNAIL} needs --format parquet: the Hub filters columns, and tar files have none"
        )
    return [size for size in SIZES if size in wanted]
