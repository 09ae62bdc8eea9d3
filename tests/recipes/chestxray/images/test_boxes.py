"""A box is where its sign is, whatever augmentation does to the image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from chestxray.images import augment
from chestxray.images.augment import Strength
from chestxray.images.boxes import Boxes, covered_shares, read_training_boxes, visible_boxes

SIDE, GRID = 64, (8, 8)
CHANGES = {
    "nothing": {},
    "flip": {"flip": 1.0},
    "rotate": {"rotate": 30.0},
    "scale": {"scale": 0.4},
    "shift": {"shift": 0.2},
    "crop": {"crop": 0.3},
    "randaugment": {"randaugment": 10.0},
    "all": {"flip": 0.5, "rotate": 20.0, "scale": 0.2, "shift": 0.1, "crop": 0.5, "randaugment": 6.0},
}


def drawn(count):
    """(images with one bright rectangle each, the boxes of these rectangles)."""
    random = np.random.default_rng(0)
    upper = random.integers(4, 36, (count, 2))
    lower = upper + random.integers(8, 24, (count, 2))
    pixels = torch.zeros((count, 1, SIDE, SIDE), dtype=torch.uint8)
    for image, (x0, y0), (x1, y1) in zip(pixels, upper, lower, strict=True):
        image[0, y0:y1, x0:x1] = 255
    corners = 2 * np.concatenate([upper, lower], 1) / SIDE - 1
    return pixels, Boxes(np.arange(count), np.zeros(count, int), corners)


@pytest.mark.parametrize("visible", [1.0, 0.75], ids=["whole", "middle"])
@pytest.mark.parametrize("strength", CHANGES.values(), ids=CHANGES)
def test_a_bright_square_stays_under_its_box(strength, visible):
    pixels, boxes = drawn(40)
    matrices = augment.draw(np.arange(40), 2, 5, Strength(**strength), visible).matrices
    bright = augment.warp(pixels, matrices, SIDE).float() / 255
    wanted = F.avg_pool2d(bright, SIDE // GRID[0])[:, 0].numpy()
    seen = visible_boxes(boxes, matrices)
    shares = covered_shares(seen, matrices, GRID)
    assert len(seen) > 10
    np.testing.assert_allclose(shares, wanted[seen.images], atol=0.15)
    assert np.abs(shares - wanted[seen.images]).mean() < 0.01


def test_only_a_box_whose_centre_is_seen_is_kept():
    matrices = np.array([[[0.5, 0, 0], [0, 0.5, 0]]])  # the middle half of the image
    corners = np.array([[-0.7, -0.1, -0.35, 0.1], [-0.6, -0.1, -0.35, 0.1], [0.3, 0.3, 1, 0.6]])
    boxes = Boxes(np.zeros(3, int), np.arange(3), corners)
    assert visible_boxes(boxes, matrices).findings.tolist() == [1]


def test_a_box_smaller_than_any_cell_still_has_a_place():
    matrices = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    boxes = Boxes(np.zeros(1, int), np.zeros(1, int), np.array([[0.26, -0.99, 0.2601, -0.9899]]))
    (shares,) = covered_shares(boxes, matrices, (4, 8))
    assert np.argwhere(shares).tolist() == [[0, 5]] and shares.max() < 0.1


def test_a_batch_has_the_boxes_of_its_rows_in_its_own_numbers():
    boxes = Boxes(np.array([3, 3, 7]), np.array([0, 1, 2]), np.arange(12.0).reshape(3, 4))
    batch = boxes.of_rows(np.array([7, 1, 3, 7]))
    assert batch.images.tolist() == [0, 2, 2, 3] and batch.findings.tolist() == [2, 0, 1, 2]
    np.testing.assert_array_equal(batch.corners, boxes.corners[[2, 0, 1, 2]])
    assert len(boxes.of_rows(np.array([0, 1]))) == 0


class Opened:
    def __init__(self, **splits):
        self.splits = {name: dataset_of(rows) for name, rows in splits.items()}


def dataset_of(boxes):
    """Images of 1024 × 1024 with these boxes, [(name of the finding, box)] each."""
    names = ["No Finding", "Mass", "Pleural Effusion"]
    rows = {
        "image_file_path": [f"images/{number:08}_000.png" for number in range(len(boxes))],
        "objects": [
            {"bbox": [box for _, box in image], "category": [names.index(name) for name, _ in image]} for image in boxes
        ],
    }
    objects = {"bbox": Sequence(Sequence(Value("float32"), 4)), "category": Sequence(ClassLabel(names=names))}
    return Dataset.from_dict(rows, features=Features({"image_file_path": Value("string"), "objects": objects}))


def test_boxes_come_from_train_alone_and_rows_of_the_next_dataset_follow():
    box = [256.0, 0.0, 512.0, 128.0]
    first = Opened(train=[[], [("Mass", box)]], validation=[[("Mass", box)]], test=[[("Mass", box)]])
    second = Opened(train=[[("Pleural Effusion", box), ("Mass", box)]])
    boxes = read_training_boxes([first, second], ["Hernia", "Effusion"])
    assert boxes.images.tolist() == [2] and boxes.findings.tolist() == [1]
    np.testing.assert_allclose(boxes.corners, [[-0.5, -1, 0.5, -0.75]])
    assert read_training_boxes([first, second], ["Mass"]).images.tolist() == [1, 2]


def test_a_box_outside_of_its_image_is_refused_by_the_images_name():
    with pytest.raises(ValueError, match="00000000_000.png: the box .* is not inside its image"):
        read_training_boxes([Opened(train=[[("Mass", [900.0, 0.0, 512.0, 128.0])]])], ["Mass"])
