"""Attention weighted by its gradient is that of its paper: with finite differences, and with whole matrices."""

import pytest
import torch

from chestxray.models.heatmaps import Heatmapper
from heatmap_models import SIDE, images, logits_of, make_model


@pytest.mark.parametrize("family, read, prefix", [
    ("timm-vit", [0], 1), ("timm-vit-registers", [0], 5), ("timm-deit-distilled", [0, 1], 2),
])  # fmt: skip
def test_the_last_attention_is_weighted_by_the_slope_of_the_logit(family, read, prefix, tmp_path):
    """What each read token gets from each patch is raised and lowered, at a side that is not the architecture's own."""
    side = SIDE - 24  # 5 × 5 patches
    model, pixels = make_model(family, tmp_path, side).double(), images(1, side).double()
    relevance = torch.zeros(3, 25, dtype=torch.float64)
    for head in range(2):
        for token in read:
            for patch in range(25):
                attention, slopes = slope(model, pixels, (0, head, token, prefix + patch))
                relevance[:, patch] += (attention * slopes).clamp(min=0) / 2 / len(read)
    _, maps = Heatmapper(model, "attention", rollout=False).compute(pixels)
    assert relevance.max() > 0
    wanted = relevance.view(3, 5, 5).float()
    torch.testing.assert_close(maps[0], wanted, rtol=1e-3, atol=1e-4 * wanted.max().item())


def slope(model, pixels, place, step=1e-5):
    """(one number of the last layer's attention, the slopes (k,) of the logits)."""
    layer, logits, seen = model.timm_model.blocks[-1].attn, [], []
    layer.fused_attn = False
    for sign in (1, -1):

        def change(module, args, attention, sign=sign):
            seen.append(attention[place].item())
            changed = attention.clone()
            changed[place] += sign * step
            return changed

        handle = layer.attn_drop.register_forward_hook(change)
        logits.append(logits_of(model, pixels)[0])
        handle.remove()
    return seen[0], (logits[0] - logits[1]) / (2 * step)


@pytest.mark.parametrize("family, prefix", [("vit", 1), ("deit", 2), ("dinov2", 1), ("dinov2-registers", 5)])
def test_relevance_is_followed_through_the_layers_as_in_the_paper(family, prefix, tmp_path):
    """R = 1 and then R + A R for each layer from the first to the last, in whole matrices (Chefer et al. 2021)."""
    model, pixels = make_model(family, tmp_path), images()
    _, maps = Heatmapper(model, "attention").compute(pixels)
    model.set_attn_implementation("eager")
    output = model(pixel_values=pixels, output_attentions=True)
    for image in range(2):
        for finding in range(3):
            slopes = torch.autograd.grad(output.logits[image, finding], output.attentions, retain_graph=True)
            relevance = torch.eye(output.attentions[0].shape[-1])
            for attention, gradient in zip(output.attentions, slopes, strict=True):
                relevance = relevance + (attention * gradient)[image].clamp(min=0).mean(0) @ relevance
            wanted = relevance[0, prefix:].view(8, 8).detach()
            torch.testing.assert_close(maps[image, finding], wanted, rtol=1e-3, atol=1e-4 * wanted.max().item())


def test_without_a_class_token_the_rows_of_all_patches_count(tmp_path):
    model, pixels = make_model("siglip", tmp_path), images(1)
    _, maps = Heatmapper(model, "attention", rollout=False).compute(pixels)
    model.set_attn_implementation("eager")
    output = model(pixel_values=pixels, output_attentions=True)
    last = output.attentions[-1]
    for finding in range(3):
        (gradient,) = torch.autograd.grad(output.logits[0, finding], last, retain_graph=True)
        wanted = (last * gradient)[0].clamp(min=0).mean((0, 1)).view(8, 8).detach()
        torch.testing.assert_close(maps[0, finding], wanted, rtol=1e-3, atol=1e-4 * wanted.max().item())


def test_no_map_is_below_zero_and_weights_need_no_gradients_of_their_own(tmp_path):
    model, pixels = make_model("vit", tmp_path), images()
    _, maps = Heatmapper(model, "attention").compute(pixels)
    assert maps.min() >= 0 and maps.max() > 0
    for weight in model.parameters():
        weight.requires_grad_(False)
    assert torch.equal(Heatmapper(model, "attention").compute(pixels)[1], maps)
