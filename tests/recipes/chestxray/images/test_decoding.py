"""Every file has the pixels that Pillow gives it, or Pillow's error, whoever decodes it."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from chestxray.images import decoding
from chestxray.images.grey import shrink_image
from conftest import ROOT

needs_kornia = pytest.mark.skipif(decoding.decode_image_png_u8 is None, reason="kornia-rs is not installed")
GREY = np.random.default_rng(0).integers(0, 256, (40, 33), dtype=np.uint8)
PICTURE = Image.fromarray(GREY)
CONTROL = b"\x89PNG\r\n\x1a\n"
TIME = struct.pack(">HBBBBB", 2017, 9, 1, 12, 0, 0)
TURNED = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # TIFF with Orientation 6, EXIF 2.3


def chunk(kind, data, crc=None):
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def small_window(data):
    deflate = zlib.compressobj(9, zlib.DEFLATED, 9)
    return deflate.compress(data) + deflate.flush()


def rows(levels, kind=0):
    """The rows of a PNG with one filter, 0 to 4, for all of them."""
    left, above, corner = np.zeros((3, *levels.shape), np.int16)
    left[:, 1:], above[1:], corner[1:, 1:] = levels[:, :-1], levels[:-1], levels[:-1, :-1]
    guess = left + above - corner
    distances = abs(np.stack([left, above, corner]) - guess)
    nearest = np.choose(distances.argmin(0), [left, above, corner])
    predicted = (0, left, above, (left + above) // 2, nearest)[kind]
    filtered = (levels - predicted).astype(np.uint8)
    return b"".join(bytes([kind]) + row.tobytes() for row in filtered)


def png(levels=GREY, kind=0, *, before=b"", middle=b"", after=b"", size=None, form=(8, 0, 0, 0, 0), data=None, parts=1):
    """A PNG of (height, width) uint8, with chunks before, between and after those of its pixels."""
    height, width = levels.shape
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *(size or (width, height)), *form))
    stream = zlib.compress(rows(levels, kind)) if data is None else data
    step = -(-len(stream) // parts) or 1
    pixels = [chunk(b"IDAT", stream[start : start + step]) for start in range(0, len(stream) or 1, step)]
    return CONTROL + header + before + middle.join(pixels) + after + chunk(b"IEND", b"")


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


STREAM = zlib.compress(rows(GREY))
PLAIN = {
    **{f"filter {kind}": png(kind=kind) for kind in range(5)},
    "one pixel": png(GREY[:1, :1]),
    "one row": png(GREY[:1]),
    "one column": png(GREY[:, :1]),
    "many parts": png(parts=50),
    "empty part": png(parts=2, middle=chunk(b"IDAT", b"")),
    "stored": png(data=zlib.compress(rows(GREY), 0)),
    "small window": png(data=small_window(rows(GREY))),
    "more rows than said": png(size=(33, 20)),
    "time": png(before=chunk(b"tIME", TIME)),
    "gamma": png(before=chunk(b"gAMA", struct.pack(">I", 220_000))),
    "no gamma": png(before=chunk(b"gAMA", bytes(4))),
    "colours": png(before=chunk(b"sRGB", b"\0") + chunk(b"cHRM", bytes(range(32))) + chunk(b"pHYs", bytes(9))),
    "4 bits used": png(before=chunk(b"sBIT", b"\x04") + chunk(b"bKGD", b"\0\x05")),
    "by Pillow": saved(PICTURE),
    "no checksum": png(data=STREAM[:-4]),
    "stream too long": png(data=STREAM + b"more"),
}
OTHER = {
    "1 bit": saved(PICTURE.convert("1")),
    "2 bits": png(GREY[:, :9], size=(33, 40), form=(2, 0, 0, 0, 0)),
    "4 bits": png(GREY[:, :17], size=(33, 40), form=(4, 0, 0, 0, 0)),
    "16 bits": saved(Image.fromarray(GREY.astype(np.uint16) << 4)),
    **{mode: saved(PICTURE.convert(mode)) for mode in ("LA", "P", "RGB", "RGBA")},
    "interlaced": png(GREY[:1, :1], form=(8, 0, 0, 0, 1)),
    "transparent": saved(PICTURE, transparency=5),
    "turned": png(before=chunk(b"eXIf", TURNED)),
    "turned, said at the end": png(after=chunk(b"eXIf", TURNED)),
    "text": png(before=chunk(b"tEXt", b"Title\0radiograph")),
    "text at the end": png(after=chunk(b"tEXt", b"Title\0radiograph")),
    "animated": saved(PICTURE, save_all=True, append_images=[PICTURE.rotate(180)]),
    "bytes after the end": png() + b"more",
    "another chunk between": png(parts=2, middle=chunk(b"tIME", TIME)),
    "palette": png(before=chunk(b"PLTE", bytes(9))),
    "another compression": png(form=(8, 0, 1, 0, 0)),
    "JPEG": saved(PICTURE, "JPEG"),
    "TIFF": saved(PICTURE, "TIFF"),
    "no end": png()[:-12],
    "short gamma": png(before=chunk(b"gAMA", b"")),
    "gamma's CRC": png(before=chunk(b"gAMA", bytes(4), crc=1)),
    "too few rows": png(size=(33, 80)),
    "too wide": png(size=(99, 40)),
    "no pixels": png(data=b""),
    "no chunk of pixels": png()[:33] + png()[-12:],
    "no width": png(size=(0, 40)),
    "another filter method": png(form=(8, 0, 0, 1, 0)),
    "filter 5": png(data=zlib.compress(b"\x05" + rows(GREY)[1:])),
    "no stream": png(data=b"no stream"),
    "header's CRC": png()[:29] + b"1234" + png()[33:],
    "pixels' CRC": png()[:-16] + b"1234" + png()[-12:],
    "half": png()[: len(png()) // 2],
    "header alone": png()[:30],
    "signature": CONTROL,
    "empty": b"",
    "60 megapixels": png(size=(8000, 7500)),
}


def outcome(read):
    """The pixels as a list, or the kind of the error and its message without an address."""
    try:
        return read().tolist()
    except (OSError, SyntaxError, ValueError) as error:
        return type(error), str(error).partition(" object at ")[0]


@pytest.mark.parametrize("name", [*PLAIN, *OTHER])
@pytest.mark.parametrize("equalize", [False, True])
def test_every_file_has_pillows_pixels_or_pillows_error(name, equalize):
    data = (PLAIN | OTHER)[name]
    for size in (16, 33, 50):
        wanted = outcome(lambda size=size: shrink_image(Image.open(io.BytesIO(data)), size, equalize))
        assert outcome(lambda size=size: decoding.shrink_bytes(data, size, equalize)) == wanted


@needs_kornia
@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_png_is_not_decoded_by_pillow(name):
    def refuse(data):
        raise AssertionError

    assert decoding.shrink_bytes(PLAIN[name], 16, open_image=refuse).shape == (16, 16)
    assert np.array_equal(decoding.decode_plain(PLAIN[name]), np.asarray(Image.open(io.BytesIO(PLAIN[name]))))


@pytest.mark.parametrize("name", OTHER)
def test_all_else_is_left_to_pillow(name):
    assert decoding.decode_plain(OTHER[name]) is None


def test_many_threads_leave_it_to_pillow_which_lets_them_work_at_the_same_time():
    opened = []

    def open_image(data):
        opened.append(data)
        return PICTURE

    decoding.shrink_bytes(PLAIN["filter 0"], 16, threads=decoding.MOST_THREADS + 1, open_image=open_image)
    assert len(opened) == 1


def test_a_header_that_lies_costs_no_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(decoding, "decode_image_png_u8", lambda *arguments: asked.append(arguments))
    for side in (8000, 10_000, 2**31 - 1):
        assert decoding.decode_plain(png(size=(side, side))) is None
    assert not asked


@needs_kornia
def test_every_flipped_bit_gives_pillows_pixels_or_pillows_error():
    data = png(GREY[:9, :7], kind=4, before=chunk(b"tIME", TIME))
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        wanted = outcome(lambda damaged=damaged: shrink_image(Image.open(io.BytesIO(damaged)), 5))
        assert outcome(lambda damaged=damaged: decoding.shrink_bytes(bytes(damaged), 5)) == wanted, place


CODE = """
import io, sys
sys.path.insert(0, sys.argv[1])
sys.modules["kornia_rs"] = None
from chestxray.images import decoding
print(decoding.shrink_bytes(open(sys.argv[2], "rb").read(), 2).tolist())
"""


def test_without_kornia_pillow_reads_everything():
    path = ROOT / "data" / "sample" / "images" / "00000001_000.png"
    done = subprocess.run([sys.executable, "-c", CODE, ROOT / "recipes", path], capture_output=True, text=True)
    assert done.stdout.strip() == str(decoding.shrink_bytes(path.read_bytes(), 2).tolist()), done.stderr
