"""The dataset that CONTRIBUTING.md adds works as it is written there: one file and one line."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FINDINGS = ["Pleural fluid", "Enlarged heart", "Spot on the lung"]
PATIENTS = 48


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """A copy of recipes/ with the example's file and line in it."""
    folder = tmp_path_factory.mktemp("clone") / "recipes"
    shutil.copytree(ROOT / "recipes", folder, ignore=shutil.ignore_patterns("__pycache__"))
    module, modules = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    line = modules.splitlines(keepends=True)[1]
    (folder / "chestxray" / "data" / "lakeside.py").write_text(module)
    registry = folder / "chestxray" / "data" / "registry.py"
    before = registry.read_text()
    after = before.replace("MODULES = (\n", f"MODULES = (\n{line}", 1)
    assert len(after.splitlines()) == len(before.splitlines()) + 1, "one line"
    registry.write_text(after)
    return folder


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A folder in Lakeside's layout: an image of each patient, the last eight in test."""
    folder = tmp_path_factory.mktemp("hospital")
    (folder / "images").mkdir()
    rows = [",".join(["image", "patient", "view", "split", *FINDINGS])]
    for patient in range(PATIENTS):
        pixels = np.random.default_rng(patient).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{patient}.png")
        split = "test" if patient >= PATIENTS - 8 else "train"
        view = "LATERAL" if patient % 4 == 3 else "PA"
        rows.append(f"{patient}.png,{patient},{view},{split},{patient % 2},{patient % 3 // 2},0")
    (folder / "lakeside.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def run(recipes, tmp_path):
    """`run(…)` runs Python on the copy of recipes/ and returns what it prints."""
    paths = os.pathsep.join([str(recipes), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}

    def start(*arguments):
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return start


LOAD = """
import json, sys
from chestxray.data import labels, opening, registry, sources
from chestxray.data.descriptor import BuildOptions

folder = sys.argv[1]
descriptor, dataset = registry.recognise(folder), sources.load(folder)
frontal = sources.select_frontal(dataset, registry.frontal_views(descriptor))
train = dataset["train"]
targets = labels.targets(train, ["Effusion", "Cardiomegaly", "Nodule", "Hernia"])
print(json.dumps({
    "name": descriptor.name,
    "synthetic": descriptor.is_synthetic(__import__("pathlib").Path(folder)),
    "rows": dataset.num_rows,
    "frontal": frontal.num_rows,
    "path": train[0]["image_file_path"],
    "patients": sources.patients(train)[:2],
    "targets": [[None if value != value else value for value in row] for row in targets.tolist()],
    "table": {finding.name: finding.meanings["lakeside"].relation for finding in labels.TABLE},
    "sample": registry.recognise(sys.argv[2]).name,
}))
"""


def test_the_example_is_recognised_read_and_brought_into_the_label_space(run, hospital):
    found = json.loads(run("-c", LOAD, hospital, ROOT / "data" / "sample").splitlines()[-1])
    assert (found["name"], found["synthetic"], found["sample"]) == ("Lakeside", False, "NIH ChestX-ray14")
    assert found["rows"] == {"train": 40, "test": 8} and found["frontal"] == {"train": 30, "test": 6}
    assert found["path"] == "images/0.png" and found["patients"] == ["00000000", "00000001"]
    wanted = [[patient % 2, patient % 3 // 2, None, None] for patient in range(40)]
    assert found["targets"] == wanted, "a broader name says nothing of the finding"
    relations = found["table"]
    assert (relations["Effusion"], relations["Nodule"], relations["Hernia"]) == ("equal", "broader", "no counterpart")


REFUSE = """
import sys
from chestxray.data import sources

try:
    sources.load(sys.argv[1])
except ValueError as error:
    print(error)
"""


def test_a_damaged_row_of_the_example_is_refused_by_its_line(run, hospital, tmp_path):
    folder = shutil.copytree(hospital, tmp_path / "damaged")
    text = (folder / "lakeside.csv").read_text()
    (folder / "lakeside.csv").write_text(text.replace("2.png,2,", "2.png,two,"))
    assert "lakeside.csv, line 4: invalid literal for int" in run("-c", REFUSE, folder)


def test_a_model_is_trained_on_the_example(run, recipes, hospital, tiny, tmp_path):
    flags = ["--dataset", hospital, "--model", tiny("vit"), "--epochs", 1, "--batch_size", 8, "--num_proc", 1]
    run(recipes / "finetune.py", *flags, "--output_dir", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    assert results["datasets"] == ["Lakeside"] and results["test_n_images"] == 8 and results["synthetic"] is False
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert list(config["id2label"].values()) == FINDINGS
