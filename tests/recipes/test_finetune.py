"""What `recipes/finetune.py` promises, asked of the command itself."""

import csv
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    TimmWrapperConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    pipeline,
)

import finetune
import forks
import publish
import score
from chestxray.data import labels, sources
from chestxray.images import augment
from chestxray.reporting import run_results
from chestxray.training.command_line import parse_settings
from conftest import NIH, ROOT, TINY

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
BIN = Path(sys.executable).parent
SCRIPT = ROOT / "recipes" / "finetune.py"
PLOT_RESULTS = run_results.plot_results
FINDINGS = (
    "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax Consolidation Edema Emphysema "
    "Fibrosis Pleural_Thickening Hernia"
).split()


def launch(*flags):
    """Run the command as a user does; its standard output."""
    command = [BIN / "accelerate", "launch", "--num_processes=1", SCRIPT]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["ACCELERATE_USE_CPU"] = "true"
    environment["PYTHONPATH"] = str(ROOT / "tests" / "no_network")  # once installed, nothing is fetched
    done = subprocess.run([*command, *map(str, flags)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*flags):
    """The same in this process, which has imported all it needs."""
    finetune.main([str(flag) for flag in flags])


def results_of(output):
    return json.loads((output / "all_results.json").read_text())


@pytest.fixture(scope="session")
def archive(synthetic):
    return synthetic(patients=60)


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory):
    """The first command of the README for a third of its epochs: (standard output, output folder)."""
    output = tmp_path_factory.mktemp("runs") / "sample"
    return launch("--epochs", 5, "--output-dir", output), output


# The first run


def test_the_signs_of_the_sample_are_learnt(sample_run):
    assert results_of(sample_run[1])["test_auroc"] >= 0.85


def test_results_are_flat_and_name_every_finding_on_both_splits(sample_run):
    results = results_of(sample_run[1])
    for split in ("validation", "test"):
        aurocs = [results[f"{split}_auroc/{finding}"] for finding in FINDINGS]
        assert results[f"{split}_auroc"] == pytest.approx(sum(aurocs) / 14)
        assert results[f"{split}_auroc_low"] < results[f"{split}_auroc"] < results[f"{split}_auroc_high"]
    assert not any(isinstance(value, dict) for value in results.values())


def test_the_last_screen_shows_every_finding_the_mean_and_that_images_are_synthetic(sample_run):
    screen, output = sample_run
    rows = {line.split()[0]: line for line in screen.splitlines() if line.strip()}
    assert all(f"{results_of(output)[f'test_auroc/{finding}']:.3f}" in rows[finding] for finding in FINDINGS)
    assert f"{results_of(output)['test_auroc']:.3f}" in rows["mean"]
    assert "Synthetic images" in screen
    assert (output / "results.png").stat().st_size > 10_000


