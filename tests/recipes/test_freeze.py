"""What `--freeze` promises: a linear probe that is an ordinary run, and leaves an ordinary checkpoint."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageClassification, ViTImageProcessor, pipeline

import finetune
import forks
import score
import transfer
from chestxray.data import sources
from chestxray.models import classifiers, inference
from chestxray.training import checkpoints, features
from conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
SCRIPT = ROOT / "recipes" / "finetune.py"
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=60)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A checkpoint with batch norm whose statistics are not those of a new model, as the Hub has it."""
    folder = tmp_path_factory.mktemp("hub")
    model = AutoModelForImageClassification.from_config(AutoConfig.for_model(**RESNET, num_labels=10))
    for name, buffer in model.named_buffers():
        if "running" in name:
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def run(*flags):
    finetune.main([str(flag) for flag in flags])


def results_of(output):
    return json.loads((output / "all_results.json").read_text())


def weights_of(output):
    return load_file(output / "model.safetensors")


def logits_of_features(output, head):
    """The logits of the test images, from the features that a run keeps and the head in its checkpoint."""
    files, weights = sorted((output / "features").glob("0-test-*")), weights_of(output)
    features = np.concatenate([checkpoints.read_tensors(file)["features"] for file in files])
    return features @ weights[f"{head}.weight"].numpy().T + weights[f"{head}.bias"].numpy()


@pytest.fixture
def images_shown(monkeypatch):
    """Counts the images that a model is shown in evaluation; features do not count."""
    shown, model_input = [], inference.model_input

    def counted(pixels, processor, *others):
        shown.extend([1] * len(pixels) * (processor is not None))
        return model_input(pixels, processor, *others)

    monkeypatch.setattr(inference, "model_input", counted)
    return shown


# The checkpoint


@pytest.fixture(scope="module")
def probe(archive, hub, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "probe"
    flags = ["--freeze", "--dataset", archive, "--model", hub, "--epochs", 3, "--batch-size", 16]
    run(*flags, "--learning-rate", 0.01, "--ema", 0.5, "--output-dir", output)
    return output


def test_only_the_head_has_learnt_and_batch_norm_kept_its_statistics(hub, probe):
    before, after = weights_of(hub), weights_of(probe)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}
    kept = [path for path in (probe / "checkpoints").iterdir()]
    assert len(kept) == 2 and all(path.stat().st_size < 20_000 for path in kept), "of the head alone"


def test_every_script_reads_the_checkpoint_and_its_logits_are_those_of_the_run(archive, probe, tmp_path):
    score.main([str(probe), "--output-dir", str(tmp_path / "score")])
    card = json.loads((tmp_path / "score" / "scorecard.json").read_text())
    model, processor, findings = classifiers.load_classifier(probe)
    for finding in findings:
        assert card["findings"][finding]["auroc"] == pytest.approx(results_of(probe)[f"test_auroc/{finding}"], abs=1e-9)

    test = sources.load(str(archive))["test"]
    table = pd.read_parquet(tmp_path / "score" / "predictions.parquet").set_index("image_file_path")
    scored = table.loc[test["image_file_path"], [f"logit/{finding}" for finding in findings]].to_numpy()
    own = logits_of_features(probe, "classifier.1")
    assert np.abs(own - scored).max() < 1e-5 and scored.std() > 0.01

    classify = pipeline("image-classification", model=str(probe), function_to_apply="none", top_k=14)
    said = [{row["label"]: row["score"] for row in rows} for rows in classify(list(test["image"]))]
    assert np.abs(np.array([[rows[finding] for finding in findings] for rows in said]) - scored).max() < 0.02

    flags = [probe, "--dataset", archive, "--output-dir", tmp_path / "transfer"]
    transfer.main([str(flag) for flag in flags])
    assert (tmp_path / "transfer" / "transfer.json").exists()


def test_the_whole_model_goes_on_from_the_probe(archive, probe, tmp_path):
    flags = ["--dataset", archive, "--model", probe, "--batch-size", 16, "--learning-rate", 1e-3]
    run(*flags, "--epochs", 0, "--output-dir", tmp_path / "none")
    one, other = weights_of(probe), weights_of(tmp_path / "none")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert results_of(tmp_path / "none")["validation_auroc"] == pytest.approx(
        results_of(probe)["validation_auroc"], abs=1e-9
    )
    run(*flags, "--epochs", 1, "--output-dir", tmp_path / "all")
    after = weights_of(tmp_path / "all")
    assert all(not torch.equal(one[name], after[name]) for name in one if name.endswith("weight"))


