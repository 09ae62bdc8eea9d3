"""The cache holds each image as the model is to see it: square, grey, with its targets."""

import contextlib
from io import BytesIO

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value, load_from_disk
from PIL import Image as Pillow

from chestxray.images import augment, batches, pixels
from chestxray.images.grey import shrink_image

STRENGTH = augment.Strength(flip=0.5, rotate=7.0, scale=0.1, shift=0.05, contrast=0.1)
NAMES = ["No Finding", "Mass", "Nodule", "Hernia"]
FEATURES = Features({"image_file_path": Value("string"), "image": Image(), "labels": Sequence(ClassLabel(names=NAMES))})


def radiographs(count):
    grey = np.random.default_rng(0).integers(0, 256, (count, 40, 32), dtype=np.uint8)
    return [Pillow.fromarray(pixels) for pixels in grey]


def dataset(images, labels):
    paths = [f"images/{number:08}_000.png" for number in range(len(images))]
    return Dataset.from_dict({"image_file_path": paths, "image": images, "labels": labels}, features=FEATURES)


def batch_of(rows, indices, targets=None, size=16, **settings):
    targets = np.zeros((len(rows), 1), np.float32) if targets is None else targets
    return batches.Batches(rows, targets, size, **settings).__getitems__(indices)


def test_pixels_are_those_of_an_antialiased_resize_in_the_order_asked_for():
    images = radiographs(5)
    batch = batch_of(pixels.shrink(dataset(images, [[0]] * 5), 16), [4, 0])
    wanted = [np.asarray(images[row].resize((16, 16), Pillow.Resampling.BICUBIC)) for row in (4, 0)]
    assert batch["pixels"].dtype == torch.uint8
    assert np.array_equal(batch["pixels"][:, 0].numpy(), wanted)
    assert batch["index"].tolist() == [4, 0]


@pytest.mark.parametrize("equalize", [False, True])
def test_without_the_cache_the_pixels_are_the_same(equalize):
    rows = dataset(radiographs(5), [[0]] * 5)
    cached, decoded = pixels.shrink(rows, 16, equalize), rows
    one, other = (batch_of(part, [3, 1], equalize=equalize)["pixels"] for part in (cached, decoded))
    assert torch.equal(one, other)
    plain = batch_of(rows, [3, 1])["pixels"]
    assert torch.equal(plain, one) is not equalize


def test_the_few_colour_files_come_out_as_their_grey_twins():
    (grey,) = radiographs(1)
    assert np.array_equal(shrink_image(grey.convert("RGBA"), 16), shrink_image(grey, 16))


# Whatever the mode


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "I;16B", "F"]


