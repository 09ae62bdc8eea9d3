"""The cache holds each image as the model is to see it: square, grey, with its targets."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value, load_from_disk
from PIL import Image as Pillow

from chestxray import batches, pixels

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
    assert np.array_equal(pixels.shrink_image(grey.convert("RGBA"), 16), pixels.shrink_image(grey, 16))


def on_disk(tmp_path):
    dataset(radiographs(20), [[0]] * 20).save_to_disk(tmp_path / "rows")
    return load_from_disk(tmp_path / "rows")


def test_its_size_is_said_before_it_is_written_and_not_once_it_is_there(tmp_path):
    rows, said = on_disk(tmp_path), []
    pixels.make_room([rows], 64, False, said.append)
    assert len(said) == 1 and "Writing a pixel cache of 0 MB" in said[0]
    pixels.shrink(rows, 64)
    pixels.make_room([rows], 64, False, said.append)
    assert len(said) == 1
    pixels.make_room([rows], 64, True, said.append)
    assert len(said) == 2, "equalised ones are others"


def test_a_changed_way_of_shrinking_is_not_served_from_an_older_cache(tmp_path, monkeypatch):
    rows = on_disk(tmp_path)
    before = pixels.fingerprint(rows, 64, False)

    def shrink_image(image, size, equalize=False):
        return np.zeros((size, size), np.uint8)

    monkeypatch.setattr(pixels, "shrink_image", shrink_image)
    assert pixels.fingerprint(rows, 64, False) != before


def test_too_small_a_disk_is_said_before_and_not_in_the_middle(tmp_path):
    rows = on_disk(tmp_path)
    needed = 20 * 5_000_000**2 / 1e9
    with pytest.raises(OSError, match=rf"the pixel cache needs {needed:,.0f}.* GB in .*rows.*HF_DATASETS_CACHE"):
        pixels.make_room([rows], 5_000_000, False)
    assert not list((tmp_path / "rows").glob("cache-*"))


def test_an_image_that_cannot_be_decoded_is_named():
    rows = dataset(radiographs(3), [[0]] * 3)
    cut = [row["image"]["bytes"] for row in rows.cast_column("image", Image(decode=False))]
    cut[1] = cut[1][: len(cut[1]) // 2]
    with pytest.raises(ValueError, match="images/00000001_000.png is damaged: .*. Fetch it again"):
        pixels.shrink(dataset([{"bytes": data, "path": None} for data in cut], [[0]] * 3), 16)


# The order of a run


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
    rows = np.concatenate(list(order))
    assert (rows >= 500).mean() == pytest.approx(0.75, abs=0.03)
