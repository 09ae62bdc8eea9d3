"""What `recipes/ablate.py` promises, asked of the command itself."""

import csv
import json
import signal
import time

import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

import ablate
import finetune
import forks
from chestxray.data import predictions
from conftest import ROOT
from fork_launcher import ForkLauncher

SCRIPT = ROOT / "recipes" / "ablate.py"
SECONDS = 120  # to wait for something that another process does


@pytest.fixture(scope="module")
def launcher():
    return ForkLauncher()


@pytest.fixture(scope="module")
def plan(synthetic, tiny, tmp_path_factory):
    """`plan(changes={...})` writes a plan of tiny runs and returns its path."""
    base = {"model": str(tiny("convnext")), "dataset": [str(synthetic(patients=60))], "epochs": 1, "num_proc": 1}

    def write(**parts):
        path = tmp_path_factory.mktemp("plan") / "plan.yaml"
        path.write_text(yaml.safe_dump({"base": {**base, **parts.pop("base", {})}, **parts}, sort_keys=False))
        return str(path)

    return write


@pytest.fixture(scope="module")
def done(plan, launcher, tmp_path_factory):
    """A finished ablation: (command line, output folder, the runs that were started)."""
    path = plan(
        seeds=[0, 1],
        validation_share=0.375,
        changes={"same": {}, "no-flip": {"flip": 0}, "too-many": {"train_images": 100_000}},
        subsets=[20, {"train_images": 40, "epochs": 2}, "all"],
    )
    output = tmp_path_factory.mktemp("ablation") / "out"
    words = [path, "--output-dir", str(output), "--launcher", launcher.command, "--within", "view_position"]
    ablate.main(words)
    return words, output, launcher.folders()


def result_of(output):
    return json.loads((output / "ablation.json").read_text())


def row_of(output, name):
    (row,) = (row for row in result_of(output)["changes"] if row["name"] == name)
    return row


def wait_for(happened):
    until = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


# The table


def test_the_table_is_what_the_written_predictions_say(done):
    for row in result_of(done[1])["changes"]:
        for run in row["runs"]:
            read = predictions.read(done[1] / row["name"] / f"seed-{run['seed']}" / "validation.parquet")
            aurocs = []
            for column in range(len(read.findings)):
                target, patients = read.targets[:, column], read.rows["patient"]
                if min(patients[target == value].nunique() for value in (0, 1)) > 1:
                    aurocs.append(roc_auc_score(target, read.logits[:, column]))
            assert run["auroc"] == pytest.approx(sum(aurocs) / len(aurocs), abs=1e-12)
    assert [len(row["runs"]) for row in result_of(done[1])["changes"]] == [2, 2, 2, 0]


def test_identical_settings_differ_by_nothing_and_it_is_called_noise(done):
    same = row_of(done[1], "same")
    assert (same["difference_value"], same["difference_p"], same["difference_patients"]) == (0, 1, 0)
    assert same["difference_low"] < 0 < same["difference_high"], "other seeds would differ"
    assert same["verdict"] == same["verdict_within"] == "inside the noise"


def test_a_run_that_fails_is_a_row_with_its_last_line(done):
    page = (done[1] / "ablation.md").read_text()
    assert row_of(done[1], "too-many")["failures"].keys() == {"0", "1"}
    assert "train_images is 100,000, but there are" in page
    assert "| too-many | train_images 100000 | 0 |" in page


def test_csv_page_and_figures_are_there_and_name_no_folder(done):
    rows = list(csv.DictReader((done[1] / "ablation.csv").open()))
    assert [row["name"] for row in rows] == ["base", "same", "no-flip", "too-many", "images-20", "images-40"]
    assert (done[1] / "figures" / "differences.svg").read_bytes().startswith(b"<?xml")
    assert (done[1] / "figures" / "learning-curve.svg").exists()
    for name in ("ablation.md", "ablation.csv", "ablation.json"):
        assert "/tmp" not in (done[1] / name).read_text(), name
    assert "Synthetic images" in (done[1] / "ablation.md").read_text()


def test_the_learning_curve_has_its_points_and_an_extrapolation_that_is_called_so(done):
    result = result_of(done[1])
    images = [row["runs"][0]["train_images"] for row in result["learning_curve"]]
    assert images[:2] == [20, 40] and len(images) == 3
    assert result["fit"]["extrapolated_to"] == 86_524 and 0.5 <= result["fit"]["a"] <= 1
    assert "This is an extrapolation, not a result" in (done[1] / "ablation.md").read_text()


def test_fewer_training_images_are_among_more_and_validation_is_whole(done):
    seen = {
        name: pd.read_parquet(done[1] / name / "seed-0" / "images.parquet").groupby("split")["image"].agg(set)
        for name in ("images-20", "images-40", "base")
    }
    assert seen["images-20"]["train"] < seen["images-40"]["train"] < seen["base"]["train"]
    assert seen["images-20"]["validation"] == seen["base"]["validation"]
    listed = set((done[1] / "validation.txt").read_text().split())
    assert {name.split()[-1] for name in seen["base"]["validation"]} == listed  # drawn images have a word before


