"""The images of a dataset, found by the names that others give them: a path, a file name or a stem."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

ENDING = re.compile(r"\.(png|jpe?g|dcm|dicom|tiff?|webp|bmp|npy)$", re.IGNORECASE)


class ImageNames:
    """Finds images by a path, a file name or a stem.

    Only as many parts of a path count, from its end, as are needed to tell the images apart: one for NIH, but three for
    CheXpert, which has a `view1_frontal.jpg` in the folder of each study.

    Args:
        paths: `image_file_path` of all images.

    Raises:
        ValueError: two paths differ in their ending alone, or not at all.
    """

    def __init__(self, paths: Sequence[str]):
        parts = [parts_of(path) for path in paths]
        deepest = max(map(len, parts), default=1)
        depths = (depth for depth in range(1, deepest + 1) if len({part[-depth:] for part in parts}) == len(parts))
        depth = next(depths, None)
        if depth is None:
            raise ValueError("two images of the dataset have one name, so a table cannot name one of them")
        self.depth: int = depth
        self.positions = {part[-depth:]: position for position, part in enumerate(parts)}

    def key(self, name: str) -> tuple[str, ...]:
        """What counts of a name: two names with one key mean the same image."""
        return parts_of(name)[-self.depth :]

    def find(self, names: Iterable[str]) -> np.ndarray:
        """The position of each of n names among the paths: (n,) int, -1 for a name that none of them has."""
        return np.array([self.positions.get(self.key(name), -1) for name in names], dtype=int)


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a path without the ending of its file.

    >>> parts_of("C:\\\\nih\\\\images\\\\00000798_022.png"), parts_of("00000798_022")
    (('C:', 'nih', 'images', '00000798_022'), ('00000798_022',))
    """
    return tuple(ENDING.sub("", name.strip()).replace("\\", "/").split("/"))