def in_mode(levels, mode):
    """An image of 8-bit levels in a mode, made without what is tested."""
    if mode in ("I;16", "I;16B"):
        data = levels.astype("<u2" if mode == "I;16" else ">u2").tobytes()
        return Pillow.frombytes(mode, levels.shape[::-1], data)
    if mode in ("I", "F"):
        return Pillow.fromarray(levels.astype(np.int32 if mode == "I" else np.float32))
    image = Pillow.fromarray(levels)
    return image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pillow_gives_the_same_grey(mode):
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 16, axis=1)
    if mode == "1":
        levels = (levels // 128 * 255).astype(np.uint8)
    image = in_mode(levels, mode)
    assert image.mode == mode
    given, wanted = shrink_image(image, 16), shrink_image(Pillow.fromarray(levels), 16)
    assert given.dtype == np.uint8 and np.abs(given.astype(int) - wanted).max() <= 1


def test_what_is_transparent_keeps_its_grey():
    (grey,) = radiographs(1)
    clear = grey.convert("LA")
    clear.putalpha(0)
    assert np.array_equal(shrink_image(clear, 16), shrink_image(grey, 16))


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B"])
@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_of_more_than_8_bits_the_upper_8_count_and_all_images_of_a_depth_are_alike(mode, depth):
    ramp = np.repeat(np.linspace(0, 2**depth - 1, 64).astype(np.uint16)[:, None], 64, axis=1)
    bright, dimmer = (shrink_image(in_mode(part, mode), 64).astype(int) for part in (ramp, ramp // 4 * 3))
    assert np.array_equal(bright, ramp.astype(int) >> depth - 8)
    assert np.array_equal(dimmer, (ramp // 4 * 3).astype(int) >> depth - 8), "not brighter for its smaller maximum"


def test_floats_are_0_to_1_or_0_to_255():
    levels = np.asarray(radiographs(1)[0])
    wanted = shrink_image(Pillow.fromarray(levels), 16)
    for floats in (levels.astype(np.float32), levels.astype(np.float32) / 255):
        assert np.array_equal(shrink_image(Pillow.fromarray(floats), 16), wanted)


@pytest.mark.parametrize(
    "value, kind, message",
    [
        (70000, np.int32, "its pixels are 5 to 70000, and only 0 to 65535"),
        (-1, np.int32, "its pixels are -1 to 5, and only 0 to 65535"),
        (300.0, np.float32, "its pixels are 5 to 300, neither 0 to 1 nor 0 to 255"),
        (-0.5, np.float32, "its pixels are -0.5 to 5, neither"),
        (1.01, np.float32, "its pixels are 0 to 1.01, neither"),
        (np.nan, np.float32, "its pixels are nan to nan, neither"),
    ],
)
def test_values_of_no_known_scale_are_refused(value, kind, message):
    levels = np.full((8, 8), 0 if value == 1.01 else 5, kind)
    levels[3, 3] = value
    with pytest.raises(ValueError, match=message):
        shrink_image(Pillow.fromarray(levels), 8)


def test_the_cache_names_the_image_that_it_refuses():
    levels = np.full((8, 8), 70000, np.int32)
    rows = dataset([Pillow.fromarray(np.zeros((8, 8), np.uint8)), Pillow.fromarray(levels)], [[0]] * 2)
    with pytest.raises(ValueError, match="images/00000001_000.png: its pixels are 70000 to 70000"):
        pixels.shrink(rows, 8)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_an_orientation_in_the_file_is_obeyed_whoever_opened_it(orientation, tmp_path):
    (image,), exif = radiographs(1), Pillow.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    opened, decoded = Pillow.open(tmp_path / "turned.png"), dataset([str(tmp_path / "turned.png")], [[0]])[0]["image"]
    upright = image.rotate({1: 0, 3: 180, 6: 270}[orientation], expand=True)
    for given in (opened, decoded):
        assert np.array_equal(shrink_image(given, 16), shrink_image(upright, 16))


def on_disk(tmp_path):
    dataset(radiographs(20), [[0]] * 20).save_to_disk(tmp_path / "rows")
    return load_from_disk(tmp_path / "rows")


def test_its_size_is_said_before_it_is_written_and_not_once_it_is_there(tmp_path):
    rows, said = on_disk(tmp_path), []
    pixels.check_room([rows], 64, False, said.append)
    assert len(said) == 1 and "Writing a pixel cache of 0 MB" in said[0]
    pixels.shrink(rows, 64)
    pixels.check_room([rows], 64, False, said.append)
    assert len(said) == 1
    pixels.check_room([rows], 64, True, said.append)
    assert len(said) == 2, "equalised ones are others"


def test_a_changed_way_of_shrinking_is_not_served_from_an_older_cache(tmp_path, monkeypatch):
    rows = on_disk(tmp_path)
    before = pixels.fingerprint(rows, 64, False)

    def shrink_image(image, size, equalize=False):
        return np.zeros((size, size), np.uint8)

    monkeypatch.setattr(pixels, "STEPS", (shrink_image, *pixels.STEPS[1:]))
    assert pixels.fingerprint(rows, 64, False) != before


def test_too_small_a_disk_is_said_before_and_not_in_the_middle(tmp_path):
    rows = on_disk(tmp_path)
    needed = 20 * 5_000_000**2 / 1e9
    with pytest.raises(OSError, match=rf"the pixel cache needs {needed:,.0f}.* GB in .*rows.*HF_DATASETS_CACHE"):
        pixels.check_room([rows], 5_000_000, False)
    assert not list((tmp_path / "rows").glob("cache-*"))


def test_an_image_that_cannot_be_decoded_is_named():
    rows = dataset(radiographs(3), [[0]] * 3)
    cut = [row["image"]["bytes"] for row in rows.cast_column("image", Image(decode=False))]
    cut[1] = cut[1][: len(cut[1]) // 2]
    damaged = dataset([{"bytes": data, "path": None} for data in cut], [[0]] * 3)
    for read in (lambda: pixels.shrink(damaged, 16), lambda: batch_of(damaged, [0, 1])):
        with pytest.raises(ValueError, match="images/00000001_000.png is damaged: .*. Fetch it again"):
            read()


# The order of a run


def test_whatever_is_damaged_the_error_names_the_image():
    image, stored = Pillow.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)), BytesIO()
    image.save(stored, format="TIFF", exif={0x0112: 6})
    for number in range(300):  # among these are sizes that Pillow takes for an attack, and tags of another type
        random, data = np.random.default_rng(number), bytearray(stored.getvalue())
        for at in random.integers(0, 200, 3):
            data[at] = random.integers(256)
        with contextlib.suppress(ValueError):
            assert len(pixels.shrink_row({"image_file_path": "a.tif", "image": {"bytes": bytes(data)}}, 8)) == 8


def test_a_tiff_of_16_bits_whose_white_is_zero_is_refused_in_training_too():
    stored = BytesIO()
    Pillow.fromarray(np.full((8, 8), 40_000, np.uint16)).save(stored, format="TIFF", tiffinfo={262: 0})
    rows = dataset([{"bytes": stored.getvalue(), "path": None}], [[0]])
    with pytest.raises(ValueError, match="images/00000000_000.png: its white is zero, with more than 8 bits: invert"):
        pixels.shrink(rows, 16)


def test_every_row_comes_once_an_epoch_whatever_the_processes():
    alone = list(batches.Order(50, 12, 3, seed=4))
    shared = [list(batches.Order(50, 12, 3, 4, process, 5)) for process in range(5)]
    assert [sum(parts, []) for parts in zip(*shared, strict=True)] == alone
    for epoch in range(3):
        rows = sum(alone[4 * epoch : 4 * epoch + 4], [])
        assert len(rows) == len(set(rows)) == 48
    assert alone[:4] != alone[4:8], "each epoch has its own order"


def test_begun_later_it_goes_on_as_if_it_had_never_stopped():
    order = batches.Order(50, 12, 3, seed=4)
    whole = list(order)
    order.begin = 5
    assert list(order) == whole[5:] and len(order) == 7


def test_weights_say_how_often_a_row_comes():
    order = batches.Order(1000, 100, 5, seed=0, weights=np.repeat([1.0, 3.0], 500))
    rows = np.concatenate(list(order)) % 1000
    assert (rows >= 500).mean() == pytest.approx(0.75, abs=0.03)


def test_a_row_that_comes_again_in_an_epoch_is_the_same_image_augmented_anew():
    rows = dataset(radiographs(3), [[0]] * 3)
    weights = [5.0, 1.0, 1.0]

    def drawn(process=0, processes=1):
        order = batches.Order(3, 3, 20, 0, process, processes, weights)
        return [batch_of(rows, indices) for indices in order]

    whole, halves = drawn(), [drawn(process, 2) for process in range(2)]
    for epoch, batch in enumerate(whole):
        assert len({*batch["draw"].tolist()}) == 3, "no draw comes twice in an epoch"
        assert all(0 <= row < 3 for row in batch["index"])
        geometry = augment.draw(batch["draw"].numpy(), epoch, 0, STRENGTH).matrices
        assert len(np.unique(geometry, axis=0)) == 3
        parts = [half[epoch] for half in halves]
        for name in ("index", "draw", "pixels"):
            assert torch.equal(torch.cat([part[name] for part in parts]), batch[name])
    assert any(len({*batch["index"].tolist()}) < 3 for batch in whole), "some image came again"


def test_without_weights_an_image_is_augmented_by_its_row():
    assert sorted(sum(batches.Order(50, 10, 1, seed=4), [])) == list(range(50))
