"""Small classifiers of each family that has heatmaps, with random weights, and images for them."""

import json

import torch
from torch import nn

from chestxray.models import classifiers

FINDINGS = ["Mass", "Edema", "Hernia"]
SIDE = 64
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "patch_size": 8,
    "image_size": SIDE,
}
SWIN = {"image_size": SIDE, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [1, 1], "window_size": 4}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
STAGES = {"depths": [1, 1], "hidden_sizes": [8, 16], "num_stages": 2, "image_size": SIDE}
TIMM_VIT = {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": SIDE, "mlp_ratio": 2.0}


def timm(architecture, **arguments):
    return {"model_type": "timm_wrapper", "architecture": architecture, "model_args": arguments}


MEAN = {  # a linear layer after a mean over positions
    "convnext": {"model_type": "convnext", **STAGES},
    "convnextv2": {"model_type": "convnextv2", **STAGES},
    "resnet": {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "swin": {"model_type": "swin", **SWIN},
    "swinv2": {"model_type": "swinv2", **SWIN},
    "beit": {"model_type": "beit", "use_mean_pooling": True, **VIT},
    "siglip": {"model_type": "siglip", "vision_config": VIT, "text_config": TEXT},
    "timm-convnext": timm("test_convnext"),
    "timm-efficientnet": timm("test_efficientnet"),
    "timm-resnet": timm("test_resnet"),
    "timm-densenet": timm("densenet121", growth_rate=4, block_config=[1, 1]),
    "timm-swin": timm(
        "swin_tiny_patch4_window7_224", embed_dim=8, depths=[2, 2], num_heads=[1, 1], img_size=SIDE, window_size=4
    ),
    "timm-vit-avg": timm("vit_tiny_patch16_224", global_pool="avg", reg_tokens=4, **TIMM_VIT),
    "timm-dinov3": timm("vit_small_patch16_dinov3", **{**TIMM_VIT, "num_heads": 4}),
}
BOTH = {  # a linear layer after the class token and a mean, side by side
    "dinov2": {"model_type": "dinov2", **VIT},
    "dinov2-registers": {"model_type": "dinov2_with_registers", "num_register_tokens": 4, **VIT},
}
TOKEN = {  # a linear layer after tokens that are no patches
    "vit": {"model_type": "vit", **VIT},
    "deit": {"model_type": "deit", "architectures": ["DeiTForImageClassification"], **VIT},
    "timm-vit": timm("vit_tiny_patch16_224", **TIMM_VIT),
    "timm-vit-registers": timm("vit_tiny_patch16_224", reg_tokens=4, **TIMM_VIT),
    "timm-deit-distilled": timm("deit_tiny_distilled_patch16_224", **TIMM_VIT),
}
OTHER = {  # something else behind the last map
    "timm-mobilenetv3": timm("mobilenetv3_small_050"),
    "timm-mambaout": timm("test_mambaout"),
    "timm-vit-map": timm("vit_tiny_patch16_224", global_pool="map", class_token=False, **TIMM_VIT),
}
FAMILIES = MEAN | BOTH | TOKEN | OTHER


def make_model(family, tmp_path, side=SIDE, **changes):
    """A classifier of FAMILIES in `eval` mode. Its random weights are such that the images matter.

    changes: entries of its configuration that differ.
    """
    torch.manual_seed(0)
    path = tmp_path / f"{family}.json"
    path.write_text(json.dumps({"image_size": side, **FAMILIES[family], **changes}))
    model, _ = classifiers.build_model(str(path), FINDINGS, image_size=side)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # the images reach the logits
    return model.eval()


def images(count=2, side=SIDE):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def logits_of(model, pixels):
    with torch.no_grad():
        return model(pixel_values=pixels).logits
