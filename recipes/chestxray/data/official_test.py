"""The official test split of NIH ChestX-ray14, recognised by its file names."""

import re
from collections.abc import Iterable

from chestxray.files import digest

# SHA-256 of the 25,596 file names of NIH's test_list.txt in alphabetical order, one per line:
#   (cat test_list.txt; echo) | LC_ALL=C sort | sha256sum      (the list ends without a newline)
TEST_NAMES = "3d0c44b68d287fd04f90c4f25df13428bba7b3e729f65715d5cf73a88e83d226"
TEST_IMAGES = 25_596


def is_official(image_file_paths: Iterable[str]) -> bool | None:
    """Whether these are exactly the images of NIH's test list; None if they are not NIH's images.

    Only the files' names count: 00000798_022.png is one of NIH's.
    """
    names = sorted(path.rpartition("/")[2] for path in image_file_paths)
    if not all(re.fullmatch(r"\d{8}_\d{3}\.png", name) for name in names):
        return None
    return len(names) == TEST_IMAGES and digest(*(f"{name}\n" for name in names)) == TEST_NAMES
