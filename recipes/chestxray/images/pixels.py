"""The pixel cache: every image decoded and shrunk once, kept as bytes."""

import inspect
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from datasets import Dataset, Features, Value
from datasets import Image as EncodedImage
from PIL import ExifTags, Image, ImageOps

from chestxray.data import datasets_internals

DEPTHS = (8, 10, 12, 14, 16)  # bits of a pixel as detectors and DICOM files have them (DICOM PS3.3, Bits Stored)
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
    code = [inspect.getsource(function) for function in (shrink_image, to_grey, integers_to_grey, floats_to_grey)]
    return datasets_internals.fingerprint(dataset, size, equalize, DEPTHS, code)


def check_room(datasets: list[Dataset], size: int, equalize: bool, tell: Callable[[str], object] = print) -> None:
    """Say how large the cache of these datasets will be. Say nothing if it is there already.

    Raises:
        OSError: the disk has no room for it. Nothing is written yet.
    """
    missing = sum(missing_bytes(dataset, size, equalize) for dataset in datasets)
    if not missing:
        return
    folder = datasets_internals.cache_folder(datasets[0])
    assert folder, "a dataset in memory misses nothing on the disk"
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


def shrink_row(row: dict, size: int, equalize: bool = False) -> np.ndarray:
    """`shrink_image` of a row of `keep_encoded`, (size, size) uint8.

    Raises:
        ValueError: the image cannot be read. The message names its path.
    """
    path, stored = row["image_file_path"], row["image"]
    try:
        data = stored["bytes"] or Path(stored["path"]).read_bytes()
        return shrink_image(Image.open(BytesIO(data)), size, equalize)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is damaged: {error}. Fetch it again.") from error


def shrink_image(image: Image.Image, size: int, equalize: bool = False) -> np.ndarray:
    """A PIL image of any mode as (size, size) uint8 grey, antialiased (bicubic). Proportions are not kept.

    Colour becomes grey by Pillow's `convert("L")`, which ignores alpha. For more than 8 bits see `integers_to_grey`,
    for floats `floats_to_grey`. (Pillow itself cuts both off at 255, and so does a `pipeline` that gets such a file.)

    Args:
        equalize: apply OpenCV's equalizeHist, as MIMIC-CXR-JPG did.

    Raises:
        ValueError: the image's values fit no known scale.
    """
    grey = np.asarray(to_grey(image).resize((size, size), Image.Resampling.BICUBIC))
    return cv2.equalizeHist(grey) if equalize else grey


def to_grey(image):
    """A PIL image of any mode as one of mode L, the right way up."""
    if image.getexif().get(ExifTags.Base.Orientation):  # `datasets` and `pipeline` obey it as well
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        return floats_to_grey(np.asarray(image))
    if image.mode.startswith("I"):  # I, I;16, I;16B and so on
        return integers_to_grey(np.asarray(image))
    try:
        return image.convert("L")
    except ValueError as error:
        raise ValueError(f"its mode {image.mode} cannot become grey: convert it to 8 bits first") from error


def integers_to_grey(values):
    """The upper 8 bits of integers. The image's depth is the smallest of DEPTHS that its largest value fits in.

    A file with 16 bits a pixel mostly does not say how many of them its detector gave. The depth found is too small
    only if an image uses less than half of its range (a quarter of 16 bits). Scaling by the largest value itself would
    change the brightness of every image. With these steps all images of one detector stay alike.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 1 << DEPTHS[-1]:
        raise ValueError(f"its pixels are {low} to {high}, and only 0 to 65535 can be read: convert it to 8 bits first")
    depth = next(depth for depth in DEPTHS if high < 1 << depth)
    return Image.fromarray((values >> (depth - 8)).astype(np.uint8))


def floats_to_grey(values):
    """Floats of 0 to 1 or of 0 to 255, rounded. The largest value tells which of the two."""
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= 255 or 1 < high < 2:  # refuses NaN too, and what is only just above 1
        raise ValueError(f"its pixels are {low:g} to {high:g}, neither 0 to 1 nor 0 to 255: convert it to 8 bits first")
    return Image.fromarray(np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8))
