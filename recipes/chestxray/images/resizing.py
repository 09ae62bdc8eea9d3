"""Pillow's antialiased resize of a grey image, with the same pixels, in less time."""

import cv2
import numpy as np
from PIL import Image

BICUBIC = Image.Resampling.BICUBIC
TALL = 100  # Pillow changes the height first where it is more than 100 times the width, PIL/Image.py


def resize_grey(pixels: np.ndarray, size: int) -> np.ndarray:
    """`Image.resize((size, size), BICUBIC)` of (height, width) uint8: (size, size) uint8.

    Pillow resizes the width first and rounds, then the height (ImagingResample in its src/libImaging/Resample.c). The
    four channels of a CMYK image take two thirds of the time of as many grey rows. So the quarters of the picture
    become channels while its width changes: 2.2 ms instead of 2.7 ms from 1024 to 224 pixels (AMD EPYC, 2026-11).
    """
    height, width = pixels.shape
    if height % 4 or height > TALL * width:
        return resize(pixels, size, size)
    quarters = cv2.merge(np.split(pixels, 4))  # (height / 4, width, 4)
    narrow = np.empty((height, size), np.uint8)
    cv2.split(resize(quarters, size, height // 4), np.split(narrow, 4))
    return resize(narrow, size, size)


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pillow's resize of a uint8 array of one or four channels."""
    mode = "L" if pixels.ndim == 2 else "CMYK"
    image = Image.frombuffer(mode, pixels.shape[1::-1], pixels, "raw", mode, 0, 1)  # shares its memory with `pixels`
    return np.asarray(image.resize((width, height), BICUBIC))
