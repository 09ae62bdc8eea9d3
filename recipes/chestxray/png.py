"""Grey PNG, lossless, written at the speed that radiographs by the hundred thousand need."""

import struct
import zlib

import numpy as np

AVERAGE = 3  # the PNG filter that predicts a pixel as the mean of its left and upper neighbours


def encode_grey(pixels: np.ndarray) -> bytes:
    """(height, width) uint8 as a PNG.

    Pillow chooses a filter for each row, so no `compress_type` of it gives these bytes, which published shards keep.
    One filter for all rows and Huffman coding alone are enough, because an X-ray has only noise left after the
    prediction: deflate looks for repetitions at length and finds none. Mean of 60 radiographs of ../shared/nih at 512
    pixels, one core, 2026-11: 2.9 ms and 102 kB here; Pillow 13 needs 40 ms and 103 kB at its default level, 103 ms
    and 102 kB at level 9, 7.3 ms and 97 kB with `compress_type=3`.
    """
    height, width = pixels.shape
    left, above = np.zeros_like(pixels), np.zeros_like(pixels)
    left[:, 1:] = pixels[:, :-1]
    above[1:] = pixels[:-1]
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = AVERAGE
    np.subtract(pixels, (left & above) + ((left ^ above) >> 1), out=rows[:, 1:])  # the mean without a carry
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = deflate.compress(rows.data) + deflate.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
