"""timm models with log-mean-exp pooling or fewer stages: what a logit is, and who can read such a checkpoint."""

import json

import pytest
import timm
import torch
from transformers import AutoConfig, AutoModelForImageClassification

from chestxray.models import classifiers
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.local_models import LocalModel
from chestxray.models.peak_pooling import SHARPNESS
from heatmap_models import FINDINGS, SIDE, images, logits_of, make_model

POOLED = ["timm-efficientnet", "timm-resnet", "timm-densenet"]


@pytest.fixture(params=POOLED)
def family(request):
    return request.param


def with_peaks(family, tmp_path):
    """The same weights with the mean and with log-mean-exp pooling, the latter in `tmp_path / "run"` too."""
    plain = make_model(family, tmp_path)
    model, processor = classifiers.build_model(str(tmp_path / f"{family}.json"), FINDINGS, SIDE, pooling="lse")
    model.load_state_dict(plain.state_dict())
    save(model, processor, tmp_path / "run")
    return plain, model.eval()


def save(model, processor, folder):
    classifiers.save_classifier(model, model.state_dict(), folder)
    processor.save_pretrained(folder)


def test_a_logit_is_the_log_mean_exp_of_its_class_activation_map(family, tmp_path):
    plain, model = with_peaks(family, tmp_path)
    logits, maps = Heatmapper(model).compute(images())
    assert Heatmapper(model).method == "cam" and torch.equal(logits, logits_of(model, images()))
    expected = (maps.double() * SHARPNESS).exp().mean((2, 3)).log() / SHARPNESS
    torch.testing.assert_close(logits.double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps, Heatmapper(plain).compute(images())[1])  # the weights are the same


def test_a_checkpoint_is_read_as_it_was_and_trained_on_with_its_pooling(family, tmp_path):
    _, model = with_peaks(family, tmp_path)
    logits = logits_of(model, images())
    again = AutoModelForImageClassification  # what a user would take
    with pytest.raises(Exception, match="lse"):
        again.from_pretrained(tmp_path / "run")
    with pytest.raises(Exception, match="lse"):
        timm.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=True)
    more, _ = classifiers.build_model(str(tmp_path / "run"), FINDINGS)
    assert isinstance(classifiers.load_classifier(tmp_path / "run")[0], LocalModel)
    assert isinstance(more, LocalModel) and torch.equal(logits_of(more.eval(), images()), logits)
    back, _ = classifiers.build_model(str(tmp_path / "run"), FINDINGS, pooling="avg")
    assert json.loads(back.config.to_json_string())["model_args"]["global_pool"] == "avg"
    assert not torch.allclose(logits_of(back.eval(), images()), logits)


def test_another_number_of_findings_keeps_the_pooling_and_the_rows_that_it_has(family, tmp_path):
    _, model = with_peaks(family, tmp_path)
    other, _ = classifiers.build_model(str(tmp_path / "run"), [FINDINGS[1], "Fibrosis"])
    torch.testing.assert_close(logits_of(other.eval(), images())[:, 0], logits_of(model, images())[:, 1])


@pytest.mark.parametrize("architecture", ["test_vit", "test_convnext", "mobilenetv3_small_050"])
def test_models_that_end_in_another_way_are_refused(architecture):
    with pytest.raises(ValueError, match="pooling .*lse"):
        classifiers.build_model(architecture, FINDINGS, pretrained=False, pooling="lse")


def test_a_model_of_transformers_is_refused(tmp_path):
    make_model("resnet", tmp_path)
    with pytest.raises(ValueError, match="pooling is lse, which only timm's models have"):
        classifiers.build_model(str(tmp_path / "resnet.json"), FINDINGS, pooling="lse")


# Fewer stages


def test_the_first_stages_are_those_of_the_whole_model_and_a_cell_sees_less(tmp_path):
    whole, cut = (classifiers.build_model("test_efficientnet", FINDINGS, SIDE, False, stages=n)[0] for n in (None, 2))
    cut.timm_model.blocks.load_state_dict(whole.timm_model.blocks[:2].state_dict())
    assert len(cut.timm_model.blocks) == 2 < len(whole.timm_model.blocks)
    grids = [Heatmapper(model).grid(SIDE) for model in (whole, cut)]
    assert grids[1] > grids[0]
    assert Heatmapper(cut).method == "cam"


def test_rows_of_a_head_behind_other_stages_start_anew(tmp_path):
    whole, processor = classifiers.build_model("test_efficientnet", FINDINGS, SIDE, pretrained=False)
    save(whole, processor, tmp_path / "whole")
    cut, processor = classifiers.build_model(str(tmp_path / "whole"), FINDINGS, stages=2)
    assert classifiers.kept_outputs(whole, str(tmp_path / "whole")) == dict(enumerate(FINDINGS))
    assert classifiers.kept_outputs(cut, str(tmp_path / "whole")) == {}
    save(cut, processor, tmp_path / "cut")
    again, _ = classifiers.build_model(str(tmp_path / "cut"), FINDINGS)
    assert classifiers.kept_outputs(again, str(tmp_path / "cut")) == dict(enumerate(FINDINGS))
    with pytest.raises(ValueError, match="stages is 3, and this model was cut to 2"):
        classifiers.build_model(str(tmp_path / "cut"), FINDINGS, stages=3)
    assert torch.equal(logits_of(again.eval(), images()), logits_of(cut.eval(), images()))


def test_the_weights_of_stages_that_are_left_out_are_not_listed_as_a_surprise(tmp_path):
    whole, processor = classifiers.build_model("test_efficientnet", FINDINGS, SIDE, pretrained=False)
    save(whole, processor, tmp_path / "whole")
    config = AutoConfig.from_pretrained(tmp_path / "whole")
    config.model_args = {"stages": 2}
    _, found = classifiers.load_weights(tmp_path / "whole", config)
    assert not found["unexpected_keys"] and not found["missing_keys"]


@pytest.mark.parametrize(
    ("architecture", "stages", "error"),
    [
        (
            "test_resnet",
            2,
            "stages is 2, which only timm's EfficientNets have, and this model is a ResNet: .* --stages out",
        ),
        ("test_vit", 2, "stages is 2, which only timm's EfficientNets have"),
        ("test_efficientnet", 50, "stages is 50, and this model has"),
    ],
)
def test_what_cannot_be_cut_is_refused(architecture, stages, error):
    with pytest.raises(ValueError, match=error):
        classifiers.build_model(architecture, FINDINGS, pretrained=False, stages=stages)
