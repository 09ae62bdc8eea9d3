"""Use the installed package as a stranger would: python -I tests/installed.py, in any folder outside the clone.

`-I` keeps this file's folder and PYTHONPATH out of the search for modules. tests/test_package.py and `nox -s wheel`
run it.
"""

import importlib
import importlib.util
import pkgutil
from pathlib import Path

import evaluate
import numpy as np
import pandas as pd

import chestxray
import multilabel_auroc
from chestxray import repository
from chestxray.data.predictions import Predictions
from chestxray.scoring import scorecard
from chestxray.training.command_line import parse_settings, presets

NEEDS = {"chestxray.dicom": "pydicom", "multilabel_auroc.app": "gradio"}  # modules of an extra


def import_all():
    """Import every module of the two packages; returns how many."""
    count = 0
    for package in (chestxray, multilabel_auroc):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            wanted = [library for name, library in NEEDS.items() if module.name.startswith(name)]
            if all(importlib.util.find_spec(library) for library in wanted):
                importlib.import_module(module.name)
                count += 1
    return count


def read_presets():
    """{preset: the model it names}, each read and checked as finetune.py does."""
    return {name: parse_settings(["--model", name]).model for name in presets()}


def build_sample():
    """How many images the sample has, read by the dataset's builder."""
    builder = chestxray.NIHChestXray("metadata", data_dir=str(repository.SAMPLE), cache_dir="cache")
    builder.download_and_prepare()
    return sum(builder.as_dataset().num_rows.values())


def score():
    """The mean AUROC of a few made-up predictions, by the metric as `evaluate` loads it and by a scorecard."""
    targets, scores = np.array([[0, 1], [1, 0]] * 4), np.array([[0.1, 0.8], [0.9, 0.3]] * 4)
    metric = evaluate.load(next(iter(multilabel_auroc.__path__)))
    alone = metric.compute(prediction_scores=scores, references=targets)["auroc"]
    rows = pd.DataFrame({"image_file_path": list("abcdefgh"), "split": "test", "patient": list("abcdefgh")})
    about = {"dataset": "made up", "source": "nowhere", "synthetic": True, "models": [{"checkpoint": "m"}]}
    card = scorecard.make(Predictions(rows, scores, targets.astype(float), ["Mass", "Hernia"], about))
    return alone, card.findings.loc["mean", "auroc"]


def main():
    print(f"installed in {Path(chestxray.__file__).parent}")
    if repository.CLONE:
        raise SystemExit(f"this is the clone in {repository.CLONE}, not an installed package")
    print(f"{import_all()} modules imported")
    for name, model in read_presets().items():
        print(f"preset {name}: {model}")
    print(f"sample: {build_sample()} images")
    print("mean AUROC: {:.3f} {:.3f}".format(*score()))
    try:
        repository.clone_path("README.md")
    except FileNotFoundError as error:
        print(error)


if __name__ == "__main__":
    main()
