"""Parquet as publish.py writes it; each file has a key that shows this. publish.py takes only NIH's archive."""

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from chestxray.data.descriptor import has_mark
from chestxray.data.nih import DESCRIPTOR as NIH
from chestxray.data.parquet_folders import find_shards, is_parquet

KEY = b"chestxray"  # in the metadata of the files that publish.py writes


def is_published(folder: Path) -> bool:
    """Whether a folder is to be read as Parquet, and every Parquet file below it is publish.py's."""
    return bool(find_shards(folder)) and is_parquet(folder) and all(map(has_key, folder.rglob("*.parquet")))


def has_key(file: Path) -> bool:
    """Whether a Parquet file carries the digest that publish.py writes into its shards; a broken link does not."""
    return file.is_file() and re.fullmatch("[0-9a-f]{64}", read_key(file) or "") is not None


def read_key(path: Path) -> str | None:
    """The key a file was written with; None if it is no whole Parquet file, or not ours."""
    try:
        return (pq.read_schema(path).metadata or {}).get(KEY, b"").decode()
    except pa.ArrowInvalid:
        return None


def is_synthetic(folder: Path) -> bool:
    """Whether the images were drawn. The mark lies at the top of a repository; the folder may be one of its sizes."""
    return has_mark(folder) or has_mark(folder.absolute().parent)


# A part of the release looks the same as the whole, so reports take the folder's name.
DESCRIPTOR = replace(NIH, name=None, recognise=is_published, build=None, is_synthetic=is_synthetic)
