"""Folders and Hub repositories of Parquet, from any owner. `datasets` reads them by itself."""

import os
import re
from pathlib import Path

from datasets import DatasetInfo
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from chestxray.data.datasets_internals import cache_root
from chestxray.data.descriptor import SYNTHETIC_MARK, Descriptor
from chestxray.data.nih import builder_file
from chestxray.data.tar_subsets import is_shard_name

SHARD = re.compile(r"(train|valid|val|dev|test)")  # how the name of a Hub repository's Parquet file begins


def is_parquet(folder: Path) -> bool:
    """Whether a folder is to be read as Parquet, as a Hub repository is.

    It is, if it holds Parquet files named after a split, at its top or one folder below. If NIH's own tables and images
    are there too, `configs` in README.md must also name what to load. Other Parquet files count only if the folder has
    neither tables of NIH's nor tar shards.
    """
    if find_shards(folder):
        return has_configs(folder / "README.md") or not builder_file.is_release(folder)
    names = [os.path.basename(path) for path in builder_file.files_below(folder)]
    if any(name in builder_file.TABLES or is_shard_name(name) for name in names):
        return False
    return any(name.endswith(".parquet") for name in names)


def refuse_several(folder: Path) -> None:
    """Raise ValueError if folders side by side hold the same split, and no card says which of them to load.

    `datasets` would join their rows, and count images twice that are in both.
    """
    homes: dict[str, Path] = {}
    for path in [] if has_configs(folder / "README.md") else find_shards(folder):
        split = SHARD.match(path.name)[0]  # type: ignore[index]
        if (first := homes.setdefault(split, path.parent)) != path.parent:
            raise ValueError(
                f"{folder} holds several datasets, {first} and {path.parent} among them: give one of them."
            )


def has_configs(card: Path) -> bool:
    """Whether the front matter of a dataset card says which files to load."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    matter = text.partition("\n---")[0]
    return matter.startswith("---\n") and re.search(r"^configs:", matter, re.MULTILINE) is not None


def find_shards(folder: Path) -> list[Path]:
    """Parquet files named after a split, at a folder's top or one folder below."""
    return sorted(path for path in (*folder.glob("*.parquet"), *folder.glob("*/*.parquet")) if SHARD.match(path.name))


def cache_of(folder: Path) -> str | None:
    """Where `datasets` is to keep a folder of Parquet; the name comes from the content. None for a Hub id.

    For a folder with a README.md, `datasets` makes its cache key from the folder's name and this page. If the folder is
    published again, or another folder has the same name, it would give the old rows (seen with 5.2).
    """
    if not folder.is_dir():
        return None
    shards = find_shards(folder) or sorted(folder.rglob("*.parquet"))
    tables = [str(folder / "README.md")] if (folder / "README.md").is_file() else []
    key = builder_file.fingerprint(str(folder), tables, map(str, shards))
    return str(cache_root() / f"parquet-{key[:16]}")


# Marks and descriptions that came with the data


def has_hub_mark(repository: str) -> bool:
    """Whether publish.py's mark of drawn images lies in a dataset repository; False if the Hub does not answer.

    The answer is kept in the Hub's cache, so that it is the same later without a network.
    """
    try:
        hf_hub_download(repository, SYNTHETIC_MARK, repo_type="dataset")
    except (EntryNotFoundError, HfHubHTTPError, ValueError):  # ValueError: no repository has such a name
        return False
    return True


def described_name(info: DatasetInfo) -> str | None:
    """The name in a description that came with the data: the words up to its first colon or semicolon.

    `push_to_hub` of old releases of `datasets` published the builder's description, which has that form.
    """
    return re.split("[:;]", info.description or "", maxsplit=1)[0].strip() or None


def is_described_as_synthetic(info: DatasetInfo) -> bool:
    """Whether such a description says that the images were drawn. It then begins with this word."""
    return (info.description or "").startswith("Synthetic")


DESCRIPTOR = Descriptor(name=None, licence="", may_be_passed_on=False, recognise=is_parquet, build=None)
