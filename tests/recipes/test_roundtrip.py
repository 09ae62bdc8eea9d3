"""A checkpoint of every kind goes through fine-tune, score, pipeline and another fine-tune as the same model."""

import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from accelerate.state import AcceleratorState, PartialState
from safetensors.torch import load_file
from timm.models._hub import save_for_hf
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    ViTImageProcessor,
    pipeline,
)

import finetune
import forks
import score
from chestxray.data import sources
from chestxray.models import classifiers
from chestxray.training import checkpoints
from conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
SQUARE = {"height": 32, "width": 32}


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=60)


def results_of(output):
    return json.loads((output / "all_results.json").read_text())


def of_transformers(folder, config, processor, dtype=torch.float32):
    config = AutoConfig.from_pretrained(config, num_labels=10)
    AutoModelForImageClassification.from_config(config).to(dtype).save_pretrained(folder)
    processor.save_pretrained(folder)


def of_timm(folder, architecture, **options):
    save_for_hf(timm.create_model(architecture, **options), folder, safe_serialization=True)


KINDS = {  # how the Hub has it, flags, and (side of the whole image, side that the model sees)
    "vit": (
        lambda to, tiny: of_transformers(to, tiny("vit"), ViTImageProcessor(size=SQUARE)),
        ["--gradient-checkpointing"],
        (32, 32),
    ),
    "convnext": (
        lambda to, tiny: of_transformers(
            to, tiny("convnext"), ConvNextImageProcessor(size={"shortest_edge": 40}, image_std=[0.2] * 3)
        ),
        ["--channels-last", "true"],
        (40, 40),
    ),
    "deit": (
        lambda to, tiny: of_transformers(
            to, tiny("vit"), DeiTImageProcessor(size={"height": 40, "width": 40}, crop_size=SQUARE)
        ),
        [],
        (40, 32),
    ),
    "bfloat16": (
        lambda to, tiny: of_transformers(to, tiny("vit"), ViTImageProcessor(size=SQUARE), torch.bfloat16),
        [],
        (32, 32),
    ),
    "timm": (
        lambda to, tiny: of_timm(to, "test_efficientnet", num_classes=10),
        ["--image-size", 48, "--resize", 56],
        (56, 48),
    ),
    "timm-body": (
        lambda to, tiny: of_timm(to, "test_vit", num_classes=0, img_size=160),
        ["--image-size", 32, "--pooling", "avg"],
        (32, 32),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_the_same_model_wherever_it_is_read(kind, archive, tiny, tmp_path):
    write, flags, sides = KINDS[kind]
    write(tmp_path / "hub", tiny)
    flags = ["--dataset", archive, *flags, "--learning-rate", 1e-3, "--batch-size", 16]
    finetune.main(list(map(str, [*flags, "--model", tmp_path / "hub", "--epochs", 1, "--output-dir", tmp_path / "a"])))
    model, processor, findings = classifiers.load_classifier(tmp_path / "a")
    assert classifiers.sides(processor) == sides
    assert {weight.dtype for weight in load_file(tmp_path / "a" / "model.safetensors").values()} <= {
        torch.float32,
        torch.int64,  # batch norm's count
    }
    assert json.loads((tmp_path / "a" / "config.json").read_text())["dtype"] == "float32"

    score.main([str(tmp_path / "a"), "--output-dir", str(tmp_path / "score")])
    card = json.loads((tmp_path / "score" / "scorecard.json").read_text())
    results = results_of(tmp_path / "a")
    for finding in findings:
        assert card["findings"][finding]["auroc"] == pytest.approx(results[f"test_auroc/{finding}"], abs=1e-6)

    test = sources.load(str(archive))["test"]
    table = pd.read_parquet(tmp_path / "score" / "predictions.parquet").set_index("image_file_path")
    scored = table.loc[test["image_file_path"], [f"logit/{finding}" for finding in findings]].to_numpy()
    classify = pipeline("image-classification", model=str(tmp_path / "a"), function_to_apply="none", top_k=14)
    said = [{row["label"]: row["score"] for row in rows} for rows in classify(list(test["image"]))]
    piped = np.array([[rows[finding] for finding in findings] for rows in said])
    assert np.abs(piped - scored).max() < 0.02
    assert scored.std() > 0.01, "logits that differ from image to image"

    again = ["--dataset", archive, "--model", tmp_path / "a", "--epochs", 0, "--output-dir", tmp_path / "b"]
    finetune.main(list(map(str, again)))
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert classifiers.sides(classifiers.load_classifier(tmp_path / "b")[1]) == sides
    assert results_of(tmp_path / "b")["test_auroc"] == pytest.approx(results["test_auroc"], abs=1e-6)


def test_half_precision_files_are_trained_in_single_precision(archive, tiny, tmp_path):
    of_transformers(tmp_path / "hub", tiny("vit"), ViTImageProcessor(size=SQUARE), torch.float16)
    flags = ["--dataset", archive, "--epochs", 1, "--learning-rate", 1e-5, "--model", tmp_path / "hub"]
    finetune.main(list(map(str, [*flags, "--output-dir", tmp_path / "run"])))
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("hub", "run"))
    moved = [after[name] != before[name].float() for name in before if "classifier" not in name]
    assert torch.cat([part.flatten() for part in moved]).float().mean() > 0.9


@pytest.mark.parametrize("whole, side", [(32, 32), (56, 48), (256, 224), (1000, 299)])
def test_timm_reads_a_fine_tuned_timm_model_and_its_processing(tmp_path, whole, side):
    of_timm(tmp_path / "hub", "test_efficientnet", num_classes=10)
    model, processor = classifiers.build_model(str(tmp_path / "hub"), ["a", "b"], side, resize=whole)
    classifiers.save_classifier(model, model.state_dict(), tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    assert AutoImageProcessor.from_pretrained(tmp_path / "run").to_dict() == processor.to_dict()
    of_timms = timm.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=True).eval()
    images = torch.randn(2, 3, side, side)
    assert torch.equal(of_timms(images), model.eval()(images).logits)
    show = timm.data.create_transform(**timm.data.resolve_data_config(model=of_timms))
    assert [tuple(np.atleast_1d(step.size)) for step in show.transforms[:2]] == [(whole, whole), (side, side)]


# Wrappers


@pytest.fixture
def compiled(monkeypatch):
    """torch.compile without a compiler, as the launcher may ask for it."""
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()


@pytest.mark.parametrize("flags", [["--ema", 0.9], ["--uncertain", "multi-class"]], ids=["average", "multi-class"])
def test_a_compiled_model_is_saved_by_its_own_names(compiled, flags, archive, tiny, tmp_path):
    flags = [*flags, "--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / "run"]
    finetune.main(list(map(str, flags)))
    assert_scores_are_those_of_the_run(tmp_path / "run")


def test_a_model_compiled_in_two_processes_is_saved_by_its_own_names(archive, tiny, tmp_path):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / "run"]
    done = forks.run_two(ROOT / "recipes" / "finetune.py", *flags, ACCELERATE_DYNAMO_BACKEND="EAGER")
    assert done.returncode == 0, done.stderr
    assert_scores_are_those_of_the_run(tmp_path / "run")


def assert_scores_are_those_of_the_run(run):
    model, _, findings = classifiers.load_classifier(run)
    kept = [file for file in (run / "checkpoints").iterdir() if file.name.startswith("best")]
    names = {*load_file(run / "model.safetensors"), *(name for file in kept for name in checkpoints.read_tensors(file))}
    assert not [name for name in names if "_orig_mod" in name or name.startswith("module.")]
    score.main([str(run)])
    card = json.loads((run / "score" / "scorecard.json").read_text())
    for finding in findings:
        assert card["findings"][finding]["auroc"] == pytest.approx(
            results_of(run)[f"test_auroc/{finding}"], abs=1e-6
        ), finding
