"""The same weights in another configuration say the same."""

import pytest
import torch
from transformers import AutoConfig

from chestxray.models.adapting import (
    class_names,
    head_weights,
    merge_classes,
    merge_heads,
    new_model,
    same_rows,
    with_outputs,
)

FINDINGS = ["Mass", "Nodule", "Hernia"]


@pytest.mark.parametrize("family", ["vit", "convnext", "timm", "timm-vit"])
def test_the_head_is_what_differs_with_the_number_of_findings(tiny, family):
    config = AutoConfig.from_pretrained(tiny(family), num_labels=1)  # as wide as many another weight
    heads = {name.removeprefix("timm_model.") for name in head_weights(config)}
    assert heads in (
        {"classifier.weight", "classifier.bias"},
        {"head.fc.weight", "head.fc.bias"},
        {"head.weight", "head.bias"},
    )


@pytest.mark.parametrize("family", ["vit", "convnext", "timm"])
def test_merged_heads_give_the_merged_logits(tiny, family):
    torch.manual_seed(0)
    config = with_outputs(AutoConfig.from_pretrained(tiny(family), num_labels=1), class_names(FINDINGS, 3))
    model = new_model(config).eval()
    merged, weights = merge_heads(model.config, model.state_dict(), FINDINGS)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        outputs, logits = (one(pixel_values=images).logits for one in (model, merged.eval()))
    assert outputs.shape == (2, 9) and logits.shape == (2, 3)
    assert torch.allclose(merge_classes(outputs), logits, atol=1e-5)
    assert all(torch.equal(merged.state_dict()[name], weight) for name, weight in weights.items())
    assert merged.config.id2label == dict(enumerate(FINDINGS))


def test_outputs_of_one_name_are_found_before_those_of_one_meaning():
    assert same_rows(["Pleural Effusion", "Effusion"], ["Effusion"]) == [(0, 1)]
    assert same_rows(["Effusion", "Pleural Effusion"], ["Pleural Effusion", "Effusion"]) == [(0, 1), (1, 0)]
    assert same_rows(["Lung Lesion", "LABEL_0"], ["Mass", "Nodule"]) == [], "broader is not the same"
