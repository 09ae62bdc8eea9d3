"""The images that a list names: one on each line, its first word, as in the lists of jlianglab."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chestxray.data.image_names import ImageNames
from chestxray.data.nih import builder_file


def find_listed(list_file: str | Path, paths: Sequence[str], where: str, allow_missing: bool = False) -> np.ndarray:
    """The positions of the images that a list names, in the order of `paths`: (m,) int.

    Args:
        paths: `image_file_path` of the images to choose from. A list may name them by path, file name or stem.
        where: what the images are of, for the error.
        allow_missing: whether the list may name images that are not there.

    Raises:
        ValueError: the list names an image that is not there, or none that is.
    """
    lines = enumerate(builder_file.read_text(list_file).split("\n"), start=1)
    wanted = [(number, line.split()[0]) for number, line in lines if line.strip()]
    found = ImageNames(paths).find(name for _, name in wanted)
    missing = np.flatnonzero(found < 0)
    if len(missing) and not allow_missing:
        number, name = wanted[missing[0]]
        raise ValueError(
            f"{list_file}, line {number}: {name} is not in {where} ({len(missing):,} such images). Correct the list, "
            "or give --allow-missing to leave them out"
        )
    if len(missing) == len(wanted):
        raise ValueError(f"{list_file} names no image of {where}")
    return np.unique(found[found >= 0])
