"""The pixel cache: every image decoded and shrunk once, kept as bytes."""

import inspect
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from datasets import Features, Value
from datasets.fingerprint import Hasher
from PIL import Image

ROW = 256  # bytes of a row besides its pixels, more than the paths and numbers of any archive here


def shrink(dataset, size, equalize=False, num_proc=None):
    """A dataset with `image` as one with `pixels`, kept in `datasets`' own cache.

    Args:
        size: side of the square, pixels.
        equalize: whether each image's histogram is equalised.

    Returns:
        A Dataset with the other columns as they were and `pixels`, size × size uint8 grey as bytes, row by row.
    """
    kept = {name: feature for name, feature in dataset.features.items() if name != "image"}
    return dataset.map(
        shrink_example,
        fn_kwargs={"size": size, "equalize": equalize},
        remove_columns=["image"],
        features=Features({**kept, "pixels": Value("binary")}),
        num_proc=num_proc if num_proc and num_proc <= len(dataset) else None,
        writer_batch_size=1000,
        new_fingerprint=fingerprint(dataset, size, equalize),
        desc=f"Shrinking to {size}×{size}",
    )


def fingerprint(dataset, size, equalize):
    """What the cache knows the shrunk dataset by."""
    return Hasher.hash((dataset._fingerprint, size, equalize, inspect.getsource(shrink_image)))


def make_room(datasets, size, equalize, tell=print):
    """Say how large the cache of these datasets is going to be; nothing, once it is there.

    Raises OSError where the disk has no room for it, before any of it is written.
    """
    missing = sum(lacking(dataset, size, equalize) for dataset in datasets)
    if not missing:
        return
    folder = Path(datasets[0].cache_files[0]["filename"]).parent
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise OSError(
            f"the pixel cache needs {missing / 1e9:,.2f} GB in {folder}, where {free / 1e9:,.2f} GB are free: set "
            "HF_DATASETS_CACHE to a larger disk, or choose a smaller --image-size, or --no-cache"
        )
    tell(f"Writing a pixel cache of {missing / 1e6:,.0f} MB to {folder}")


def lacking(dataset, size, equalize):
    """Bytes of the shrunk dataset that are not on the disk yet."""
    if not dataset.cache_files:  # it lives in memory, and so will what comes of it
        return 0
    folder, pixels = Path(dataset.cache_files[0]["filename"]).parent, len(dataset) * size * size
    files = folder.glob(f"cache-{fingerprint(dataset, size, equalize)}*.arrow")
    there = sum(file.stat().st_size for file in files)
    return 0 if there >= pixels else pixels + len(dataset) * ROW - there


def shrink_example(example, size, equalize):
    with one_error(example["image_file_path"]):  # `datasets` decodes the image when it is asked for
        return {"pixels": shrink_image(example["image"], size, equalize).tobytes()}


@contextmanager
def one_error(path):
    """What Pillow raises of a damaged image, which does not say of which."""
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}. Fetch it again.") from error


def shrink_image(image, size, equalize=False):
    """A PIL image of any mode as size × size uint8 grey, antialiased (bicubic), proportions not kept.

    equalize: by OpenCV's equalizeHist, which MIMIC-CXR-JPG was made with.
    """
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    grey = np.asarray(image.convert("L").resize((size, size), Image.Resampling.BICUBIC))
    return cv2.equalizeHist(grey) if equalize else grey


def processes():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
