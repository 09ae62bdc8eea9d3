"""A model for the findings has the weights of its checkpoint, by name, or says that it cannot."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models._hub import save_for_hf
from transformers import (
    AutoModelForImageClassification,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    SwinConfig,
    ViTImageProcessor,
)

from chestxray.models import classifiers

NAMES = ["Mass", "Edema", "Hernia"]
SWIN = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4)


@pytest.fixture
def checkpoint(tiny, tmp_path):
    """A folder as finetune.py leaves it, whose head has weights of its own."""
    model, processor = classifiers.build_model(str(tiny("vit")), NAMES, resize=40)
    torch.nn.init.normal_(model.classifier.bias)
    classifiers.save_classifier(model, model.state_dict(), tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def change(folder, changed):
    weights = load_file(folder / "model.safetensors")
    save_file(changed(weights), folder / "model.safetensors", {"format": "pt"})


# Loading to predict


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            lambda w: {f"_orig_mod.{name}": weight for name, weight in w.items()},
            r"missing \(classifier.bias.*unexpecte",
        ),
        (lambda w: {name: w[name] for name in w if name != "classifier.bias"}, r"1 missing \(classifier.bias"),
        (lambda w: w | {"odd": torch.zeros(1)}, r"1 unexpected \(odd"),
        (lambda w: w | {"classifier.bias": torch.zeros(4)}, r"1 mismatched \(.*classifier.bias"),
    ],
    ids=["compiled", "missing", "unexpected", "mismatched"],
)
def test_weights_that_are_not_the_models_are_refused(checkpoint, changed, message):
    change(checkpoint, changed)
    with pytest.raises(ValueError, match=f"{checkpoint}: the weights do not fit the model.*{message}"):
        classifiers.load_classifier(checkpoint)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_single_precision_whatever_the_file_holds(checkpoint, dtype, tmp_path):
    AutoModelForImageClassification.from_pretrained(checkpoint).to(dtype).save_pretrained(checkpoint)
    assert load_file(checkpoint / "model.safetensors")["classifier.bias"].dtype == dtype
    (tmp_path / "half.json").write_text((checkpoint / "config.json").read_text())
    as_it_is, _ = classifiers.build_model(str(checkpoint), NAMES)
    new_head, _ = classifiers.build_model(str(checkpoint), ["Fibrosis"], image_size=48)
    random, _ = classifiers.build_model(str(tmp_path / "half.json"), NAMES)
    for model in (classifiers.load_classifier(checkpoint)[0], as_it_is, new_head, random):
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        assert model.config.dtype == torch.float32


def test_a_processor_without_a_height_is_refused(checkpoint):
    CLIPImageProcessor().save_pretrained(checkpoint)
    with pytest.raises(ValueError, match="names no height, as finetune.py's does"):
        classifiers.load_classifier(checkpoint)


def test_a_description_of_timms_that_differs_from_the_processor_beside_it_does_not_count(tmp_path):
    model, _ = classifiers.build_model("test_efficientnet", NAMES, image_size=48, pretrained=False)
    model.config.image_processor_type = None  # as it was written until 2026-11
    model.config.pretrained_cfg |= {"input_size": [3, 224, 224], "crop_pct": 0.875, "crop_mode": "center"}
    classifiers.save_classifier(model, model.state_dict(), tmp_path)
    ViTImageProcessor(size={"height": 48, "width": 48}).save_pretrained(tmp_path)
    assert classifiers.sides(classifiers.load_classifier(tmp_path)[1]) == (48, 48)


# Loading to fine-tune


def test_weights_of_which_most_are_missing_are_no_start_for_training(checkpoint):
    change(checkpoint, lambda w: {f"_orig_mod.{name}": weight for name, weight in w.items()})
    with pytest.raises(ValueError, match="lacks 24 of the weights that its config.json asks for, classifier.bias"):
        classifiers.build_model(str(checkpoint), NAMES)


def test_the_head_keeps_the_rows_of_the_same_findings_and_no_others(checkpoint):
    old = load_file(checkpoint / "model.safetensors")
    model, _ = classifiers.build_model(str(checkpoint), ["Hernia", "Fibrosis", "Mass"])
    for name in ("weight", "bias"):
        new = getattr(model.classifier, name)
        assert torch.equal(new[0], old[f"classifier.{name}"][2]) and torch.equal(new[2], old[f"classifier.{name}"][0])
        assert not torch.isin(new[1], old[f"classifier.{name}"]).any()
    assert classifiers.names_of(model.config) == ["Hernia", "Fibrosis", "Mass"]
    others, _ = classifiers.build_model(str(checkpoint), ["A", "B", "C"])
    assert not torch.isin(others.classifier.weight, old["classifier.weight"]).any(), "as many, but other ones"


def test_three_classes_per_finding_are_not_taken_for_a_checkpoints_findings(checkpoint):
    old = load_file(checkpoint / "model.safetensors")["classifier.weight"]
    model, _ = classifiers.build_model(str(checkpoint), ["Mass"], classes=3)
    assert model.classifier.weight.shape == old.shape and not torch.isin(model.classifier.weight, old).any()


# Options


def depth_of(model):
    """The highest rate of stochastic depth in a model."""
    return max([getattr(module, "drop_prob", None) or 0 for module in model.modules()], default=0)


def test_a_drop_path_of_0_is_none_and_by_default_it_is_the_models_own(tmp_path):
    AutoModelForImageClassification.from_config(SWIN).save_pretrained(tmp_path / "swin")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "swin")
    assert depth_of(classifiers.build_model(str(tmp_path / "swin"), NAMES)[0]) == pytest.approx(0.1)
    assert depth_of(classifiers.build_model(str(tmp_path / "swin"), NAMES, drop_path=0.0)[0]) == 0
    timm_swin = {"pretrained": False, "image_size": 224}
    assert depth_of(classifiers.build_model("swin_tiny_patch4_window7_224", NAMES, **timm_swin)[0]) == pytest.approx(
        0.1
    )
    assert depth_of(classifiers.build_model("swin_tiny_patch4_window7_224", NAMES, **timm_swin, drop_path=0.0)[0]) == 0


def test_what_timms_architecture_does_not_have_is_refused_and_0_of_it_is_not():
    with pytest.raises(ValueError, match="drop_path is 0.1, which timm's densenet121 does not have"):
        classifiers.build_model("densenet121", NAMES, pretrained=False, drop_path=0.1)
    with pytest.raises(ValueError, match="pooling is token, which timm's test_efficientnet does not have"):
        classifiers.build_model("test_efficientnet", NAMES, pretrained=False, pooling="token")
    classifiers.build_model("densenet121", NAMES, pretrained=False, drop_path=0.0)


# Sides

SQUARES = {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}}
SHORT = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}


@pytest.mark.parametrize(
    "own, asked, wanted",
    [
        (DeiTImageProcessor(**SQUARES), {}, (40, 32)),
        (CLIPImageProcessor(**SHORT), {}, (32, 32)),
        (ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.8), {}, (32, 32)),
        (ViTImageProcessor(size={"height": 32, "width": 32}), {}, (32, 32)),
        (CLIPImageProcessor(**SQUARES, do_center_crop=False), {}, (40, 40)),
        (DeiTImageProcessor(**SQUARES), {"image_size": 48}, (48, 48)),
        (DeiTImageProcessor(**SQUARES), {"resize": 36}, (36, 32)),
        (DeiTImageProcessor(**SQUARES), {"image_size": 24, "resize": 64}, (64, 24)),
    ],
    ids=["DeiT", "DINOv2", "ConvNeXt", "ViT", "no cut", "image_size", "resize", "both"],
)
def test_a_model_is_trained_at_the_side_that_its_processor_shows_it(checkpoint, own, asked, wanted):
    own.save_pretrained(checkpoint)
    model, processor = classifiers.build_model(str(checkpoint), NAMES, **asked)
    assert classifiers.sides(processor) == wanted
    assert model.config.image_size == wanted[1]


def test_a_timm_repository_is_trained_at_its_own_side_whatever_its_crop_pct(tmp_path):
    save_for_hf(timm.create_model("test_vit"), tmp_path, safe_serialization=True)
    _, processor = classifiers.build_model(str(tmp_path), NAMES)
    assert classifiers.sides(processor) == (160, 160), "not 168, of which 0.95 are 160"
