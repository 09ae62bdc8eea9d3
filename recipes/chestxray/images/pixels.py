"""The pixel cache: every image decoded and shrunk once, kept as bytes."""

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Value
from datasets import Image as EncodedImage

from chestxray.data import datasets_internals
from chestxray.files import name_disk
from chestxray.images.decoding import shrink_bytes
from chestxray.images.grey import DEPTHS, STEPS

ROW = 256  # bytes of a row besides its pixels, more than the paths and numbers of any archive here


def shrink(dataset: Dataset, size: int, equalize: bool = False, num_proc: int | None = None) -> Dataset:
    """A dataset with `image` as one with `pixels`, kept in `datasets`' own cache.

    Args:
        size: side of the square, pixels.
        equalize: whether each image's histogram is equalised.
        num_proc: processes that decode images.

    Returns:
        A Dataset with the other columns as they were and `pixels`, size × size uint8 grey as bytes, row by row.
    """
    folder = datasets_internals.cache_folder(dataset)
    missing = missing_bytes(dataset, size, equalize)
    if not folder or not missing:
        return map_images(dataset, size, equalize, num_proc)
    with name_disk(folder / "the pixel cache"), datasets_internals.claim_cache(folder):
        return map_images(dataset, size, equalize, num_proc)


def map_images(dataset, size, equalize, num_proc):
    """`shrink`, which `datasets` skips if its cache is there."""
    kept = {name: feature for name, feature in dataset.features.items() if name != "image"}
    return keep_encoded(dataset).map(
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
    """The cache key of the shrunk dataset."""
    code = [inspect.getsource(function) for function in STEPS]
    return datasets_internals.fingerprint(dataset, size, equalize, DEPTHS, code)


def check_room(datasets: list[Dataset], size: int, equalize: bool, tell: Callable[[str], object] = print) -> None:
    """Say how large the cache of these datasets will be. Say nothing if it is there already.

    Raises:
        OSError: the disk has no room for it. Nothing is written yet.
    """
    if not sum(missing_bytes(dataset, size, equalize) for dataset in datasets):
        return
    folder = datasets_internals.cache_folder(datasets[0])
    assert folder, "a dataset in memory misses nothing on the disk"
    with datasets_internals.claim_cache(folder):  # another process may have written it by now
        missing = sum(missing_bytes(dataset, size, equalize) for dataset in datasets)
    if not missing:
        return
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise OSError(
            f"the pixel cache needs {missing / 1e9:,.2f} GB in {folder}, where {free / 1e9:,.2f} GB are free: set "
            "HF_DATASETS_CACHE to a larger disk, or choose a smaller --image-size, or --no-cache"
        )
    tell(f"Writing a pixel cache of {missing / 1e6:,.0f} MB to {folder}")


def missing_bytes(dataset: Dataset, size: int, equalize: bool) -> int:
    """Bytes of the shrunk dataset that are not on the disk yet."""
    folder = datasets_internals.cache_folder(dataset)
    if not folder:  # the dataset is in memory, and the shrunk one will be too
        return 0
    pixels = len(dataset) * size * size
    there = datasets_internals.cached_bytes(folder, fingerprint(dataset, size, equalize))
    return 0 if there >= pixels else pixels + len(dataset) * ROW - there


def shrink_example(example, size, equalize):
    return {"pixels": shrink_row(example, size, equalize).tobytes()}


def keep_encoded(dataset: Dataset) -> Dataset:
    """The same dataset, which gives each `image` as {"bytes", "path"} and does not decode it."""
    return dataset.cast_column("image", EncodedImage(decode=False))


def shrink_row(row: dict, size: int, equalize: bool = False, threads: int = 1) -> np.ndarray:
    """`shrink_bytes` of a row of `keep_encoded`, (size, size) uint8.

    Raises:
        ValueError: the image cannot be read. The message names its path.
    """
    path, stored = row["image_file_path"], row["image"]
    try:
        data = stored["bytes"] or Path(stored["path"]).read_bytes()
        return shrink_bytes(data, size, equalize, threads=threads)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises more kinds of errors about damaged files than it names
        raise ValueError(f"{path} is damaged: {error}. Fetch it again.") from error
