"""Random weights are always the same ones, and nothing else becomes less random."""

import torch

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
