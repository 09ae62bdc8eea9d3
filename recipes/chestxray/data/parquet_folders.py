"""Folders of Parquet: as publish.py writes them, as they lie on the Hub, or anybody's."""

import re
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import config

from chestxray.data.tar_subsets import is_tar_subset

nih = import_module("NIH-Chest-X-ray-dataset")
KEY = b"chestxray"  # in the metadata of the files that publish.py writes
SHARD = re.compile(r"(train|valid|val|dev|test)")  # how the name of a Hub repository's Parquet file begins


def is_parquet(folder):
    """Whether a folder is to be read as Parquet, as a Hub repository is.

    Shards named after a split, at its top or one folder below, make it one. Beside NIH's own tables and images they do
    so only where `configs` in README.md name what to load; any other Parquet only where no table or shard is known.
    """
    if shards_of(folder):
        return has_configs(folder / "README.md") or not nih.is_release(folder)
    names = [Path(path).name for path in nih.files_below(folder)]
    if any(name in nih.TABLES for name in names) or is_tar_subset(folder):
        return False
    return any(name.endswith(".parquet") for name in names)


def has_configs(card):
    """Whether the front matter of a dataset card says which files to load."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    matter = text.partition("\n---")[0]
    return matter.startswith("---\n") and re.search(r"^configs:", matter, re.MULTILINE) is not None


def shards_of(folder):
    """Parquet files named after a split, at a folder's top or one folder below."""
    return sorted(path for path in (*folder.glob("*.parquet"), *folder.glob("*/*.parquet")) if SHARD.match(path.name))


def cache_of(folder):
    """Where `datasets` is to keep a folder of Parquet: by what is read. None, its own place, for what is no folder.

    `datasets` itself keys a folder with a README.md by its name and that page, so that one that was published anew, or
    another one of the same name, would be served as the first one was (seen with 5.2).
    """
    if not folder.is_dir():
        return None
    shards = shards_of(folder) or sorted(folder.rglob("*.parquet"))
    tables = [str(folder / "README.md")] if (folder / "README.md").is_file() else []
    key = nih.fingerprint(str(folder), tables, map(str, shards))
    return str(Path(config.HF_DATASETS_CACHE) / f"parquet-{key[:16]}")


def is_published(file):
    """Whether a Parquet file carries the digest that publish.py writes into its shards."""
    return bool(re.fullmatch("[0-9a-f]{64}", read_key(file) or ""))


def read_key(path):
    """The key a file was written with; None where it is no whole Parquet file, or not ours."""
    try:
        return (pq.read_schema(path).metadata or {}).get(KEY, b"").decode()
    except pa.ArrowInvalid:
        return None
