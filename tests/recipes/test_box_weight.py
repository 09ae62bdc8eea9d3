"""What `--box-weight` promises: a map that lies in the boxes, learnt from the boxes of train alone."""

import csv
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

import explain
import finetune
import forks
import publish
import score
import transfer
from boxed_archives import TABLE, boxes_of, hit_rate, is_trained_on, with_training_boxes
from chestxray.data.nih import NIHChestXray
from chestxray.synthetic import phantom
from chestxray.training import ablation_plan
from chestxray.training.command_line import parse_settings
from chestxray.training.settings_files import read_settings
from conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
SCRIPT = ROOT / "recipes" / "finetune.py"
FINE = {"model_type": "resnet", "embedding_size": 16, "hidden_sizes": [32], "depths": [2], "layer_type": "basic"}
FASTER = ["--epochs", 3, "--box-weight", 20, "--learning-rate", 3e-3]


@pytest.fixture(scope="session")
def plain(once):
    """As NIH's archive is: all boxes are on test images. With 48 pixels a map has 12 × 12 cells."""
    return once("synthetic-48", lambda folder: phantom.make_archive(folder, patients=160, size=48, num_proc=1))


@pytest.fixture(scope="session")
def boxed(plain, once):
    return once("boxed-48", lambda folder: with_training_boxes(plain, folder))


@pytest.fixture
def small(tiny):
    """A small run without batch norm, for which the parts of a batch would matter."""
    return ["--model", tiny("convnext"), "--epochs", 2, "--batch-size", 32, "--box-weight", 1]


@pytest.fixture
def flags(boxed, small):
    return ["--dataset", boxed, *small]


def run(*flags):
    finetune.main([str(flag) for flag in flags])


def weights_of(output):
    return (output / "model.safetensors").read_bytes()


def losses_of(output):
    with open(output / "epochs.csv") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


# What is learnt