# The features


def test_every_image_is_shown_to_the_body_once_and_never_again(archive, hub, tmp_path, images_shown):
    flags = ["--freeze", "--dataset", archive, "--model", hub, "--batch-size", 16, "--output-dir", tmp_path]
    run(*flags, "--epochs", 3)
    count = sum(len(rows) for rows in sources.load(str(archive)).values())
    assert len(images_shown) == count > 80
    (tmp_path / "all_results.json").unlink()
    run(*flags, "--epochs", 3)
    assert len(images_shown) == count


def test_features_of_another_body_or_of_other_images_are_not_taken(archive, hub, tiny, tmp_path, images_shown):
    flags = ["--freeze", "--dataset", archive, "--epochs", 0, "--output-dir", tmp_path]
    for others in (["--model", hub], ["--model", tiny("vit")], ["--model", hub, "--equalize"]):
        images_shown.clear()
        run(*flags, *others)
        assert len(images_shown) > 80
        (tmp_path / "all_results.json").unlink()
        shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)


def test_a_damaged_file_of_features_is_named(archive, hub, tmp_path):
    flags = ["--freeze", "--dataset", archive, "--model", hub, "--epochs", 0, "--output-dir", tmp_path]
    run(*flags)
    (tmp_path / "all_results.json").unlink()
    path = next((tmp_path / "features").glob("0-train-*"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="0-train-0000000.safetensors is damaged.*Delete .*features to begin"):
        run(*flags)


def test_rows_of_several_files_are_found_without_a_copy():
    parts = [torch.arange(6.0).reshape(3, 2), torch.arange(6.0, 10.0).reshape(2, 2)]
    together = torch.cat(parts)
    assert torch.equal(features.Features(parts)[[4, 0, 2, 3, 3]], together[[4, 0, 2, 3, 3]])


# Going on

KILLED = (ROOT / "tests" / "recipes" / "test_resume.py").read_text().split('KILLED = """')[1].split('"""')[0]
KILLS = [("0-train", 2, "half"), ("1-", 1, "whole"), ("last", 3, "half"), ("best", 1, "whole")]
EVERYTHING = ["--epochs", 4, "--batch-size", 16, "--ema", 0.9, "--clip", 1, "--checkpoint-steps", 1, "--num-proc", 1]
EVERYTHING += ["--positive-weights", "--label-smoothing", 0.1, "--weight-decay", 0.1]


def test_killed_among_features_or_steps_it_ends_with_the_same_weights(archive, hub, hospital, tmp_path):
    sources_of_images = ["--dataset", archive, "--dataset", hospital("chexpert", 40), "--dataset-weights", 1, 2]
    flags = ["--freeze", *sources_of_images, "--model", hub, *EVERYTHING]
    # A few images make a file, so that there are several.
    script = tmp_path / "killed.py"
    small = "from chestxray.training import features\nfeatures.ROWS = 20\n"
    script.write_text(KILLED.replace("runpy.run_path", small + "runpy.run_path"))
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "ROWS", 20)
        run(*flags, "--output-dir", undisturbed)
        kept = []
        for name, number, part in KILLS:
            words = [name, number, part, SCRIPT, *flags, "--output-dir", killed]
            done = forks.run(script, *words, ACCELERATE_USE_CPU="true")
            assert done.returncode == -signal.SIGKILL, done.stderr
            files = {path.name: path.stat().st_mtime_ns for path in (killed / "features").glob("*.safetensors")}
            assert all(files[known] == time for known, time in (kept or {}).items()), "no file is written twice"
            kept = files
        run(*flags, "--output-dir", killed)
    for file in ("model.safetensors", "all_results.json"):
        assert (killed / file).read_bytes() == (undisturbed / file).read_bytes(), file


def test_an_unfinished_run_goes_on_neither_with_nor_without_freeze_if_it_began_otherwise(archive, hub, tmp_path):
    flags = ["--dataset", archive, "--model", hub, "--epochs", 1]
    for first, second, message in (
        (["--freeze"], [], "freeze True, not False"),
        ([], ["--freeze"], "freeze False, not True"),
    ):
        output = tmp_path / str(len(first))
        run(*flags, *first, "--output-dir", output)
        with pytest.raises(ValueError, match=f"finished run with .*{message}.*Give another --output-dir"):
            run(*flags, *second, "--output-dir", output)
        (output / "all_results.json").unlink()
        with pytest.raises(ValueError, match=f"unfinished run with .*{message}.*Give another --output-dir"):
            run(*flags, *second, "--output-dir", output)