def test_the_checkpoint_serves_a_pipeline_that_scores_as_the_recipe_did(sample_run):
    _, output = sample_run
    config = json.loads((output / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert [config["id2label"][str(number)] for number in range(14)] == FINDINGS
    assert (output / "model.safetensors").exists()

    classify = pipeline("image-classification", model=str(output), function_to_apply="sigmoid", top_k=14)
    test = sources.load(str(ROOT / "data" / "sample"))["test"]
    scores = {row["label"]: row["score"] for row in classify(test[0]["image"])}
    assert set(scores) == set(FINDINGS)
    hernia = test.features["labels"].feature.str2int("Hernia")
    ranked = [
        ({row["label"]: row["score"] for row in prediction}["Hernia"], hernia in labels)
        for prediction, labels in zip(classify(list(test["image"])), test["labels"], strict=True)
    ]
    pairs = [(p > n) + (p == n) / 2 for p, sick in ranked if sick for n, ill in ranked if not ill]
    assert sum(pairs) / len(pairs) == pytest.approx(results_of(output)["test_auroc/Hernia"], abs=0.01)


def test_a_finished_run_is_shown_again_and_not_repeated(sample_run, capsys):
    screen, output = sample_run
    before = (output / "model.safetensors").stat().st_mtime_ns
    run("--epochs", 5, "--output-dir", output)
    again = capsys.readouterr().out
    table = screen[screen.index("test AUROC") : screen.index("Checkpoint")]
    assert table in again
    assert "finished run" in again
    assert (output / "model.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_with_other_settings_is_not_shown_in_place_of_the_one_asked_for(sample_run):
    with pytest.raises(ValueError, match="holds a finished run with epochs 5, not 1. Give another --output-dir"):
        run("--output-dir", sample_run[1], "--epochs", 1)


def test_the_last_line_is_the_command_that_scores_the_run_and_it_runs(archive, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", archive, "--model", tiny("convnext"), "--epochs", 0, "--output-dir", "my runs/it's"]
    run(*flags)
    command = capsys.readouterr().out.splitlines()[-1]
    run(*flags)
    assert capsys.readouterr().out.splitlines()[-1] == command, "also of a run that is finished already"
    _, script, *words = shlex.split(command)
    assert Path(script) == ROOT / "recipes" / "score.py" and words == ["my runs/it's"]
    score.main(words)
    assert Path("my runs/it's/score/report.html").exists()


def test_a_run_that_leaves_test_unread_says_that_the_next_command_reads_it(archive, tiny, tmp_path, capsys):
    run("--dataset", archive, "--model", tiny("convnext"), "--epochs", 0, "--test", "false", "--output-dir", tmp_path)
    assert "if test is to be read: a report and a model card:\n" in capsys.readouterr().out


# Models


@pytest.mark.parametrize("family", TINY)
def test_vit_convnext_and_timm_train_from_a_configuration(archive, tiny, tmp_path, family):
    run("--dataset", archive, "--model", tiny(family), "--epochs", 1, "--output-dir", tmp_path / "run")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    assert model.config.id2label == dict(enumerate(FINDINGS))


@pytest.mark.parametrize("family", ["vit", "convnext"])
def test_a_pretrained_checkpoint_keeps_its_body_and_gets_a_new_head(archive, tiny, tmp_path, family):
    body = AutoModelForImageClassification.from_config(AutoConfig.from_pretrained(tiny(family), num_labels=1000))
    body.save_pretrained(tmp_path / "pretrained")
    own = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3)
    own.save_pretrained(tmp_path / "pretrained")
    run(
        *("--dataset", archive, "--model", tmp_path / "pretrained"),
        *("--epochs", 0, "--output-dir", tmp_path / "run"),
    )
    tuned = AutoModelForImageClassification.from_pretrained(tmp_path / "run").state_dict()
    for name, weight in body.state_dict().items():
        if "classifier" in name:
            assert tuned[name].shape[0] == 14
        else:
            assert torch.equal(tuned[name], weight), name
    assert json.loads((tmp_path / "run" / "preprocessor_config.json").read_text())["image_mean"] == [0.4] * 3


@pytest.mark.parametrize("extra", [(), ("--uncertain", "multi-class")], ids=["", "three-classes"])
def test_new_outputs_start_at_the_prevalence_and_outputs_that_are_there_go_on(archive, tiny, tmp_path, extra, capsys):
    flags = ["--dataset", archive, "--epochs", 0]
    run(*flags, *extra, "--model", tiny("vit"), "--findings", "chexpert5", "--output-dir", tmp_path / "first")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "first")
    train = sources.load(str(archive))["train"]
    names = list(model.config.label2id)
    target = labels.targets(train, names, labels.Policy(), training=True)
    # `train` has the validation patients as well
    assert torch.allclose(model.classifier.bias.sigmoid(), torch.from_numpy(target.mean(0)), atol=0.05)

    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(tmp_path / "first")
    run(*flags, "--model", tmp_path / "first", "--output-dir", tmp_path / "second")
    second = AutoModelForImageClassification.from_pretrained(tmp_path / "second")
    old = {labels.canonical(name): number for number, name in enumerate(names)}
    assert sorted(old) == ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion"]
    said = [line for line in capsys.readouterr().out.splitlines() if "same meaning" in line]
    assert said == ["Outputs that go on from one of the same meaning: Effusion from Pleural Effusion"]
    rows, new = [FINDINGS.index(name) for name in old], [FINDINGS.index(name) for name in FINDINGS if name not in old]
    assert torch.equal(second.classifier.weight[rows], model.classifier.weight[list(old.values())])
    assert second.classifier.bias[new].max() < -1 and second.classifier.weight[new].abs().max() <= 0.25


def test_a_timm_repository_loads_through_the_timm_wrapper(archive, tmp_path):
    import timm
    from timm.models._hub import save_for_hf

    body = timm.create_model("test_convnext", num_classes=1000)
    save_for_hf(body, tmp_path / "pretrained", safe_serialization=True)
    run(
        *("--dataset", archive, "--model", tmp_path / "pretrained", "--image-size", 32),
        *("--epochs", 0, "--output-dir", tmp_path / "run"),
    )
    tuned = AutoModelForImageClassification.from_pretrained(tmp_path / "run").timm_model.state_dict()
    assert torch.equal(tuned["stem.0.weight"], body.state_dict()["stem.0.weight"])
    assert tuned["head.fc.weight"].shape[0] == 14


def test_a_copy_of_the_repository_takes_the_place_of_the_hub_and_the_model_keeps_its_name(archive, tmp_path):
    import timm
    from timm.models._hub import save_for_hf

    body = timm.create_model("test_convnext", num_classes=1000)
    save_for_hf(body, tmp_path / "copy", safe_serialization=True)
    flags = ("--dataset", archive, "--image-size", 32, "--epochs", 0, "--output-dir", tmp_path / "run")
    run(*flags, "--model", "timm/test_convnext.r160_in1k", "--weights", tmp_path / "copy")
    tuned = AutoModelForImageClassification.from_pretrained(tmp_path / "run").timm_model.state_dict()
    assert torch.equal(tuned["stem.0.weight"], body.state_dict()["stem.0.weight"])
    score.main([str(tmp_path / "run")])
    card = (tmp_path / "run" / "README.md").read_text()
    assert "base_model: timm/test_convnext.r160_in1k" in card and str(tmp_path) not in card
    with pytest.raises(ValueError, match="is of test_convnext, and so no copy of timm/resnet18.a1_in1k"):
        run(*flags, "--model", "timm/resnet18.a1_in1k", "--weights", tmp_path / "copy")
    with pytest.raises(ValueError, match="no config.json: name a copy of vit"):
        run(*flags, "--model", "vit", "--weights", tmp_path)
    with pytest.raises(ValueError, match="random ones"):
        run(*flags, "--model", "test_convnext", "--no-pretrained", "--weights", tmp_path / "copy")


@pytest.mark.parametrize("family", ["vit", "timm-vit"])
def test_position_embeddings_are_interpolated_to_another_size(archive, tiny, tmp_path, family):
    if family == "vit":
        config = AutoConfig.from_pretrained(tiny("vit"), num_labels=10)
    else:
        config = TimmWrapperConfig(architecture="test_vit", model_args={"img_size": 32}, num_labels=10)
    body = AutoModelForImageClassification.from_config(config)
    body.save_pretrained(tmp_path / "pretrained")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "pretrained")
    flags = ["--dataset", archive, "--model", tmp_path / "pretrained", "--epochs", 0]
    run(*flags, "--image-size", 64, "--output-dir", tmp_path / "run")
    tuned = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    name = next(name for name in body.state_dict() if "pos" in name)
    old, new = body.state_dict()[name], tuned.state_dict()[name]
    side = 64 // (32 // math.isqrt(old.shape[1]))
    assert new.shape[1] - old.shape[1] == side**2 - (side // 2) ** 2
    squares = [weight[0, -(size**2) :].mean(0) for weight, size in ((old, side // 2), (new, side))]
    assert torch.allclose(*squares, atol=0.05), "the same embeddings, more finely"
    assert tuned(pixel_values=torch.zeros(1, 3, 64, 64)).logits.shape == (1, 14)
    same = [n for n in body.state_dict() if n != name and body.state_dict()[n].shape == tuned.state_dict()[n].shape]
    assert all(torch.equal(body.state_dict()[n], tuned.state_dict()[n]) for n in same) and len(same) > 10


def test_the_middle_of_a_larger_image_is_what_the_checkpoint_shows_itself(archive, tiny, tmp_path):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--resize", 40]
    run(*flags, "--output-dir", tmp_path / "run")
    classify = pipeline("image-classification", model=str(tmp_path / "run"), function_to_apply="sigmoid", top_k=14)
    assert classify.image_processor.crop_size["height"] == 32 and classify.image_processor.size["height"] == 40
    test = sources.load(str(archive))["test"]
    hernia = [{row["label"]: row["score"] for row in rows}["Hernia"] for rows in classify(list(test["image"]))]
    sick = [test.features["labels"].feature.str2int("Hernia") in labels for labels in test["labels"]]
    auroc = roc_auc_score(sick, hernia)
    assert auroc == pytest.approx(results_of(tmp_path / "run")["test_auroc/Hernia"], abs=0.02)


def test_what_an_architecture_does_not_have_is_refused_by_name(archive, tiny, tmp_path):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--output-dir", tmp_path]
    with pytest.raises(ValueError, match="drop_path is 0.1, but vit of transformers has none; timm's has"):
        run(*flags, "--drop-path", 0.1)
    with pytest.raises(ValueError, match="pooling is avg, which only timm's models have"):
        run(*flags, "--pooling", "avg")


# Optimisation


class Recorded(torch.optim.AdamW):
    """AdamW that remembers the rate and weight decay of every parameter in each step."""

    steps = []

    def step(self, *args, **kwargs):
        self.steps.append([(g["lr"], g["weight_decay"], [p.shape for p in g["params"]]) for g in self.param_groups])
        return super().step(*args, **kwargs)


def test_the_rate_warms_up_falls_along_a_cosine_and_is_lower_in_lower_blocks(archive, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Recorded, "steps", [])
    monkeypatch.setattr(torch.optim, "AdamW", Recorded)
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 4, "--batch-size", 16, "--learning-rate", 0.1]
    flags += ["--warmup-epochs", 1, "--final-rate", 0.1, "--layer-decay", 0.5, "--weight-decay", 0.3]
    run(*flags, "--output-dir", tmp_path)
    peaks = [max(rate for rate, _, _ in step) for step in Recorded.steps]
    assert peaks[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert peaks[10] == pytest.approx(0.1 * (1 - 0.9 * (1 - math.cos(math.pi * 6 / 12)) / 2))
    assert peaks[-1] < peaks[-2] and peaks[-1] == pytest.approx(0.01, abs=0.003)
    rate_of = {tuple(shape): rate for rate, _, shapes in Recorded.steps[4] for shape in shapes}
    head, stem = rate_of[(14, 16)], rate_of[(1, 17, 16)]
    assert stem / head == pytest.approx(0.25)
    assert sorted({round(rate / head, 6) for rate, _, _ in Recorded.steps[4]}) == [0.25, 0.5, 1.0]
    decays = {(decay, tuple(shape)) for _, decay, shapes in Recorded.steps[0] for shape in shapes}
    assert {decay for decay, shape in decays if len(shape) == 1} == {0.0}
    assert (0.0, (1, 17, 16)) in decays and (0.0, (1, 1, 16)) in decays, "position embeddings and the class token"
    assert (0.3, (14, 16)) in decays


def test_a_run_of_one_epoch_is_not_all_warm_up(archive, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Recorded, "steps", [])
    monkeypatch.setattr(torch.optim, "AdamW", Recorded)
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--batch-size", 8, "--learning-rate", 0.1]
    run(*flags, "--output-dir", tmp_path)
    rates = [step[0][0] for step in Recorded.steps]
    assert max(rates) == pytest.approx(0.1) and rates[-1] < 0.02


def test_an_image_that_weights_bring_again_in_an_epoch_is_augmented_anew(archive, tiny, tmp_path, monkeypatch):
    draw, drawn = augment.draw, []

    def recorded(draws, epoch, *others, **named):
        matrices = draw(draws, epoch, *others, **named).matrices
        drawn.extend((epoch, *numbers) for numbers in matrices.reshape(len(matrices), -1))
        return draw(draws, epoch, *others, **named)

    monkeypatch.setattr(augment, "draw", recorded)
    flags = ["--dataset", archive, "--dataset-weights", 1, "--model", tiny("vit"), "--epochs", 2]
    run(*flags, "--batch-size", 16, "--device-batch-size", 6, "--output-dir", tmp_path)
    assert len(set(drawn)) == len(drawn) == 2 * 64


@pytest.mark.parametrize(
    "flag", [["--loss", "asl"], ["--positive-weights"], ["--label-smoothing", 0.1], ["--mixup", 1]]
)
def test_a_loss_setting_changes_what_is_learnt(archive, tiny, tmp_path, flag):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1]
    run(*flags, "--output-dir", tmp_path / "plain")
    run(*flags, *flag, "--output-dir", tmp_path / "changed")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "changed"))
    assert one != other


def test_it_stops_when_validation_has_not_improved_for_long_enough(archive, tiny, tmp_path, capsys):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 50, "--learning-rate", 1e-9, "--patience", 2]
    run(*flags, "--output-dir", tmp_path)
    rows = list(csv.DictReader(open(tmp_path / "epochs.csv")))
    best = results_of(tmp_path)["best_epoch"]
    assert len(rows) == best + 2 < 50
    assert "No better validation AUROC in 2 epochs: stopping" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [[], ["--ema", 0.8]], ids=["weights", "average"])
