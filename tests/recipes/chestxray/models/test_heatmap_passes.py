"""Random weights are always the same ones; a mirror image's map is laid over the image's own."""

import doctest

import torch

from chestxray.models import heatmap_passes
from chestxray.models.heatmap_passes import with_random_weights
from heatmap_models import make_model


def test_random_weights_are_others_than_the_models_and_always_the_same(tmp_path):
    model = make_model("convnextv2", tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (with_random_weights(model) for _ in range(2))
    assert torch.equal(torch.rand(3), expected), "PyTorch's own random numbers go on as before"
    assert not first.training and first.config.id2label == model.config.id2label
    weights = [dict(each.named_parameters()) for each in (model, first, second)]
    drawn = [name for name, weight in weights[1].items() if weight.std() > 0 and weight.numel() > 1]
    assert len(drawn) > 3
    for name in drawn:
        assert torch.equal(weights[1][name], weights[2][name]), name
        assert not torch.equal(weights[0][name], weights[1][name]), name


def test_the_map_of_a_mirror_image_is_read_where_the_own_columns_look():
    columns = [0.2, 0.4, 0.6, 0.8, 1.0]  # of a network whose kernels stand on the first of two pixels
    mirrored = torch.tensor([[1 - place for place in reversed(columns)]], dtype=torch.float64)  # a map of its places
    turned = mirrored @ heatmap_passes.columns_of_mirror(columns)
    torch.testing.assert_close(turned, torch.tensor([[0.2, 0.4, 0.6, 0.8, 0.8]], dtype=torch.float64))
    even = [0.125, 0.375, 0.625, 0.875]
    assert torch.equal(heatmap_passes.columns_of_mirror(even), torch.eye(4, dtype=torch.float64))
    assert doctest.testmod(heatmap_passes).failed == 0