@pytest.fixture(scope="module")
def pair(boxed, tmp_path_factory):
    """Two runs on the same images, without and with the boxes of train; with batch norm."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "resnet.json").write_text(json.dumps(FINE | {"image_size": 48}))
    flags = ["--dataset", boxed, "--model", folder / "resnet.json", "--epochs", 8, "--batch-size", 16]
    for weight in (0, 1):
        run(*flags, "--learning-rate", 5e-3, "--box-weight", weight, "--output-dir", folder / f"{weight}")
    return folder / "0", folder / "1"


def test_the_boxes_of_patients_that_it_has_not_seen_are_found_better(pair, boxed, plain):
    boxes = boxes_of(plain)  # of the test images alone
    without, learnt = (hit_rate(checkpoint, boxed, boxes) for checkpoint in pair)
    assert len(boxes) > 20 and learnt > without + 0.2 and learnt > 0.6


def test_labels_are_learnt_as_well_as_without(pair):
    without, learnt = (json.loads((output / "all_results.json").read_text())["test_auroc"] for output in pair)
    assert learnt > without - 0.05


def test_every_command_after_it_takes_the_checkpoint(pair, boxed, tmp_path):
    _, checkpoint = pair
    assert read_settings(checkpoint).box_weight == 1
    score.main([str(checkpoint), "--output-dir", str(tmp_path / "score")])
    assert "box_weight: 1" in (checkpoint / "settings.yaml").read_text()
    transfer.main([str(checkpoint), "--dataset", str(boxed), "--output-dir", str(tmp_path / "transfer")])
    run("--dataset", boxed, "--model", checkpoint, "--epochs", 1, "--output-dir", tmp_path / "next")
    assert read_settings(tmp_path / "next").box_weight == 0


def test_explain_says_which_model_has_learnt_from_boxes(pair, tmp_path):
    without, learnt = map(str, pair)
    said = "1 has learnt from boxes"
    for name, words in {"without": [without], "learnt": [learnt], "both": [without, "--against", learnt]}.items():
        explain.main([*words, "--output-dir", str(tmp_path / name)])
        assert (said in (tmp_path / name / "localisation.md").read_text()) == (name != "without")


def test_the_screen_says_how_many_boxes_it_learns_from(flags, boxed, tmp_path, capsys):
    run(*flags, "--epochs", 0, "--output-dir", tmp_path)
    boxes = boxes_of(boxed, is_trained_on(boxed))
    wanted = f"{len(boxes)} boxes in {boxes['name'].nunique()} training images"
    assert wanted in capsys.readouterr().out


# What does not matter


def test_boxes_change_nothing_without_the_flag(flags, small, plain, tmp_path):
    run(*flags, "--box-weight", 0, "--output-dir", tmp_path / "boxed")
    run(*small, "--box-weight", 0, "--dataset", plain, "--output-dir", tmp_path / "plain")
    run(*flags, "--output-dir", tmp_path / "learnt")
    boxed, plain, learnt = (weights_of(tmp_path / name) for name in ("boxed", "plain", "learnt"))
    assert boxed == plain != learnt


def test_boxes_of_validation_and_test_change_nothing(small, boxed, plain, tmp_path):
    alone = with_training_boxes(plain, tmp_path / "alone", keep=is_trained_on(plain))
    assert 0 < len(boxes_of(alone)) < len(boxes_of(boxed))
    run(*small, "--dataset", boxed, "--output-dir", tmp_path / "all")
    run(*small, "--dataset", alone, "--output-dir", tmp_path / "train")
    assert weights_of(tmp_path / "all") == weights_of(tmp_path / "train")


def test_parts_and_processes_change_only_rounding(flags, tmp_path):
    flags = [*flags, "--epochs", 1, "--warmup-epochs", 0, "--learning-rate", 1e-3]
    run(*flags, "--device-batch-size", 32, "--output-dir", tmp_path / "whole")
    run(*flags, "--device-batch-size", 5, "--output-dir", tmp_path / "parts")
    done = forks.run_two(SCRIPT, *flags, "--output-dir", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    whole, parts, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts", "two"))
    for other in (parts, two):
        assert all(torch.allclose(whole[name], other[name], atol=1e-4) for name in whole)
    assert losses_of(tmp_path / "two") == pytest.approx(losses_of(tmp_path / "whole"), rel=1e-4)


def test_a_run_that_was_stopped_ends_with_the_same_weights(flags, tmp_path, monkeypatch):
    flags = [*flags, "--ema", 0.9, "--crop", 0.5, "--randaugment", 5, "--checkpoint-steps", 1]
    run(*flags, "--output-dir", tmp_path / "undisturbed")
    save_state = finetune.save_state

    def stopped(run, state):
        save_state(run, state)
        if state.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "save_state", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(*flags, "--output-dir", tmp_path / "stopped")
    monkeypatch.setattr(finetune, "save_state", save_state)
    run(*flags, "--output-dir", tmp_path / "stopped")
    assert weights_of(tmp_path / "stopped") == weights_of(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    "words", [["--uncertain", "multi-class"], ["--dataset-weights", 1]], ids=lambda words: words[0]
)
def test_the_loss_falls_in_other_runs_too(flags, tmp_path, words):
    run(*flags, *words, *FASTER, "--output-dir", tmp_path)
    first, _, last = losses_of(tmp_path)
    assert last < 0.95 * first


def test_the_loss_falls_in_half_precision_too(flags, tmp_path):
    words = ["--mixed-precision", "bf16", "--channels-last", "true", "--output-dir", tmp_path]
    done = forks.run(SCRIPT, *flags, *FASTER, *words, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr
    first, _, last = losses_of(tmp_path)
    assert last < 0.95 * first


@pytest.mark.usefixtures("no_wait_after_streams")
def test_published_parquet_has_the_same_boxes_stored_and_streamed(small, boxed, tmp_path, capsys):
    publish.main([str(boxed), str(tmp_path / "parquet"), "--num-proc", "1"])
    capsys.readouterr()
    for name, extra in {"archive": [], "parquet": [], "streamed": ["--streaming"]}.items():
        source = boxed if name == "archive" else tmp_path / "parquet"
        run(*small, "--dataset", source, *extra, "--epochs", 0, "--output-dir", tmp_path / name)
    said = [line for line in capsys.readouterr().out.splitlines() if " boxes in " in line]
    assert len(said) == 3 and len(set(said)) == 1
    run(*small, "--dataset", tmp_path / "parquet", "--streaming", "--output-dir", tmp_path / "learnt")
    assert losses_of(tmp_path / "learnt")[1] < losses_of(tmp_path / "learnt")[0]


def test_a_plan_of_ablations_may_change_it(boxed, tmp_path):
    (tmp_path / "plan.yaml").write_text("base: {model: sample}\nchanges: {boxes: {box_weight: 0.5}}\n")
    plan = ablation_plan.read_plan(tmp_path / "plan.yaml", ["--dataset", str(boxed)])
    assert [run.settings.box_weight for run in plan.runs(tmp_path, None)] == [0, 0.5]


# What is refused


@pytest.mark.parametrize(
    "words", [["--freeze"], ["--mixup", 0.2], ["--compile"], ["--gradient-checkpointing"]], ids=lambda words: words[0]
)
def test_settings_that_leave_no_place_for_a_box_are_refused(words):
    with pytest.raises(ValueError, match=f"^{words[0][2:].replace('-', '_')} .*: leave it or box_weight out$"):
        parse_settings([str(word) for word in ["--box-weight", 0.1, *words]])


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="box_weight is -1.0; it must be at least 0"):
        parse_settings(["--box-weight", "-1"])


def test_an_archive_with_boxes_on_test_images_alone_is_refused_as_nihs_is(small, plain, tmp_path):
    with pytest.raises(ValueError, match="no training image of .* has a box .*box_folds divides them by patient"):
        run(*small, "--dataset", plain, "--output-dir", tmp_path / "run")
    publish.main([str(plain), str(tmp_path / "parquet"), "--num-proc", "1"])
    with pytest.raises(ValueError, match="no training image of .* has a box"):
        run(*small, "--dataset", tmp_path / "parquet", "--streaming", "--output-dir", tmp_path / "run")


def test_boxes_of_images_that_a_list_holds_out_are_not_learnt_from(small, plain, tmp_path):
    trained_on = is_trained_on(plain)
    few = {name[:8] for name in (plain / "train_val_list.txt").read_text().split()[:40] if trained_on(name)}
    alone = with_training_boxes(plain, tmp_path / "few", keep=lambda name: name[:8] in few)
    names = [name for name in (plain / "train_val_list.txt").read_text().split() if name[:8] in few]
    (tmp_path / "list.txt").write_text("\n".join(names))
    flags = [*small, "--dataset", alone, "--epochs", 0]
    run(*flags, "--output-dir", tmp_path / "learnt")
    with pytest.raises(ValueError, match="no training image of .* has a box"):
        run(*flags, "--validation-list", tmp_path / "list.txt", "--output-dir", tmp_path / "held-out")


def test_a_boxed_image_that_would_be_scored_is_refused(small, boxed, tmp_path):
    """The same image in train and in test, as an image of two patients: patients alone would not show it."""
    builder = NIHChestXray("full", data_dir=str(boxed), cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    rows = builder.as_dataset()
    where = [number for number, objects in enumerate(rows["train"]["objects"]) if objects["bbox"]][:20]
    train, folder = rows["train"].select(range(80)), tmp_path / "hospital"
    folder.mkdir()
    twice = rows["train"].select(where[:1])
    assert twice[0]["image_file_path"] in train["image_file_path"]
    other = twice.map(lambda row: {**row, "patient_id": 99_999_999}, features=twice.features)
    train.to_parquet(folder / "train-00000-of-00001.parquet")
    other.to_parquet(folder / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="has a box in train, and is in validation or test too"):
        run(*small, "--dataset", folder, "--test", "false", "--output-dir", tmp_path / "run")


def test_a_model_without_a_class_activation_map_is_refused(flags, tiny, tmp_path):
    with pytest.raises(ValueError, match="ViTForImageClassification ends in another way: .*leave --box-weight out"):
        run(*flags, "--model", tiny("vit"), "--output-dir", tmp_path)


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
def test_a_run_does_not_go_on_with_other_boxes(small, boxed, tmp_path, finished):
    archive = shutil.copytree(boxed, tmp_path / "archive", symlinks=True)
    flags = [*small, "--dataset", archive, "--epochs", 1, "--output-dir", tmp_path / "run"]
    run(*flags)
    header, *lines = (archive / TABLE).read_text().splitlines()
    (archive / TABLE).write_text("\n".join([header, *lines[::2]]))
    if not finished:
        (tmp_path / "run" / "all_results.json").unlink()
    with pytest.raises(ValueError, match=f"holds an? {'' if finished else 'un'}finished run on other images or labels"):
        run(*flags)