def test_what_is_kept_is_what_was_best_on_validation(synthetic, tiny, tmp_path, flags):
    flags = [*flags, "--dataset", synthetic(patients=160), "--model", tiny("convnext"), "--epochs", 50, "--patience", 2]
    run(*flags, "--learning-rate", 0.02, "--output-dir", tmp_path)
    with open(tmp_path / "epochs.csv") as file:
        aurocs = [float(row["validation_auroc"]) for row in csv.DictReader(file)]
    results = results_of(tmp_path)
    assert aurocs.index(max(aurocs)) + 1 == results["best_epoch"] < len(aurocs)
    assert results["validation_auroc"] == pytest.approx(max(aurocs), abs=1e-9)
    assert aurocs[-1] < max(aurocs)


def test_a_part_that_does_not_fit_is_halved_and_the_batch_stays_what_it_was(
    archive, tiny, tmp_path, monkeypatch, capsys
):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 2, "--batch-size", 16]
    run(*flags, "--device-batch-size", 4, "--output-dir", tmp_path / "asked")
    forward = ViTForImageClassification.forward

    def too_large(model, pixel_values, **others):
        if model.training and len(pixel_values) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(model, pixel_values, **others)

    monkeypatch.setattr(ViTForImageClassification, "forward", too_large)
    run(*flags, "--output-dir", tmp_path / "halved")
    assert "Out of memory: going on with 4 images at a time" in capsys.readouterr().out
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("asked", "halved"))
    assert one == other
    assert [results_of(tmp_path / name)["device_batch_size"] for name in ("asked", "halved")] == [4, 4]
    monkeypatch.setattr(ViTForImageClassification, "forward", forward)
    run(*flags, "--device-batch-size", 16, "--output-dir", tmp_path / "whole")
    weights = [AutoModelForImageClassification.from_pretrained(tmp_path / n).state_dict() for n in ("asked", "whole")]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])


