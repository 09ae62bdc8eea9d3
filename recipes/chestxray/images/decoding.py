"""An image file's bytes as a square of greys. kornia-rs decodes plain grey PNGs, as NIH has them, if it is there.

Pillow decodes all else, and whatever kornia-rs refuses. So each file has Pillow's pixels or Pillow's error. One
difference is left: kornia-rs compares the CRC of each chunk of pixels, but not the Adler-32 of their stream.

One thread, processor time, 40 radiographs of ../shared/nih, 1024 pixels: Pillow 12.3 decodes one in 11.3 ms, kornia-rs
0.2.0 in 4.8 ms (AMD EPYC, 2026-11; tests/benchmarks/bench_decoding.py compares them again).
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from chestxray.images.grey import grey_pixels, refuse_inverted, shrink_image
from chestxray.images.resizing import resize_grey

try:
    from kornia_rs.io import decode_image_png_u8
except ImportError:  # a system for which it has no wheel
    decode_image_png_u8 = None

# kornia-rs keeps the interpreter's lock while it decodes, so threads decode one after the other. From 3 threads on
# Pillow decodes more images, because it releases the lock: 4.8 ms for each image, beside 14.4 / 3
MOST_THREADS = 2
MOST_PIXELS = 1 << 26  # 8192 × 8192, below the size at which Pillow warns
MOST_DEFLATED = 1032  # bytes that one byte of a deflate stream can become, https://zlib.net/zlib_tech.html
START = struct.Struct(">8sI4sIIBBBBB")  # PNG's signature and its header without the CRC, PNG section 11.2.2
GREY = 8, 0, 0, 0, 0  # bits of a pixel, grey, deflate, the five filters, not interlaced
# Chunks that change no pixel, and their lengths. Others do (eXIf turns the image), or can hold much text
HARMLESS = {b"tIME": 7, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"sBIT": 1, b"bKGD": 2}


def open_image(data: bytes) -> Image.Image:
    """The image in a file's bytes, by Pillow, not decoded yet. Raises as Pillow and `refuse_inverted`."""
    image = Image.open(BytesIO(data))
    refuse_inverted(image)
    return image


def shrink_bytes(
    data: bytes,
    size: int,
    equalize: bool = False,
    *,
    threads: int = 1,
    open_image: Callable[[bytes], Image.Image] = open_image,
) -> np.ndarray:
    """`grey.shrink_image` of the image in a file's bytes, (size, size) uint8, the same pixels for every decoder.

    Args:
        threads: of this process that decode images at the same time.
        open_image: opens what is no plain grey PNG.

    Raises:
        OSError, SyntaxError, ValueError: as Pillow, `open_image` and `shrink_image` about a file that they cannot read.
    """
    pixels = decode_plain(data) if threads <= MOST_THREADS else None
    if pixels is None:
        return shrink_image(open_image(data), size, equalize)
    grey = resize_grey(pixels, size)
    return cv2.equalizeHist(grey) if equalize else grey


def decode_grey(data: bytes) -> np.ndarray:
    """The image in a file's bytes, (height, width) uint8: `resize_grey` of it is `shrink_bytes` of the file.

    Raises:
        OSError, SyntaxError, ValueError: as `shrink_bytes`.
    """
    pixels = decode_plain(data)
    return grey_pixels(open_image(data)) if pixels is None else pixels


def decode_plain(data: bytes) -> np.ndarray | None:
    """(height, width) uint8 of a plain grey PNG; None for all other files, and if kornia-rs cannot decode it."""
    if decode_image_png_u8 is None or not is_plain(data):
        return None
    width, height = START.unpack_from(data)[3:5]
    try:
        return decode_image_png_u8(data, (height, width), "mono")[:, :, 0]
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # of Rust, which is no Exception
            return None  # a damaged file: Pillow says what is wrong with it
        raise


def is_plain(data: bytes) -> bool:
    """Whether this is a PNG of 8-bit greys, not interlaced, whose other chunks change no pixel, and not too large."""
    if len(data) < START.size:
        return False
    signature, length, kind, width, height, *form = START.unpack_from(data)
    if (signature, length, kind, *form) != (b"\x89PNG\r\n\x1a\n", 13, b"IHDR", *GREY):
        return False
    # A stream that is too short for the size in the header would be told only after the memory is taken
    if width * height > MOST_PIXELS or (width + 1) * height > MOST_DEFLATED * len(data):
        return False
    return has_plain_chunks(data)


def has_plain_chunks(data: bytes) -> bool:
    """Whether a PNG has harmless chunks after its header, then its pixels, then its end, and no byte more."""
    at, last = START.size + 4, b"IHDR"
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IEND":
            return last == b"IDAT" and end == len(data)
        if kind != b"IDAT" and (last == b"IDAT" or HARMLESS.get(kind) != length or not is_whole(data[at:end])):
            return False
        at, last = end, kind
    return False


def is_whole(chunk: bytes) -> bool:
    """Whether a PNG's chunk has the right CRC."""
    return chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))
