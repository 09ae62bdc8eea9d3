"""The gallery of a published release: small JPEGs, with one plain column per finding.

The Hub's viewer sorts, filters and searches the first 5 GB of a config, and it cannot filter a list by what it holds.
So the whole release must fit into 5 GB, and each finding needs a column of its own.
"""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO

import numpy as np
from datasets import Features, Image
from PIL import Image as Picture

from chestxray.data.nih import NIHChestXray, builder_file

# Mean of the 200 radiographs of ../shared/nih at 224 pixels: 9.3 kB, so 1.04 GB for 112,120 (Pillow 12.3, 2026-11)
QUALITY = 90


@lru_cache
def thumbnail_features() -> Features:
    """The columns of the config `metadata`, and the image in its place after the path."""
    path, *rest = NIHChestXray("metadata").info.features.items()
    return Features({path[0]: path[1], "image": Image(), **dict(rest)})


def thumbnail_row(example: Mapping, pixels: np.ndarray) -> dict:
    """An example of the config `full` with another image.

    Args:
        pixels: (side, side) uint8.
    """
    image = {"path": example["image_file_path"].replace(".png", ".jpg"), "bytes": encode_jpeg(pixels)}
    return {**example, "image": image, **builder_file.plain_columns(example["labels"])}


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """(height, width) uint8 as a grey JPEG."""
    file = BytesIO()
    Picture.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