def test_a_loss_that_is_not_finite_stops_the_run_with_the_images_at_fault(archive, tiny, tmp_path):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 3, "--batch-size", 16]
    flags += ["--learning-rate", 1e20, "--weight-decay", 0, "--warmup-epochs", 0, "--output-dir", tmp_path / "run"]
    done = forks.run(SCRIPT, *flags, ACCELERATE_USE_CPU="true")
    wanted = r"finetune.py: the loss of step \d+ is nan at a learning rate of 9.83e\+19.*images/0"
    assert re.match(wanted, done.stderr.splitlines()[-1]), "a line of its own, below the progress bar"
    assert done.returncode == 1
    assert not (tmp_path / "run" / "all_results.json").exists()


def test_trackers_are_fed_through_accelerate(archive, tiny, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 2, "--trackers", "tensorboard"]
    run(*flags, "--output-dir", tmp_path)
    (events,) = tmp_path.rglob("events.out.tfevents.*.0")
    log = EventAccumulator(str(events.parent)).Reload()
    rows = list(csv.DictReader(open(tmp_path / "epochs.csv")))
    assert [event.value for event in log.Scalars("loss")] == pytest.approx([float(row["loss"]) for row in rows])


def test_a_finished_checkpoint_goes_to_the_hub_with_its_card(archive, tiny, tmp_path, recorder):
    server = recorder("someone/model")
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.address, "HF_TOKEN": "hf_secret"}
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / "run"]
    done = forks.run(SCRIPT, *flags, "--push-to-hub", "someone/model", **environment)
    assert done.returncode == 0, done.stderr
    assert f"Uploaded to {server.address}/someone/model" in done.stdout
    assert "hf_secret" not in done.stdout + done.stderr
    pushed = server.kept["main"]
    assert pushed["model.safetensors"] == (tmp_path / "run" / "model.safetensors").read_bytes()
    assert b"model-index" in pushed["README.md"] and b"Synthetic" in pushed["README.md"]
    assert not [path for path in pushed if path.startswith(("checkpoints/", "logs/", "score/"))]


