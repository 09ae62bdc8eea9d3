"""Every image of a split has its logits once, in the order of the rows, whatever the batch, views and processes."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

from chestxray.data.predictions import mean_logit
from chestxray.images.splits import Split
from chestxray.models.inference import each_image_once, predict_logits
from chestxray.models.processors import processor_for
from chestxray.scoring.test_time_views import views

COUNT, SIZE, SIDE = 11, 10, 8


class Greys(torch.nn.Module):
    """Two logits of an image: its mean grey, and how much brighter its left half is."""

    def forward(self, pixel_values):
        assert not self.training and pixel_values.shape[1:] == (3, SIDE, SIDE)
        left, right = (half.mean((1, 2, 3)) for half in pixel_values.chunk(2, dim=3))
        return SimpleNamespace(logits=torch.stack([(left + right) / 2, left - right], 1))


class Process:
    """A process, as `Accelerator` has it, of several that run one after the other."""

    device = torch.device("cpu")

    def __init__(self, process_index=0, num_processes=1):
        self.process_index, self.num_processes, self.sent = process_index, num_processes, []

    def gather(self, tensors):
        self.sent.append(tensors)
        return tensors


@pytest.fixture
def split():
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE), dtype=np.uint8)
    rows = Dataset.from_dict({"image_file_path": list("abcdefghijk"), "pixels": [image.tobytes() for image in pixels]})
    return Split(rows, np.zeros((COUNT, 2), np.float32), list("abcdefghijk"), SIZE)


@pytest.fixture
def processor():
    return processor_for(SimpleNamespace(image_size=SIDE), None, resize=SIZE)


def middles(split):
    """(COUNT, 2) of the middle of each image, without the code under test."""
    images = np.stack([np.frombuffer(row, np.uint8).reshape(SIZE, SIZE) for row in split.rows["pixels"]])
    greys = (images[:, 1:9, 1:9] / 255 - 0.5) / 0.5
    left, right = greys[:, :, :4].mean((1, 2)), greys[:, :, 4:].mean((1, 2))
    return np.stack([(left + right) / 2, left - right], 1)


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_logits_are_those_of_the_middle_in_the_rows_order(split, processor, batch):
    logits = predict_logits(Greys().train(), split, processor, Process(), batch)
    assert logits.shape == (COUNT, 2) and logits.dtype == np.float32
    assert np.allclose(logits, middles(split), atol=1e-5)


def test_views_are_averaged_as_probabilities(split, processor):
    flip = partial(views, side=SIDE, tta="flip")
    logits = predict_logits(Greys(), split, processor, Process(), 4, views=flip)
    mean, difference = middles(split).T
    assert logits.dtype == np.float32 and np.allclose(logits[:, 0], mean, atol=1e-5)
    assert np.allclose(logits[:, 1], mean_logit(np.stack([difference, -difference]), axis=0), atol=1e-5)


def test_an_image_that_two_processes_got_counts_once(split, processor):
    """11 images in batches of 2 on each of 2 processes: the last 3 are 4, one of them twice."""
    first = Process(0, 2)
    with pytest.raises(RuntimeError, match="11 images went in and 6 different ones came out"):
        predict_logits(Greys(), split, processor, first, 2)
    both, sent = Process(1, 2), iter(first.sent)
    both.gather = lambda tensors: tuple(map(torch.cat, zip(next(sent), tensors, strict=True)))
    assert sum(len(index) for index, _ in first.sent) == 6
    assert np.allclose(predict_logits(Greys(), split, processor, both, 2), middles(split), atol=1e-5)


def test_progress_is_told_of_each_pass(split, processor):
    passes = []
    predict_logits(Greys(), split, processor, Process(), 4, progress=lambda: passes.append(1))
    assert len(passes) == 3


def test_rows_that_came_twice_and_out_of_order_stand_once_in_their_place():
    index, logits = np.array([2, 0, 2, 1, 0]), np.array([[2.0], [0.0], [2.0], [1.0], [0.0]])
    assert each_image_once(index, logits, 3).tolist() == [[0.0], [1.0], [2.0]]
    with pytest.raises(RuntimeError, match="4 images went in and 3 different ones came out"):
        each_image_once(index, logits, 4)
