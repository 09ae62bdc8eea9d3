"""Shards as WebDataset: a tar of `KEY.png` and `KEY.json`, nothing pickled."""

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets import Features

SUFFIX = ".tar"


@contextmanager
def open_rows(path: Path, features: Features, key: str) -> Iterator[Callable[[dict], None]]:
    """A function that writes one example; `read_key` gives `key` back."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": key}) as archive:

        def add(row: dict) -> None:
            stem = os.path.splitext(os.path.basename(row["image_file_path"]))[0]
            add_member(archive, f"{stem}.png", row["image"]["bytes"])
            add_member(archive, f"{stem}.json", json.dumps(row_values(row, features)).encode())

        yield add


def row_values(row: dict, features: Features) -> dict:
    """An example without its image as plain values, names beside the numbers of classes.

    Every sample has the same keys with values of the same types, and no list is ever empty: `datasets` guesses the
    types from the first five. The boxes, which few images have, are therefore one string that holds JSON.
    """
    label = features["labels"].feature
    boxes = zip(row["objects"]["bbox"], row["objects"]["category"], strict=True)
    return {
        **{name: value for name, value in row.items() if name not in ("image", "objects")},
        "label_names": [label.int2str(number) for number in row["labels"]],
        "patient_sex": features["patient_sex"].int2str(row["patient_sex"]),
        "view_position": features["view_position"].int2str(row["view_position"]),
        "boxes": json.dumps([{"bbox": box, "label": label.int2str(number)} for box, number in boxes]),
    }


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # owner 0, mode 644, time 0: the same bytes on every machine
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def read_key(path: Path) -> str | None:
    """The key a file was written with; None if it is not a tar, or not ours."""
    try:
        with tarfile.open(path, "r:") as archive:
            return archive.pax_headers.get("comment")
    except tarfile.TarError:
        return None
