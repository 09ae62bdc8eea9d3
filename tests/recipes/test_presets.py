"""The presets of large backbones: the same architecture, tiny, as its repository on the Hub has it."""

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.models._hub import save_for_hf
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    BitImageProcessor,
    Dinov2Config,
    Dinov2Model,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

import finetune
import forks
from chestxray.models import classifiers
from chestxray.training import optimisation
from chestxray.training.command_line import parse_settings
from conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
FINDINGS = [f"finding {number}" for number in range(14)]
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
RADIOGRAPHS = [0.5307] * 3, [0.2583] * 3  # preprocessor_config.json of microsoft/rad-dino
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


def rad_dino(folder, side=518):
    config = Dinov2Config(**{**SMALL, "mlp_ratio": 1}, image_size=side, patch_size=14)
    Dinov2Model(config).save_pretrained(folder)
    mean, std = RADIOGRAPHS
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    BitImageProcessor(**size, image_mean=mean, image_std=std).save_pretrained(folder)


def medsiglip(folder, side=448):
    vision = {**SMALL, "image_size": side, "patch_size": 14}
    text = {**SMALL, "vocab_size": 50, "max_position_embeddings": 8, "pad_token_id": 1}
    SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)


def of_timm(architecture, **options):
    def write(folder):
        model = timm.create_model(architecture, num_classes=0, **options)
        save_for_hf(model, folder, model_args=options, safe_serialization=True)

    return write


VIT = {"depth": 2, "embed_dim": 48, "num_heads": 2}
CONVNEXT = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}
PRESETS = {  # (how the Hub has it, side that the model sees, mean and deviation, levels of the whole architecture)
    "rad-dino": (rad_dino, 518, RADIOGRAPHS, 14),
    "medsiglip": (medsiglip, 448, ([0.5] * 3, [0.5] * 3), 29),
    "dinov3-convnext-tiny": (of_timm("convnext_tiny.dinov3_lvd1689m", **CONVNEXT), 512, IMAGENET, None),
    "dinov3-vit-small": (of_timm("vit_small_patch16_dinov3.lvd1689m", **VIT), 512, IMAGENET, 14),
}
WHOLE = {  # the architectures themselves
    "rad-dino": AutoConfig.for_model("dinov2", num_labels=14, image_size=518, patch_size=14),
    "medsiglip": SiglipConfig(
        vision_config={
            "hidden_size": 1152,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "intermediate_size": 4304,
            "image_size": 448,
            "patch_size": 14,
        },
        num_labels=14,
    ),
    "dinov3-convnext-tiny": AutoConfig.for_model("timm_wrapper", architecture="convnext_tiny.dinov3_lvd1689m"),
    "dinov3-vit-small": AutoConfig.for_model("timm_wrapper", architecture="vit_small_patch16_dinov3.lvd1689m"),
}


def body_weights(folder):
    """What a repository holds, by the names that its library uses. AutoModel refuses some of timm's (5.23)."""
    if AutoConfig.from_pretrained(folder).model_type == "timm_wrapper":
        return load_file(folder / "model.safetensors")
    return AutoModel.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_repository_becomes_a_classifier_that_is_saved_and_loaded_as_the_same(preset, tmp_path):
    write, side, statistics, _ = PRESETS[preset]
    write(tmp_path / "hub")
    settings = parse_settings(["--model", preset])
    model, processor = classifiers.build_model(str(tmp_path / "hub"), FINDINGS, **settings.architecture)
    body, ours = body_weights(tmp_path / "hub"), model.state_dict()
    of_body = [name for name in ours if not name.rpartition(".")[0].endswith(("classifier", "head.fc", "_model.head"))]
    theirs = {ours_name: next((n for n in body if ours_name.endswith(n)), None) for ours_name in of_body}
    assert len(of_body) > 10 and None not in theirs.values(), "no weight of the body is new"
    assert all(torch.equal(ours[name], body[theirs[name]]) for name in of_body)

    assert classifiers.sides(processor) == (side, side)
    assert (list(processor.image_mean), list(processor.image_std)) == statistics
    image = torch.randn(1, 3, side, side)
    with torch.no_grad():
        logits = model.eval()(pixel_values=image).logits
        classifiers.save_classifier(model, model.state_dict(), tmp_path / "run")
        processor.save_pretrained(tmp_path / "run")
        again, processing, findings = classifiers.load_classifier(tmp_path / "run")
        assert logits.shape == (1, 14)
        assert torch.allclose(again(pixel_values=image).logits, logits, rtol=0, atol=1e-6)  # a place in memory rounds
    assert findings == FINDINGS and classifiers.sides(processing) == (side, side)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_layer_decay_counts_the_blocks_of_a_preset(preset):
    with torch.device("meta"):
        model = AutoModelForImageClassification.from_config(WHOLE[preset])
    groups = optimisation.parameter_groups(model, weight_decay=0.05, layer_decay=0.75)
    shares = {group["share"] for group in groups}
    assert 1 in shares and len(shares) == (PRESETS[preset][3] or len(shares)) and len(shares) > 5
    assert {group["weight_decay"] for group in groups} == {0.0, 0.05}


@pytest.mark.parametrize("write", [rad_dino, medsiglip])
def test_position_embeddings_of_any_shape_are_interpolated(write, tmp_path):
    write(tmp_path / "hub", side=56)
    model, processor = classifiers.build_model(str(tmp_path / "hub"), FINDINGS, image_size=84)
    assert classifiers.sides(processor) == (84, 84)
    assert model(pixel_values=torch.zeros(1, 3, 84, 84)).logits.shape == (1, 14)
    name = next(name for name in model.state_dict() if "position_embedding" in name)
    old = next(
        weight for key, weight in load_file(tmp_path / "hub" / "model.safetensors").items() if name.endswith(key)
    )
    assert model.state_dict()[name].shape[-2] - old.shape[-2] == 6**2 - 4**2


@pytest.mark.parametrize("write", [rad_dino, medsiglip])
def test_two_processes_train_a_model_that_does_not_use_all_of_its_weights(write, synthetic, tmp_path):
    write(tmp_path / "hub", side=28)
    flags = ["--dataset", synthetic(patients=60), "--model", tmp_path / "hub", "--epochs", 1, "--batch-size", 16]
    finetune.main([str(flag) for flag in [*flags, "--output-dir", tmp_path / "one"]])
    done = forks.run_two(ROOT / "recipes" / "finetune.py", *flags, "--output-dir", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    before = load_file(tmp_path / "hub" / "model.safetensors")
    unused = [name for name in one if "mask_token" in name or "vision_model.head" in name]
    assert unused and all(
        torch.equal(one[name], next(weight for key, weight in before.items() if name.endswith(key))) for name in unused
    )
