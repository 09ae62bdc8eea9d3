"""The cache holds each image as the model is to see it: square, grey, with its targets."""

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value
from PIL import Image as Pillow

from chestxray import batches, pixels

NAMES = ["No Finding", "Mass", "Nodule", "Hernia"]
FEATURES = Features({"image_file_path": Value("string"), "image": Image(), "labels": Sequence(ClassLabel(names=NAMES))})


def radiographs(count):
    grey = np.random.default_rng(0).integers(0, 256, (count, 40, 32), dtype=np.uint8)
    return [Pillow.fromarray(pixels) for pixels in grey]


def shrunk(images, labels, size=16):
    paths = [f"images/{number:08}_000.png" for number in range(len(images))]
    rows = Dataset.from_dict({"image_file_path": paths, "image": images, "labels": labels}, features=FEATURES)
    return pixels.shrink(rows, NAMES[1:], size)


def test_no_finding_is_the_row_of_zeros_and_order_does_not_matter():
    rows = shrunk(radiographs(4), [[0], [3, 1], [2], []])
    targets = batches.Batches(rows, 16).__getitems__([0, 1, 2, 3])["targets"]
    assert targets.tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_pixels_are_those_of_an_antialiased_resize_in_the_order_asked_for():
    images = radiographs(5)
    batch = batches.Batches(shrunk(images, [[0]] * 5), 16).__getitems__([4, 0])
    wanted = [np.asarray(images[row].resize((16, 16), Pillow.Resampling.BICUBIC)) for row in (4, 0)]
    assert batch["pixels"].dtype == torch.uint8
    assert np.array_equal(batch["pixels"][:, 0].numpy(), wanted)
    assert batch["index"].tolist() == [4, 0]


def test_the_few_colour_files_come_out_as_their_grey_twins():
    (grey,) = radiographs(1)
    assert np.array_equal(pixels.shrink_image(grey.convert("RGBA"), 16), pixels.shrink_image(grey, 16))