# Processes


def test_two_processes_count_every_image_once_and_score_as_one(archive, tiny, tmp_path):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--batch-size", 16, "--seed", 3]
    for epochs in (0, 2):
        outputs = [tmp_path / f"{epochs}-one", tmp_path / f"{epochs}-two"]
        run(*flags, "--epochs", epochs, "--output-dir", outputs[0])
        done = forks.run_two(SCRIPT, *flags, "--epochs", epochs, "--output-dir", outputs[1])
        assert done.returncode == 0, done.stderr
        one, two = map(results_of, outputs)
        assert (one["processes"], two["processes"]) == (1, 2)
        for name in ("validation_n_images", "test_n_images", "test_positives/Mass"):
            assert one[name] == two[name]
        assert one["test_n_images"] % 16, "the last batch is uneven"
        if epochs:
            losses = [(output / "epochs.csv").read_text().splitlines()[1].split(",")[1] for output in outputs]
            assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.02)
        for finding in FINDINGS:
            assert one[f"test_auroc/{finding}"] == pytest.approx(
                two[f"test_auroc/{finding}"], abs=0.01 if epochs else 1e-6
            )


# Data


def test_it_takes_a_published_folder_of_parquet(archive, tiny, tmp_path):
    publish.main([str(archive), str(tmp_path / "parquet"), "--num-proc", "1"])
    flags = ["--model", tiny("vit"), "--epochs", 0]
    run("--dataset", tmp_path / "parquet", *flags, "--output-dir", tmp_path / "a")
    run("--dataset", archive, *flags, "--output-dir", tmp_path / "b")
    a, b = (results_of(tmp_path / name) for name in ("a", "b"))
    assert a | {"datasets": None} == b | {"datasets": None}
    assert a["synthetic"]


