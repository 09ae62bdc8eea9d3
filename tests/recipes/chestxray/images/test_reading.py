"""A file is found by its content, has the pixels that scoring gives it, or is refused with a reason."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from chestxray.images import pixels, reading
from chestxray.images.grey import shrink_image
from dicoms import radiograph, save

GREY = np.random.default_rng(0).integers(0, 256, (40, 32), dtype=np.uint8)
PICTURE = Image.fromarray(GREY)


def shrunk(path, **settings):
    """What scoring makes of the same bytes."""
    with open(path, "rb") as file:
        row = {"image_file_path": str(path), "image": {"bytes": file.read(), "path": None}}
    return pixels.shrink_row(row, 16, **settings)


TURNED = Image.Exif()
TURNED[0x0112] = 6  # a quarter turn: the way up that a camera writes
WRITTEN = {
    "turned.jpg": (PICTURE.rotate(90, expand=True), {"exif": TURNED, "quality": 95}),
    "turned.png": (PICTURE.rotate(90, expand=True), {"exif": TURNED}),
    "turned.tif": (PICTURE.rotate(90, expand=True), {"exif": TURNED}),
    "grey.png": (PICTURE, {}),
    "grey.jpg": (PICTURE, {"quality": 90}),
    "grey.tif": (PICTURE, {}),
    "packed.tif": (PICTURE, {"compression": "tiff_lzw"}),
    "colour.png": (PICTURE.convert("RGBA"), {}),
    "sixteen.png": (Image.fromarray(GREY.astype(np.uint16) << 4), {}),
    "sixteen.tif": (Image.fromarray(GREY.astype(np.uint16) << 8), {}),
    "floats.tif": (Image.fromarray(GREY.astype(np.float32) / 255), {}),
    "print.jpg": (PICTURE.convert("CMYK"), {}),
    "white-is-zero.tif": (PICTURE, {"tiffinfo": {262: 0}}),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("equalize", [False, True])
def test_a_file_has_the_pixels_that_scoring_gives_it(tmp_path, name, equalize):
    image, options = WRITTEN[name]
    image.save(tmp_path / name, **options)
    found = reading.read_pixels(tmp_path / name, 16, equalize)
    assert found.dtype == np.uint8 and np.array_equal(found, shrunk(tmp_path / name, equalize=equalize))
    assert equalize or np.abs(found.astype(int) - shrink_image(PICTURE, 16)).max() <= 8


def test_the_content_counts_and_not_the_name(tmp_path):
    PICTURE.save(tmp_path / "radiograph.jpg", format="PNG")
    made = save(tmp_path, radiograph(GREY, 8)).rename(tmp_path / "also.png")
    wanted = shrink_image(PICTURE, 16)
    for path in (tmp_path / "radiograph.jpg", made):
        assert np.array_equal(reading.read_pixels(path, 16), wanted)


def test_a_dicom_of_another_picture_is_read_by_force(tmp_path):
    path = save(tmp_path, radiograph(GREY, 8, Modality="CT"))
    with pytest.raises(
        reading.UnreadableImage, match="^is no frontal chest .*: Modality is CT; --force reads it all the same$"
    ):
        reading.read_pixels(path, 16)
    assert np.array_equal(reading.read_pixels(path, 16, force=True), shrink_image(PICTURE, 16))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(side):
    """The beginning of a PNG of side × side pixels, which has only a few of them."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(100))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def cut_off(path, form):
    PICTURE.save(path, format=form)
    path.write_bytes(path.read_bytes()[:-300])


def several(path, form):
    PICTURE.save(path, format=form, save_all=True, append_images=[PICTURE.rotate(180)])


def write_dicom(path, *gone, **fields):
    made = radiograph(GREY, 8, **fields)
    for keyword in gone:
        delattr(made, keyword)
    save(path.parent, made).rename(path)


def too_large(path):
    with open(path, "wb") as file:
        file.truncate(reading.MOST_BYTES + 1)  # takes no room on the disk


NO_IMAGE = "it is no PNG, JPEG, TIFF or DICOM file"
BAD = {
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("hello " * 50), NO_IMAGE),
    "locked": (lambda path: path.write_bytes(b"PK\x03\x04\x14\x00\x01\x00" + bytes(300)), NO_IMAGE),
    "other-form": (lambda path: PICTURE.save(path, format="GIF"), NO_IMAGE),
    "moving-gif": (lambda path: several(path, "GIF"), NO_IMAGE),
    "moving-webp": (lambda path: several(path, "WEBP"), NO_IMAGE),
    "document": (lambda path: PICTURE.save(path, format="PDF"), NO_IMAGE),
    "numbers": (lambda path: Image.fromarray(GREY * np.float32(99)).save(path, format="TIFF"), "neither 0 to 1 nor"),
    "pipe": (os.mkfifo, "it is no ordinary file"),
    "lost-link": (lambda path: path.symlink_to("nowhere"), "no such file"),
    "link-to-itself": (lambda path: path.symlink_to(path), "too many levels"),
    "no-pixels": (lambda path: write_dicom(path, "PixelData"), "has no PixelData"),
    "frames": (lambda path: write_dicom(path, NumberOfFrames=2), "NumberOfFrames is 2"),
    "named": (lambda path: write_dicom(path, BurnedInAnnotation="YES"), "BurnedInAnnotation is YES; --force reads it"),
    "cut-png": (lambda path: cut_off(path, "PNG"), "it is damaged"),
    "cut-jpeg": (lambda path: cut_off(path, "JPEG"), "it is damaged"),
    "cut-tiff": (lambda path: cut_off(path, "TIFF"), "it is damaged|no PNG"),
    "animated": (lambda path: several(path, "PNG"), "it holds 2 pictures"),
    "pages": (lambda path: several(path, "TIFF"), "it holds 2 pictures"),
    "hundred-megapixels": (lambda path: path.write_bytes(png_of(10_000)), "10000 × 10000 pixels, more than 67,108,864"),
    "too-large": (too_large, "more than 536,870,912 bytes"),
    "bomb": (lambda path: path.write_bytes(png_of(100_000)), "more than 67,108,864 pixels"),
    "inverted": (
        lambda path: Image.fromarray(GREY.astype(np.uint16)).save(path, format="TIFF", tiffinfo={262: 0}),
        "its white is zero, with more than 8 bits",
    ),
    "dicom": (lambda path: path.write_bytes(bytes(128) + b"DICM" + b"no tags"), "is damaged or no DICOM file"),
    "folder": (lambda path: path.mkdir(), "is a directory"),
    "nothing": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_file_is_refused_with_a_reason_that_names_no_place(tmp_path, name):
    spoil, reason = BAD[name]
    spoil(tmp_path / name)
    with pytest.raises(reading.UnreadableImage, match=reason) as error:
        reading.read_pixels(tmp_path / name, 16)
    assert str(tmp_path) not in str(error.value) and "\n" not in str(error.value)
