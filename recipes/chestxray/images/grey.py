"""A decoded picture as a square of 8-bit greys. Nothing here needs PyTorch or `datasets`: both are slow to import."""

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

WHITE_IS_ZERO, PHOTOMETRIC = 0, 262  # TIFF 6.0, section 8: PhotometricInterpretation
DEPTHS = (8, 10, 12, 14, 16)  # bits of a pixel as detectors and DICOM files have them (DICOM PS3.3, Bits Stored)


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


def grey_pixels(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode in its own size, (height, width) uint8. Raises as `shrink_image`."""
    return np.asarray(to_grey(image))


def refuse_inverted(image: Image.Image) -> None:
    """Raise ValueError for a TIFF of more than 8 bits whose white is zero: Pillow turns only 1 and 8 bits round."""
    white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    if white_is_zero and image.mode.startswith(("I", "F")):
        raise ValueError("its white is zero, with more than 8 bits: invert it first")


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


STEPS = (shrink_image, to_grey, integers_to_grey, floats_to_grey)  # the code on which greys depend