def test_a_partial_archive_is_refused_with_the_flag_that_takes_it(archive, tiny, tmp_path):
    shutil.copytree(archive, tmp_path / "partial")
    next((tmp_path / "partial" / "images").iterdir()).unlink()
    flags = ["--dataset", tmp_path / "partial", "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "run"]
    with pytest.raises(ValueError, match="allow_missing=True"):
        run(*flags)
    run(*flags, "--allow-missing")


@pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
@pytest.mark.parametrize("family", ["vit", "convnext"])
def test_it_runs_on_real_radiographs_to_the_end(radiographs, tiny, tmp_path, family, capsys, monkeypatch):
    monkeypatch.setattr(run_results, "plot_results", PLOT_RESULTS)  # with a finding that has no AUROC
    flags = ["--model", tiny(family), "--epochs", 1, "--output-dir", tmp_path]
    run("--dataset", radiographs, *flags)
    screen = capsys.readouterr().out
    assert results_of(tmp_path)["test_undefined"] == ["Hernia"]  # none of the 37 test images there has one
    assert "test has only positives or only negatives of: Hernia." in screen
    assert "Synthetic" not in screen
    assert "not the 25,596 images of NIH's official test list" in screen
    assert not any(isinstance(value, float) and math.isnan(value) for value in results_of(tmp_path).values())


@pytest.mark.usefixtures("no_wait_after_streams")
def test_streamed_it_scores_the_same_images_learns_and_stores_nothing(archive, tiny, tmp_path, monkeypatch):
    publish.main([str(archive), str(tmp_path / "parquet"), "--num-proc", "1"])
    flags = ["--dataset", tmp_path / "parquet", "--model", tiny("vit"), "--batch-size", 16, "--learning-rate", 3e-3]
    run(*flags, "--epochs", 0, "--output-dir", tmp_path / "stored")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for epochs in (0, 3):
        run(*flags, "--streaming", "--epochs", epochs, "--output-dir", tmp_path / f"streamed-{epochs}")
    stored, streamed = (results_of(tmp_path / name) for name in ("stored", "streamed-0"))
    for name in ("test_n_images", "validation_n_images", "test_auroc", "test_auroc/Mass"):
        assert streamed[name] == pytest.approx(stored[name], abs=1e-6)
    with open(tmp_path / "streamed-3" / "epochs.csv") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[2] < losses[0]
    assert not list(tmp_path.rglob("*.arrow"))


def test_without_the_cache_it_learns_the_same(archive, tiny, tmp_path):
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1]
    run(*flags, "--output-dir", tmp_path / "cached")
    run(*flags, "--no-cache", "--output-dir", tmp_path / "decoded")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("cached", "decoded"))
    assert one == other