# Processes and wrappers


def test_two_processes_share_the_images_and_score_as_one(archive, hub, tmp_path):
    flags = ["--freeze", "--dataset", archive, "--model", hub, "--batch-size", 16, "--epochs", 2, "--seed", 3]
    run(*flags, "--output-dir", tmp_path / "one")
    done = forks.run_two(SCRIPT, *flags, "--output-dir", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Features:   0%") == 1, "one progress bar"
    one, two = results_of(tmp_path / "one"), results_of(tmp_path / "two")
    assert (one["processes"], two["processes"]) == (1, 2)
    for name in one:
        if isinstance(one[name], float):
            assert two[name] == pytest.approx(one[name], abs=1e-4), name
    for name, weight in weights_of(tmp_path / "one").items():
        assert torch.allclose(weight, weights_of(tmp_path / "two")[name], atol=1e-5), name


@pytest.mark.parametrize(
    "family, flags",
    [
        ("vit", ["--gradient-checkpointing"]),
        ("convnext", ["--channels-last", "true"]),
        ("timm", ["--resize", 40]),
        ("timm-vit", ["--no-cache"]),
        ("vit", ["--uncertain", "multi-class"]),
        ("vit", ["--loss", "asl"]),
    ],
    ids=["checkpointing", "channels-last", "timm", "timm-vit", "multi-class", "asl"],
)
def test_a_probe_of_every_family_scores_as_its_run(family, flags, archive, tiny, tmp_path):
    flags = ["--freeze", *flags, "--dataset", archive, "--model", tiny(family), "--learning-rate", 0.01]
    run(*flags, "--epochs", 2, "--output-dir", tmp_path / "run")
    assert_scores_are_those_of_the_run(tmp_path / "run")


@pytest.mark.parametrize(
    "asked", [{"ACCELERATE_DYNAMO_BACKEND": "EAGER"}, {"ACCELERATE_MIXED_PRECISION": "bf16"}], ids=["compiled", "bf16"]
)
def test_a_wrapped_body_gives_an_ordinary_checkpoint(asked, archive, tiny, tmp_path):
    flags = ["--freeze", "--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / "run"]
    done = forks.run(SCRIPT, *flags, **asked, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr
    assert not [name for name in weights_of(tmp_path / "run") if "_orig_mod" in name]
    if "ACCELERATE_MIXED_PRECISION" not in asked:
        return assert_scores_are_those_of_the_run(tmp_path / "run")
    score.main([str(tmp_path / "run")])  # in single precision
    scored = pd.read_parquet(tmp_path / "run" / "score" / "predictions.parquet").query("split == 'test'")
    logits = scored.set_index("image_file_path").loc[sources.load(str(archive))["test"]["image_file_path"]]
    difference = logits.filter(like="logit/").to_numpy() - logits_of_features(tmp_path / "run", "classifier")
    assert 0 < np.abs(difference).max() < 0.02


def assert_scores_are_those_of_the_run(output):
    score.main([str(output)])
    card = json.loads((output / "score" / "scorecard.json").read_text())
    results = results_of(output)
    for finding in classifiers.findings_of(output):
        auroc = card["findings"][finding]["auroc"]
        assert auroc == pytest.approx(results[f"test_auroc/{finding}"], abs=1e-6), finding


# What does not go together


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--rotate", 10], "--rotate can change nothing there, leave it out"),
        (["--flip=0.5"], "--flip can change nothing there"),
        (["--mixup", 0.2], "--mixup can change nothing there"),
        (["--drop-path", 0.1], "--drop-path can change nothing there"),
        (["--layer-decay", 0.7], "--layer-decay can change nothing there"),
        (["--streaming"], "freeze keeps features, which streaming would not"),
    ],
)
def test_what_a_frozen_body_cannot_do_is_refused_where_it_is_asked_for(flags, message, archive, hub, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        run("--freeze", *flags, "--dataset", archive, "--model", hub, "--output-dir", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", ["levit_128s", "deit_tiny_distilled_patch16_224", "resnetv2_50"])
def test_a_model_without_one_linear_layer_at_its_end_is_refused(architecture, archive, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"model_type": "timm_wrapper", "architecture": architecture}))
    with pytest.raises(ValueError, match="freeze needs a model that ends with one linear layer, and .* does not"):
        run("--freeze", "--dataset", archive, "--model", path, "--output-dir", tmp_path / "run")
