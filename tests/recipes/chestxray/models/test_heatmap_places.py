"""Where rows and columns of a map look, of networks whose fields are known."""

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from chestxray.models.heatmap_places import even_places, measure_on_sample, measure_places
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.processors import processor_for
from heatmap_models import make_model

SIDE = 80


@pytest.fixture(scope="module")
def mapper():
    """A small ResNet with random weights: kernels of 3 and 7 with stride 2 stand on the first of two pixels."""
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=2, image_size=SIDE
    )
    return Heatmapper(ResNetForImageClassification(config).eval())


@pytest.fixture
def pixels():
    return torch.randn(16, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_cells_look_to_the_first_pixels_of_their_square_and_at_the_edge_further_inside(mapper, pixels):
    for places in measure_places(mapper, pixels):
        steps = np.diff(places)
        np.testing.assert_allclose(steps, steps[0], atol=1e-9)
        assert len(places) == 10 and 0 < places[0] < places[-1] < 1
        middle, even = (np.mean(each) * SIDE for each in (places, even_places(10)))
        assert -4.5 < middle - even < -1.5, "the stride is 8, the fields are (8 - 1) / 2 pixels before the centres"


def test_the_places_are_the_same_each_time(mapper, pixels):
    assert measure_places(mapper, pixels) == measure_places(mapper, pixels)


def test_nothing_of_the_model_changes(mapper, pixels):
    before = {name: weight.clone() for name, weight in mapper.model.state_dict().items()}
    measure_places(mapper, pixels)
    assert all(torch.equal(weight, before[name]) for name, weight in mapper.model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in mapper.model.parameters())


def test_tokens_keep_the_middles_of_their_patches(tmp_path):
    mapper = Heatmapper(make_model("vit", tmp_path))
    side = mapper.model.config.image_size
    rows, columns = measure_places(mapper, torch.zeros(2, 3, side, side))
    assert rows == columns == even_places(mapper.grid(side)[0])


def test_drawn_chests_tell_the_places_without_a_persons_picture(mapper, pixels):
    processor = processor_for(mapper.model.config, None, SIDE)
    for drawn, shown in zip(measure_on_sample(mapper, processor, False), measure_places(mapper, pixels), strict=True):
        np.testing.assert_allclose(drawn, shown, atol=2 / SIDE)
