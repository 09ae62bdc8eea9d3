"""A heatmap is exact where it can be, shows the right place, and leaves the model as it was."""

import pytest
import torch

from chestxray.models.heatmap_layers import side_of
from chestxray.models.heatmap_methods import METHODS
from chestxray.models.heatmaps import Heatmapper, choose_method
from heatmap_models import BOTH, FAMILIES, MEAN, OTHER, SIDE, TOKEN, images, logits_of, make_model

ATTENTION = ("siglip", "dinov2", "dinov2-registers", *TOKEN)
PAIRS = [
    *((family, "cam") for family in MEAN | BOTH),
    *((family, "grad-cam") for family in FAMILIES),
    *((family, "grad-cam++") for family in FAMILIES),
    *((family, "attention") for family in ATTENTION),
    *((family, "integrated-gradients") for family in FAMILIES),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_method_is_chosen_by_the_architecture(family, tmp_path):
    wanted = "cam" if family in MEAN | BOTH else "attention" if family in TOKEN else "grad-cam"
    assert choose_method(make_model(family, tmp_path)) == wanted
    assert FAMILIES[family] in [*MEAN.values(), *BOTH.values(), *TOKEN.values(), *OTHER.values()]


@pytest.mark.parametrize("family", MEAN | BOTH)
def test_the_mean_of_an_activation_map_is_the_logit(family, tmp_path):
    model = make_model(family, tmp_path)
    pixels = images()
    plain = logits_of(model, pixels)
    logits, maps = Heatmapper(model, "cam").compute(pixels)
    assert torch.equal(logits, plain)
    assert maps.std((2, 3)).min() > 1e-3 * plain.abs().max(), "the same everywhere"
    torch.testing.assert_close(maps.mean((2, 3)), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family, method", PAIRS)
def test_a_map_has_the_grid_of_the_model_and_leaves_it_as_it_was(family, method, tmp_path):
    model = make_model(family, tmp_path).train()
    next(model.modules()).eval()  # a mode of its own
    frozen = next(model.parameters()).requires_grad_(False)
    mapper, pixels = Heatmapper(model, method), images()
    before = state(model)
    logits, maps = mapper.compute(pixels)
    assert maps.shape == (2, 3, *mapper.grid(SIDE)) and maps.dtype == logits.dtype == torch.float32
    assert maps.isfinite().all() and not maps.requires_grad and not logits.requires_grad
    assert state(model) == before and not frozen.requires_grad
    torch.testing.assert_close(logits, logits_of(model.eval(), pixels), rtol=1e-5, atol=1e-6)


def state(model):
    """All that a call could leave behind: hooks, modes, gradients, kinds of attention."""
    config = getattr(model.config, "vision_config", model.config)
    return (
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        [module.training for module in model.modules()],
        [(weight.requires_grad, weight.grad) for weight in model.parameters()],
        [getattr(module, "fused_attn", None) for module in model.modules()],
        (model.config._attn_implementation, config._attn_implementation),
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("method", METHODS)
def test_an_error_leaves_the_model_as_it_was(method, tmp_path):
    model = make_model("dinov2", tmp_path)
    mapper, before = Heatmapper(model, method), state(model)
    with pytest.raises((ValueError, RuntimeError)):
        mapper.compute(torch.zeros(1, 5, SIDE, SIDE))
    assert state(model) == before
    with torch.no_grad():
        model.classifier.forward = None
        with pytest.raises(TypeError):
            mapper.compute(images())
        assert state(model)[:-1] == before[:-1] and not torch.is_grad_enabled()


@pytest.mark.parametrize("family, method", [pair for pair in PAIRS if pair[1] != "grad-cam++"])
def test_a_bright_patch_that_moves_in_the_image_moves_the_map(family, method, tmp_path):
    side = 160 if family in ("timm-efficientnet", "timm-resnet", "timm-mobilenetv3", "timm-mambaout") else SIDE
    model = make_model(family, tmp_path, side)
    for name, weight in model.named_parameters():
        if "pos_embed" in name or "position_embed" in name:
            torch.nn.init.zeros_(weight)  # then dark patches are alike, wherever they are
    mapper = Heatmapper(model, method)
    rows, columns = mapper.grid(side)
    without = mapper.compute(torch.zeros(1, 3, side, side))[1]
    for row, column in [(0, columns - 1), (rows - 1, 0), (0, 0)]:
        _, maps = mapper.compute(bright_patch(row, column, side, side // rows))
        change = (maps - without).flatten(2)
        change = (change - change.median(2, keepdim=True).values).abs().sum((0, 1))  # a norm changes all positions
        y, x = divmod(int(change.argmax()), columns)
        reach = 0 if family in TOKEN | BOTH else rows // 3  # convolutions see their neighbours
        reach = 2 if method == "integrated-gradients" else reach  # smoothed, and cut into cells
        assert abs(y - row) <= reach and abs(x - column) <= reach, change.view(rows, columns)


def bright_patch(row, column, side, size):
    pixels, random = torch.zeros(1, 3, side, side), torch.Generator().manual_seed(5)
    place = slice(row * size, (row + 1) * size), slice(column * size, (column + 1) * size)
    pixels[:, :, *place] = 3 * torch.randn(size, size, generator=random)
    return pixels


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_the_same_within_inference_mode_and_one_by_one(method, tmp_path):
    mapper, pixels = Heatmapper(make_model("dinov2", tmp_path), method), images(3)
    logits, maps = mapper.compute(pixels)
    with torch.inference_mode():
        inside = mapper.compute(pixels.clone())
        assert torch.is_inference_mode_enabled()
    torch.testing.assert_close(inside, (logits, maps))
    alone = [mapper.compute(image[None])[1][0] for image in pixels]
    torch.testing.assert_close(torch.stack(alone), maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["dinov2-registers", "timm-vit-registers", "timm-deit-distilled", "swin", "siglip"])
def test_the_grid_follows_the_side(family, tmp_path):
    model = make_model(family, tmp_path, side=96)
    patch = 8  # pixels of a position, which Swin's two stages reach as well
    assert side_of(model) == 96 and Heatmapper(model).grid(96) == (96 // patch, 96 // patch)


def test_what_a_model_cannot_have_is_refused(tmp_path):
    model = make_model("vit", tmp_path)
    with pytest.raises(ValueError, match="cam needs one linear layer .*, and ViTFor.* another way: choose attention"):
        Heatmapper(model, "cam")
    for family, kind in (("convnext", "ConvNext"), ("swin", "Swin"), ("timm-swin", "SwinTransformer")):
        with pytest.raises(ValueError, match=f"attention between all patches, and {kind}.* has none: choose cam"):
            Heatmapper(make_model(family, tmp_path), "attention")
    with pytest.raises(ValueError, match="the method gradcam is none of cam, grad-cam"):
        Heatmapper(model, "gradcam")


def test_a_model_without_a_map_is_refused(tmp_path, monkeypatch):
    perceiver = {
        "model_type": "perceiver",
        "architectures": ["PerceiverForImageClassificationLearned"],
        **{"num_latents": 7, "d_latents": 16, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 1},
        **{"num_self_attention_heads": 1, "num_cross_attention_heads": 1},
    }
    monkeypatch.setitem(FAMILIES, "perceiver", perceiver)
    with pytest.raises(ValueError, match="PerceiverForImageClassificationLearned has no spatial map"):
        choose_method(make_model("perceiver", tmp_path))
    with pytest.raises(ValueError, match="at 32 pixels ResNet has a map of one position"):
        Heatmapper(make_model("timm-resnet", tmp_path, side=32))
