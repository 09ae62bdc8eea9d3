"""The metric as an `evaluate` module, and its page: as users load it."""

import doctest
import os
import re
import subprocess
import sys

import evaluate
import numpy as np
import pytest
import torch

from auroc_by_hand import FINDINGS, tied_data
from conftest import ROOT
from multilabel_auroc import auroc_report, compare

FOLDER = ROOT / "recipes" / "multilabel_auroc"


@pytest.fixture
def metric(tmp_path):
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path))


def test_one_call_and_many_batches_give_the_report(metric):
    scores, references, groups = tied_data(27)
    scores += 1e-9 * np.arange(60)[:, None]  # differences that float32 would lose
    settings = {"groups": groups, "label_names": FINDINGS}
    expected = auroc_report(scores, references, **settings)
    assert metric.compute(prediction_scores=scores, references=references, **settings) == expected
    for start in range(0, 60, 16):  # the last batch is smaller
        metric.add_batch(
            prediction_scores=torch.tensor(scores[start : start + 16]),
            references=torch.tensor(references[start : start + 16]),
        )
    assert metric.compute(**settings) == expected
    metric.add_batch(prediction_scores=scores[:50], references=references[:50].tolist())
    rest = {"prediction_scores": scores[50:], "references": references[50:]}
    assert metric.compute(**rest, **settings) == expected  # what is given joins what was added
    for score, reference in zip(scores, references, strict=True):
        metric.add(prediction_scores=score, references=reference)
    assert metric.compute(**settings) == expected


def test_unknown_labels_pass_through_batches(metric):
    scores, references, _ = tied_data(28)
    masked = references.astype(float)
    masked[5:9, 0] = np.nan
    metric.add_batch(prediction_scores=torch.tensor(scores).bfloat16(), references=torch.tensor(masked))
    assert metric.compute() == auroc_report(scores, masked)


def test_the_module_compares_and_refuses_half_an_input(metric):
    scores, references, groups = tied_data(29)
    assert metric.compare(scores, -scores, references, groups) == compare(scores, -scores, references, groups)
    with pytest.raises(ValueError, match="prediction_scores and references"):
        metric.compute(prediction_scores=scores)


USE = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError(f"a network request: {args}")
socket.socket.connect = socket.getaddrinfo = refuse
import sys
sys.modules["transformers"] = None  # the metric does without it, and `evaluate` starts sooner
import evaluate
del sys.modules["transformers"]  # `datasets` asks whether it is there
from evaluate import loading
given = {"prediction_scores": [[0.1, 0.9], [0.4, 0.3], [0.8, 0.2]], "references": [[0, 1], [1, 0], [1, 0]]}
def use(metric):
    assert metric.compute(**given)["auroc"] == 1.0
    metric.add_batch(**given)
    assert metric.compute()["auroc"] == 1.0
use(evaluate.load(sys.argv[1]))
loading.cached_path = lambda url, **_: f"{sys.argv[1]}/{url.rpartition('/')[2]}"  # the Hub's files, without the Hub
found = loading.HubEvaluationModuleFactory("somebody/multilabel_auroc", "metric").get_module()
use(loading.import_main_class(found.module_path)())
print("done")
"""


def test_loads_by_path_and_as_a_module_of_the_hub_in_a_fresh_place_without_a_request(tmp_path):
    """From another folder, with nothing in the cache and nothing of ours on Python's path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", USE, FOLDER]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert run.stdout == "done\n", run.stderr


def test_readme_examples_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    failed, attempted = doctest.testfile(str(FOLDER / "README.md"), module_relative=False)
    assert failed == 0 and attempted >= 10


def test_the_functions_need_neither_evaluate_nor_datasets():
    code = "import sys; sys.modules |= {'evaluate': None, 'datasets': None}; import multilabel_auroc"
    subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent, check=True, timeout=60)


def test_readme_lists_every_key_of_the_report():
    scores, references, _ = tied_data(30)
    report = auroc_report(scores, references)
    first_cells = re.findall(r"^\|([^|]+)\|", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)
    documented = set(re.findall(r"`([a-z_]+)`", " ".join(first_cells)))
    assert documented >= {key.split("/")[0] for key in report}
    assert documented >= {key.split("/")[0] for key in compare(scores, scores, references)}


def test_the_space_is_complete():
    front_matter = (FOLDER / "README.md").read_text().split("---")[1]
    for line in ("sdk: gradio", "app_file: app.py", "- evaluate", "- metric"):
        assert line in front_matter
    requirements = (FOLDER / "requirements.txt").read_text().split()
    assert {re.split("[<>=]", line)[0] for line in requirements} >= {"datasets", "evaluate", "numpy"}