def test_test_is_not_read_and_no_weights_stay(done):
    for folder in (done[1] / "base" / "seed-0", done[1] / "no-flip" / "seed-1"):
        results = json.loads((folder / "all_results.json").read_text())
        assert "validation_auroc" in results and not [name for name in results if name.startswith("test")]
        assert set(predictions.read(folder / "validation.parquet").rows["split"]) == {"validation"}
        assert not list(folder.rglob("*.safetensors"))


# Stopping and going on


def test_the_same_command_repeats_only_what_failed(done, launcher):
    before, count = (done[1] / "ablation.json").read_bytes(), len(launcher.started)
    ablate.main(done[0])
    assert sorted(launcher.folders()[count:]) == ["too-many/seed-0", "too-many/seed-1"]
    assert (done[1] / "ablation.json").read_bytes() == before
    assert len(set(done[2])) == len(done[2]) == 12


def test_finished_runs_of_another_plan_are_refused(done):
    with pytest.raises(ValueError, match="holds a finished run with epochs 1, not 3"):
        ablate.main([*done[0], "--epochs", "3"])


def test_killed_in_the_middle_it_goes_on_to_the_same_predictions(plan, done, launcher, tmp_path):
    words = [plan(validation_share=0.375, changes={"same": {}}), "--output-dir", tmp_path, *done[0][3:5]]
    count = len(launcher.started)
    killed = forks.Script(SCRIPT, words)
    wait_for(lambda: len(launcher.started) > count)
    killed.kill()
    ablate.main(list(map(str, words)))
    assert launcher.folders()[count:] == ["base/seed-0", "same/seed-0"], "the first run went on by itself"
    ours, theirs = (
        predictions.read(output / "base" / "seed-0" / "validation.parquet").logits for output in (tmp_path, done[1])
    )
    assert (ours == theirs).all()


def test_ctrl_c_ends_in_one_line_and_ends_the_run(plan, launcher, tmp_path):
    words = [plan(base={"epochs": 500}), "--output-dir", tmp_path, "--launcher", launcher.command]
    stopped = forks.Script(SCRIPT, words)
    wait_for((tmp_path / "base" / "seed-0" / "checkpoints" / "last.safetensors").exists)
    forks.os.kill(stopped.pid, signal.SIGINT)
    ended = stopped.finish()
    assert ended.returncode == 130 and ended.stderr.endswith(
        "ablate.py: stopped. Start the same command again to go on.\n"
    )
    assert "Traceback" not in ended.stderr
    with ablate.ablation_runs.claim(tmp_path / "base" / "seed-0.lock") as lock:
        assert lock, "the run still holds its claim"


def test_two_at_once_do_each_run_once(plan, launcher, tmp_path):
    count = len(launcher.started)
    words = [plan(changes={"no-flip": {"flip": 0}, "no-shift": {"shift": 0}}), "--output-dir", tmp_path]
    both = [forks.Script(SCRIPT, [*words, "--launcher", launcher.command]) for _ in range(2)]
    for ended in [each.finish() for each in both]:
        assert ended.returncode == 0, ended.stderr
        assert "no-shift" in ended.stdout
    assert sorted(launcher.folders()[count:]) == ["base/seed-0", "no-flip/seed-0", "no-shift/seed-0"]


def test_started_as_a_person_does_it_says_what_is_wrong_in_one_line(plan, tmp_path):
    for words, line in (
        (["--only", "no-flop"], "ablate.py: --only no-flop: the plan has only base"),
        (["--output-dir", tmp_path, "--epochs"], "ablate.py: base: argument --epochs: expected one argument"),
        (["--test", "true"], "ablate.py: --test: test is given by this command itself, for each run"),
    ):
        ended = forks.run(SCRIPT, plan(), "--output-dir", tmp_path, *words)
        assert ended.returncode == 1
        assert ended.stderr.strip() == line


# The settings of finetune.py that it needs


def test_finetune_leaves_test_unread_and_shows_such_a_run_again(synthetic, tiny, tmp_path, capsys):
    archive, output = str(synthetic(patients=60)), tmp_path / "run"
    words = ["--model", str(tiny("convnext")), "--dataset", archive, "--epochs", "1", "--num-proc", "1"]
    words += ["--output-dir", str(output), "--test", "false", "--train-images", "30"]
    finetune.main(words)
    counts = capsys.readouterr().out
    assert ": 30 train, " in counts and " test images" not in counts
    finetune.main(words)
    assert "test AUROC" not in (shown := capsys.readouterr().out) and "validation AUROC" in shown
    with pytest.raises(ValueError, match="holds a finished run with test False, not True"):
        finetune.main([word for word in words if word not in ("--test", "false")])
    with pytest.raises(ValueError, match="push_to_hub scores test"):
        finetune.main([*words, "--push-to-hub", "someone/model"])