def test_validation_may_be_named_by_a_list(archive, tiny, tmp_path):
    names = (archive / "train_val_list.txt").read_text().split()
    chosen = [name for name in names if name[:8] in {n[:8] for n in names[:6]}]
    (tmp_path / "val.txt").write_text("\n".join(chosen))
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "run"]
    run(*flags, "--validation-list", tmp_path / "val.txt")
    assert results_of(tmp_path / "run")["validation_n_images"] == len(chosen)


# Settings


def test_flags_stand_above_the_preset_and_both_are_saved(sample_run, archive, tiny, tmp_path):
    run("--dataset", archive, "--epochs", 0, "--seed", 7, "--output-dir", tmp_path)
    saved = yaml.safe_load((tmp_path / "settings.yaml").read_text())
    preset = yaml.safe_load((ROOT / "recipes" / "configs" / "sample.yaml").read_text())
    assert (saved["seed"], saved["epochs"]) == (7, 0)
    assert saved["learning_rate"] == preset["learning_rate"]


def test_an_unknown_flag_or_value_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--learning-rte"):
        run("--learning-rte", 1)
    with pytest.raises(ValueError, match="batch_size is 0"):
        run("--batch-size", 0)
    with pytest.raises(ValueError, match="nosuch is no preset.* and no Hub repository$"):
        run("--model", "nosuch", "--output-dir", tmp_path)
    with pytest.raises(ValueError, match="no Hub repository. Did you mean convnext-tiny?"):
        run("--model", "convnext-tinny", "--output-dir", tmp_path)
    with pytest.raises(FileNotFoundError, match="/nowhere is neither a folder nor a dataset on the Hub"):
        run("--dataset", "/nowhere", "--output-dir", tmp_path)


def test_what_is_wrong_is_said_in_one_line():
    done = forks.run(SCRIPT, "--batch-size", 0)
    assert done.returncode == 1
    assert done.stderr.strip() == "finetune.py: batch_size is 0; it must be at least 1"


def test_an_unknown_key_in_a_preset_is_refused(tmp_path):
    (tmp_path / "odd.yaml").write_text("model: tiny.json\nlearning_rte: 1\n")
    with pytest.raises(ValueError, match="odd.yaml, line 2: learning_rte is no setting. Did you mean learning_rate?"):
        run("--model", tmp_path / "odd.yaml")


@pytest.mark.parametrize("preset", sorted((ROOT / "recipes" / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_holds_known_settings_only(preset):
    assert parse_settings(["--model", preset.stem]).output_dir == f"runs/{preset.stem}"
