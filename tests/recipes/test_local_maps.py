"""A model that learns where a finding is, by log-mean-exp pooling and fewer stages, through every command."""

import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from timm.models._hub import save_for_hf
from transformers import pipeline

import explain
import export
import finetune
import predict
import score
from chestxray.data import predictions
from chestxray.exporting import onnx_file
from chestxray.models.peak_pooling import SHARPNESS
from chestxray.scoring import validation

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
LOCAL = ["--pooling", "lse", "--stages", 3, "--image-size", 64]


def run(command, *flags):
    command.main([str(flag) for flag in flags])


def results_of(output):
    return json.loads((output / "all_results.json").read_text())


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "efficientnet"
    save_for_hf(timm.create_model("test_efficientnet", num_classes=10), folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def checkpoint(archive, body, tmp_path_factory):
    """A scored checkpoint. It was trained with weight decay, a moving average and gradients in two parts."""
    folder = tmp_path_factory.mktemp("runs") / "local"
    flags = ["--dataset", archive, "--model", body, "--epochs", 1, "--ema", 0.9, "--device-batch-size", 8]
    run(finetune, *flags, *LOCAL, "--output-dir", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "FEWEST", 1)  # a small archive has few positives
        run(score, folder, "--batch-size", 1)
    return folder


@pytest.fixture(scope="module")
def logits(checkpoint):
    """{file name: logits} of score.py."""
    table = predictions.read(checkpoint / "score" / "predictions.parquet")
    return dict(zip(table.rows["image_file_path"].str.rpartition("/")[2], table.logits, strict=True))


def test_score_finds_what_training_found(checkpoint):
    card = json.loads((checkpoint / "score" / "scorecard.json").read_text())
    results = results_of(checkpoint)
    assert card["findings"]["mean"]["auroc"] == pytest.approx(results["test_auroc"], abs=1e-6)


def test_the_stages_that_are_kept_are_those_of_the_model_it_began_with(checkpoint, body):
    before, after = (load_file(folder / "model.safetensors") for folder in (body, checkpoint))
    kept = {name.split(".")[1] for name in after if name.startswith("blocks.")}
    assert kept == {"0", "1", "2"} < {name.split(".")[1] for name in before if name.startswith("blocks.")}
    name = next(name for name, weight in after.items() if name.startswith("blocks.2.") and weight.ndim == 4)
    assert 0 < (after[name] - before[name]).abs().max() < 0.05, "it was trained on, and not begun again"


def test_predict_says_what_score_says(checkpoint, archive, logits, tmp_path):
    run(predict, checkpoint, archive, "--output-dir", tmp_path, "--format", "parquet", "--batch-size", 1)
    table = pd.read_parquet(next(tmp_path.glob("predicted.*")))
    names = table["path"].str.rpartition("/")[2]
    probabilities = table.filter(regex="^probability_|^prob_").to_numpy()
    scored = [name in logits for name in names]
    expected = 1 / (1 + np.exp(-np.stack([logits[name] for name in names[scored]])))
    assert sum(scored) == len(logits)
    np.testing.assert_allclose(probabilities[scored], expected, atol=1e-6)


def test_the_heatmaps_are_exact(checkpoint, logits):
    run(explain, checkpoint)
    numbers = json.loads((checkpoint / "explain" / "localisation.json").read_text())
    assert numbers["about"]["method"] == "cam" and numbers["about"]["grid"] == [8, 8]
    table = pd.read_parquet(checkpoint / "explain" / "heatmaps.parquet")
    maps = np.array(table["heatmaps"].map(lambda cells: np.stack([np.stack(rows) for rows in cells])).tolist())
    pooled = np.log(np.exp(maps.astype(np.float64) * SHARPNESS).mean((2, 3))) / SHARPNESS
    expected = np.stack([logits[path.rpartition("/")[2]] for path in table["image_file_path"]])
    np.testing.assert_allclose(pooled, expected, atol=1e-4)


def test_the_onnx_file_pools_in_the_same_way(checkpoint, tmp_path):
    run(export, checkpoint, tmp_path / "model.onnx")
    found = onnx_file.load(tmp_path / "model.onnx").outputs(
        np.random.default_rng(1).integers(0, 256, (2, 64, 64), np.uint8)
    )
    pooled = np.log(np.exp(found["maps"].astype(np.float64) * SHARPNESS).mean((2, 3))) / SHARPNESS
    np.testing.assert_allclose(pooled, found["logits"], atol=1e-4)
    assert np.isfinite(found["distance"]).all()


def test_the_card_does_not_promise_what_transformers_cannot_load(checkpoint):
    card = (checkpoint / "README.md").read_text()
    assert "pipeline(" not in card and "recipes/predict.py checkpoint" in card
    assert "fewer stages than the architecture and log-mean-exp pooling of the class activation map, which" in card
    matter = ModelCard(card).data.to_dict()
    assert matter["library_name"] == "chestxray" and "widget" not in matter  # the Hub shows Transformers' code by it
    with pytest.raises(Exception, match="unexpected keyword argument 'stages'"):
        pipeline("image-classification", model=str(checkpoint))


def test_more_training_keeps_the_pooling(checkpoint, archive, tmp_path):
    run(finetune, "--dataset", archive, "--model", checkpoint, "--epochs", 0, "--output-dir", tmp_path / "again")
    one, other = (load_file(folder / "model.safetensors") for folder in (checkpoint, tmp_path / "again"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert results_of(tmp_path / "again")["test_auroc"] == pytest.approx(results_of(checkpoint)["test_auroc"], abs=1e-6)


def test_the_card_of_an_ensemble_does_not_promise_it_either(checkpoint, archive, tmp_path):
    run(
        finetune,
        "--dataset",
        archive,
        "--model",
        checkpoint,
        "--pooling",
        "avg",
        "--epochs",
        0,
        "--output-dir",
        tmp_path,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "FEWEST", 1)
        run(score, checkpoint, tmp_path, "--dataset", archive, "--output-dir", tmp_path / "both")
    card = (tmp_path / "both" / "README.md").read_text()
    assert "pipeline(" not in card and ModelCard(card).data.to_dict()["library_name"] == "chestxray"


def test_what_a_model_does_not_have_is_refused_before_the_dataset_is_read(body, tmp_path):
    (tmp_path / "empty").mkdir()
    for flags, error in [(["--stages", 9], "stages is 9, and this model has"), ([], "empty")]:
        with pytest.raises((ValueError, FileNotFoundError), match=error):
            run(finetune, "--dataset", tmp_path / "empty", "--model", body, *flags, "--output-dir", tmp_path / "run")


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--pooling", "lse", "--freeze"], "pooling lse changes what the body learns"),
        (["--stages", 3, "--freeze"], "stages changes what the body learns"),
        (["--pooling", "lse", "--uncertain", "multi-class"], "pooling lse goes with one output per finding"),
        (["--stages", 9], "stages is 9, and this model has"),
    ],
)
def test_what_does_not_go_together_is_refused(flags, error, body, archive, tmp_path):
    with pytest.raises(ValueError, match=error):
        run(finetune, "--dataset", archive, "--model", body, *flags, "--output-dir", tmp_path / "run")


def test_a_frozen_body_that_pools_a_map_is_refused_and_the_mean_is_named(checkpoint, archive, tmp_path):
    flags = ["--dataset", archive, "--model", checkpoint, "--freeze", "--epochs", 1]
    with pytest.raises(ValueError, match="pooling lse reads a map: give --pooling avg as well"):
        run(finetune, *flags, "--output-dir", tmp_path / "run")
    run(finetune, *flags, "--pooling", "avg", "--output-dir", tmp_path / "mean")
    assert results_of(tmp_path / "mean")["test_auroc"] > 0
