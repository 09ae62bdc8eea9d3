"""A person's own file as grey pixels: PNG, JPEG, TIFF or DICOM, found by its content and not by its name.

`decoding.shrink_bytes` or, of a DICOM file, `grey.shrink_image` makes them, as in the pixel cache of training and
scoring. So a file has the same pixels, wherever it is read.
"""

import os
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from chestxray.images.decoding import shrink_bytes
from chestxray.images.grey import refuse_inverted, shrink_image

FORMATS = ("PNG", "JPEG", "TIFF")
MOST_PIXELS = 1 << 26  # 8192 × 8192, as for DICOM: four times the largest detector's
MOST_BYTES = 8 * MOST_PIXELS  # of a file: four channels of 16 bits
MARK_AT = 128  # where a DICOM file has the letters DICM, PS3.10 section 7.1


class UnreadableImage(ValueError):
    """No grey pixels come from this file. The message is the reason alone, without the file's name."""


def read_pixels(
    path: str | Path, size: int, equalize: bool = False, voi: str = "table", force: bool = False, threads: int = 1
) -> np.ndarray:
    """A file as the model's evaluation sees it before the cut of the middle, (size, size) uint8.

    Args:
        size, equalize: see `grey.shrink_image`.
        voi, force: of a DICOM file, see `dicom.display.read_display`.
        threads: see `decoding.shrink_bytes`.

    Raises:
        UnreadableImage: empty, damaged, no picture in one of FORMATS and no DICOM file, or not one single picture; or
            a DICOM file, and pydicom is not installed.
    """
    try:
        if is_dicom(path):
            return shrink_image(read_dicom(path, voi, force), size, equalize)
        data = Path(path).read_bytes()  # as the evaluation: from a path, Pillow 13 turns a turned TIFF twice
        return shrink_bytes(data, size, equalize, threads=threads, open_image=open_picture)
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # Pillow raises more kinds of errors about damaged files than it names
        raise UnreadableImage(reason_of(error, path)) from error


def is_dicom(path: str | Path) -> bool:
    """Whether a file has the mark of DICOM. Raises OSError if it cannot be read, UnreadableImage if it is too large."""
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise UnreadableImage("it is no ordinary file")  # reading a pipe would never end
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise UnreadableImage(f"it has more than {MOST_BYTES:,} bytes")
        file.seek(MARK_AT)
        return file.read(4) == b"DICM"


def read_dicom(path: str | Path, voi: str, force: bool) -> Image.Image:
    """The picture of a DICOM file. Raises UnreadableImage as `read_pixels`."""
    try:
        from chestxray.dicom import chest_header, dicom_files, display  # need pydicom, which is an extra
    except ModuleNotFoundError as error:
        raise UnreadableImage(f"it is a DICOM file, which needs pip install -e '.[dicom]' ({error})") from None
    try:
        return Image.fromarray(display.read_display(path, voi, force))
    except chest_header.NoFrontalChest as error:
        raise UnreadableImage(f"{str(error).removeprefix(f'{path} ')}; --force reads it all the same") from error
    except dicom_files.UnreadableDicom as error:
        raise UnreadableImage(str(error).removeprefix(f"{path} ")) from error


def open_picture(data: bytes) -> Image.Image:
    """The picture in a file's bytes, not decoded yet. Raises as `refuse_other_pictures` and Pillow."""
    image = Image.open(BytesIO(data), formats=FORMATS)
    refuse_other_pictures(image)
    return image


def refuse_other_pictures(image: Image.Image) -> None:
    """Raise UnreadableImage for several pictures or too many pixels, ValueError for greys that cannot be told."""
    if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # a camera's JPEG with a small copy
        raise UnreadableImage(f"it holds {frames} pictures, a radiograph is one: save the one that you mean")
    if image.width * image.height > MOST_PIXELS:
        raise UnreadableImage(
            f"it has {image.width} × {image.height} pixels, more than {MOST_PIXELS:,}: make it smaller"
        )
    refuse_inverted(image)


def reason_of(error: Exception, path: str | Path) -> str:
    """Why a file cannot be read, in one line without its name."""
    if isinstance(error, OSError) and error.errno:
        return str(error.strerror).lower()
    if Path(path).stat().st_size == 0:
        return "it is empty"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS:,} pixels"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS)} or DICOM file, or its beginning is damaged"
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and text:  # of `shrink_image`, about values that fit no scale
        return text
    return f"it is damaged: {text or type(error).__name__}"
