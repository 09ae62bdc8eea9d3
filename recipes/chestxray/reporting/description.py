"""What the dataset card says about the data: every table and number of it, computed from the metadata."""

import pprint
from pathlib import Path

import numpy as np
from datasets import DatasetDict

from chestxray.reporting.description_blind import blind_facts
from chestxray.reporting.description_facts import facts
from chestxray.reporting.description_metadata import Metadata
from chestxray.reporting.description_tables import TABLES

LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}


def card_blocks(dataset: DatasetDict, data: Metadata, archive: Path) -> dict[str, str]:
    """{name of a place in the card: Markdown}, for all places except the figures'.

    Args:
        dataset: the config `metadata`; data: the same, as `read_metadata` gives it.
        archive: the folder that it was read from.
    """
    tables = {name: f"\n\n{table(data).markdown()}\n\n" for name, table in TABLES.items()}
    numbers = {**facts(data), **count_newlines(archive), **blind_facts(dataset)}
    return {**tables, **numbers, "instance": instance(dataset)}


def count_newlines(archive: Path) -> dict[str, str]:
    """Newline characters in the two lists, which is what `wc -l` counts."""
    paths = {split: sorted(Path(archive).rglob(name))[0] for split, name in LISTS.items()}
    counts = {split: path.read_bytes().count(b"\n") for split, path in paths.items()}
    return {f"newlines-{split}": f"{count:,}" for split, count in counts.items()}


def instance(dataset: DatasetDict, path: str = "images/00000798_022.png") -> str:
    """The row of one image as Python shows it, with short floats; the first row if that image is not there."""
    paths = dataset["train"]["image_file_path"][:]
    row = dataset["train"][paths.index(path) if path in paths else 0]
    row["original_pixel_spacing"] = [float(str(np.float32(side))) for side in row["original_pixel_spacing"]]
    return f"\n\n```text\n{pprint.pformat(row, sort_dicts=False)}\n```\n\n"
