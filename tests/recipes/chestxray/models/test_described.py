"""A classifier that describes what it saw gives the same logits, and its head makes them of the features."""

import pytest
import torch

from chestxray.models import classifiers
from chestxray.models.described import COPY, describing, small_copy
from chestxray.models.frozen_body import head_name


@pytest.mark.parametrize("family", ["convnext", "vit", "timm", "timm-vit"])
def test_the_logits_stay_and_are_the_heads_of_the_features(tiny, family):
    model, _ = classifiers.build_model(str(tiny(family)), ["A", "B"], image_size=32)
    model.eval()
    images = torch.rand(3, 1, 32, 32).repeat(1, 3, 1, 1)
    with torch.inference_mode():
        expected = model(pixel_values=images).logits
        numbers = describing(model, 32)(pixel_values=images).logits
        head = model.get_submodule(head_name(model))
        features = numbers[:, 2 : -COPY * COPY]
        assert torch.equal(numbers[:, :2], expected)
        assert features.shape == (3, head.in_features) and torch.allclose(head(features), expected, atol=1e-6)
    assert torch.equal(numbers[:, -COPY * COPY :], small_copy(images))


def test_a_model_without_one_linear_layer_at_its_end_is_not_described(tiny):
    model, _ = classifiers.build_model(str(tiny("vit")), ["A", "B"], image_size=32)
    model.classifier = torch.nn.Sequential(torch.nn.Linear(16, 2))
    assert describing(model, 32) is None


def test_the_copy_forgets_exposure_and_keeps_what_is_up_and_what_is_bright():
    images = torch.rand(2, 1, COPY, COPY).repeat_interleave(8, dim=2).repeat_interleave(8, dim=3).repeat(1, 3, 1, 1)
    copy = small_copy(images)
    assert torch.allclose(small_copy(0.5 * images + 0.2), copy, atol=0.05)
    assert torch.allclose(small_copy(-images), -copy, atol=1e-5)
    upside_down = small_copy(images.flip(-2)).view(2, COPY, COPY).flip(-2).flatten(1)
    assert torch.allclose(upside_down, copy, atol=1e-5)
    assert (small_copy(torch.ones(1, 3, 64, 64)) == 0).all()
