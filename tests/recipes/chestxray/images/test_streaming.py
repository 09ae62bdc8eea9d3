"""StreamSplit images come in an order of their own in each epoch of each run."""

import datasets
import numpy as np
import pytest

from chestxray.images.batches import Order
from chestxray.images.streaming import StreamSplit

COUNT = 40


@pytest.fixture(scope="module")
def split():
    pictures = [np.full((8, 8), grey, np.uint8) for grey in range(COUNT)]
    paths = [f"images/{number:08}_000.png" for number in range(COUNT)]
    features = datasets.Features({"image_file_path": datasets.Value("string"), "image": datasets.Image()})
    rows = datasets.Dataset.from_dict({"image_file_path": paths, "image": pictures}, features=features)
    stream = rows.to_iterable_dataset(num_shards=4).cast_column("image", datasets.Image(decode=False))
    return StreamSplit(rows.remove_columns("image"), np.zeros((COUNT, 1), np.float32), paths, 8, stream=stream)


def epochs(split, seed, count):
    """The rows of each epoch, in the order in which they come."""
    batches = list(split.training_loader(Order(COUNT, 10, count, seed)))
    assert all(batch["draw"].tolist() == batch["index"].tolist() for batch in batches), "each comes once an epoch"
    rows = np.concatenate([batch["index"] for batch in batches]).reshape(count, COUNT)
    assert (np.sort(rows) == np.arange(COUNT)).all()
    return rows


def test_no_epoch_has_the_order_of_another_epoch_or_seed(split):
    orders = [*epochs(split, 0, 3), *epochs(split, 1, 2), *epochs(split, 1_000_003, 1)]
    assert len(np.unique(orders, axis=0)) == 6


def test_the_same_seed_has_the_same_order(split):
    assert np.array_equal(epochs(split, 3, 2), epochs(split, 3, 2))
