"""A score report is made from predictions files alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from chestxray.data import predictions
from chestxray.reporting.score_options import ScoreOptions
from chestxray.reporting.score_report import report_scores, screen_text
from conftest import ROOT
from small_predictions import make


@pytest.fixture
def files(tmp_path):
    """Predictions of two models on the same images."""
    paths = [tmp_path / "models" / f"{name}.parquet" for name in "ab"]
    for seed, path in enumerate(paths):
        table = make(seed=seed)
        table.about["models"] = [{"checkpoint": f"m{seed}", "sha256": "f" * 64, "tta": "none"}]
        predictions.write(table, path)
    return [str(path) for path in paths]


def test_every_page_and_the_card_are_written_and_named_on_the_screen(files, tmp_path):
    report = report_scores(ScoreOptions(models=files[:1], output_dir=str(tmp_path / "out")))
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"report.html", "report.md", "scorecard.json", "README.md", "figures/roc.svg"} <= written
    assert report.folders == [tmp_path / "out"] and report.model_cards == [tmp_path / "out" / "README.md"]
    screen = screen_text(report).splitlines()
    assert screen[0].startswith("Mean AUROC ") and "Mass" in screen[3]
    assert screen[-2:] == [f"Report: {tmp_path}/out/report.html", f"Model card: {tmp_path}/out/README.md"]


def test_the_first_of_several_processes_alone_writes(files, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert report_scores(ScoreOptions(models=files[:1], output_dir=str(tmp_path / "out"))) is None
    assert not (tmp_path / "out").exists()


def test_an_ensemble_is_written_and_compared_with_a_rival(files, tmp_path):
    report = report_scores(ScoreOptions(models=files, against=files[1], output_dir=str(tmp_path / "out")))
    assert len(predictions.read(tmp_path / "out" / "predictions.parquet").about["models"]) == 2
    assert "AUROC A" in screen_text(report)
    assert json.loads((tmp_path / "out" / "scorecard.json").read_text())["comparison"]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    "scale, shift, is_worse", [(4, 0, False), (1, 2, True)], ids=["too sure", "another validation"]
)
def test_page_and_card_say_it_if_calibration_makes_the_probabilities_worse(tmp_path, scale, shift, is_worse):
    rng, n = np.random.default_rng(0), 800
    logits = rng.normal(size=(n, 1))
    targets = (rng.random((n, 1)) < expit(logits)).astype(float)  # the logits are right as they are
    splits = np.repeat(["validation", "test"], n // 2)
    logits = logits * scale + shift * (splits == "validation")[:, None]
    rows = pd.DataFrame({"image_file_path": [f"{number}.png" for number in range(n)], "split": splits})
    about = make().about | {"models": [{"checkpoint": "m", "sha256": "f" * 64, "tta": "none"}]}
    table = predictions.Predictions(rows.assign(patient=rows.index.astype(str)), logits, targets, ["Mass"], about)
    predictions.write(table, tmp_path / "predictions.parquet")
    report_scores(ScoreOptions(models=[str(tmp_path / "predictions.parquet")]))
    for name in ("report.md", "report.html", "README.md"):
        assert ("Platt scaling makes the probabilities worse" in (tmp_path / name).read_text()) == is_worse, name


def test_options_that_do_not_go_together_are_refused(files, tmp_path):
    with pytest.raises(ValueError, match="fitted on validation: score another split"):
        ScoreOptions(models=files[:1], split="validation")
    with pytest.raises(ValueError, match="several models need --output-dir"):
        ScoreOptions(models=files)
    members = [str(tmp_path / "predictions.parquet"), files[0]]
    with pytest.raises(ValueError, match="would overwrite .*/predictions.parquet, one of its members"):
        ScoreOptions(models=members, output_dir=f"{tmp_path}/elsewhere/..")


def test_results_go_beside_the_model_unless_said_otherwise():
    assert str(ScoreOptions(models=["runs/a"]).output) == "runs/a/score"
    assert str(ScoreOptions(models=["runs/a/predictions.parquet"]).output) == "runs/a"
    assert str(ScoreOptions(models=["runs/a"], output_dir="out").output) == "out"
    assert str(ScoreOptions(models=["runs/theirs.v2.csv.gz"], dataset=["nih"]).output) == "runs/theirs.v2-score"


WITHOUT_PYTORCH = """
import sys
from importlib import util
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in ("torch", "timm", "accelerate") else find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
assert util.find_spec("torch") is None
import score

score.main()
"""


def test_the_command_scores_a_predictions_file_where_pytorch_is_not_installed(files, tmp_path):
    command = [sys.executable, "-c", WITHOUT_PYTORCH, files[0], "--output-dir", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "recipes")}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Mean AUROC" in done.stdout and (tmp_path / "out" / "report.html").exists()
