"""`--help` and a wrong flag are answered before anything that is slow to import, and so are scores of a file."""

import re
import subprocess
import sys

import pytest

from chestxray.data import predictions
from chestxray.training.settings import TYPES
from conftest import ROOT
from small_predictions import make

SLOW = {
    "accelerate",
    "cv2",
    "datasets",
    "evaluate",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
}
NEEDED = {  # what a script asks for before it looks at other flags
    "ablate": ["plan.yaml", "--output-dir", "out"],
    "describe": ["archive"],
    "dicom_to_jpeg": ["source", "out"],
    "explain": ["runs/sample"],
    "export": ["runs/sample", "out"],
    "finetune": [],
    "predict": ["checkpoint", "file"],
    "publish": ["archive", "out"],
    "score": ["runs/sample"],
    "transfer": ["checkpoint", "--dataset", "folder", "--output-dir", "out"],
}
MISSPELT = {  # ablate.py passes flags that it does not know on to finetune.py
    "describe": "--raedme",
    "dicom_to_jpeg": "--qualty",
    "explain": "--randomize",
    "export": "--intt8",
    "finetune": "--batch-sise",
    "predict": "--batch-sise",
    "publish": "--pateints",
    "score": "--sensitivty",
    "transfer": "--output-dirr",
}
CODE = """
import atexit, runpy, sys
atexit.register(lambda: print("MODULES", *sys.modules))
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def answer(script, *flags, folder=None):
    """(the process, the top-level modules that it has imported)."""
    command = [sys.executable, "-c", CODE, ROOT / "recipes" / f"{script}.py", *flags]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
    shown, _, modules = done.stdout.partition("MODULES")
    return done, shown, set(modules.split())


@pytest.mark.parametrize("script", NEEDED)
def test_help_imports_nothing_slow(script):
    done, shown, modules = answer(script, "--help")
    assert done.returncode == 0 and "usage: " in shown and "argparse" in modules
    assert not SLOW & modules


@pytest.mark.parametrize("script", MISSPELT)
def test_a_wrong_flag_imports_nothing_slow_and_the_nearest_one_is_named(script):
    done, _, modules = answer(script, *NEEDED[script], MISSPELT[script], "1")
    assert done.returncode and MISSPELT[script] in done.stderr and "Did you mean --" in done.stderr
    assert not SLOW & modules


@pytest.mark.parametrize("script", ["explain", "export", "predict", "score", "transfer"])
def test_a_folder_that_is_no_checkpoint_is_named_before_anything_slow(script, tmp_path):
    (tmp_path / "image.png").touch()
    flags = {"predict": [tmp_path / "image.png"]}.get(script, NEEDED[script][1:])
    done, _, modules = answer(script, tmp_path, *flags)
    assert done.returncode and f"{script}.py: {tmp_path} is no checkpoint's folder" in done.stderr
    assert not SLOW & modules


def test_a_misspelt_preset_is_named_before_anything_slow_and_leaves_no_folder(tmp_path):
    done, _, modules = answer("finetune", "--model", "vit-bse", "--output-dir", tmp_path / "out")
    assert done.returncode and "vit-bse is no preset" in done.stderr and "Did you mean vit-base?" in done.stderr
    assert not SLOW & modules and not (tmp_path / "out").exists()


def test_a_run_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path):
    done, _, modules = answer("finetune", "--model", "runs/no-run", "--output-dir", tmp_path / "out")
    assert done.returncode and "runs/no-run is neither a folder nor a repository on the Hub" in done.stderr
    assert not SLOW & modules


def test_the_help_of_finetune_shows_each_flag_once_with_its_own_words():
    _, shown, _ = answer("finetune", "--help")
    flags = re.findall(r"^  (--[\w-]+)", shown, re.MULTILINE)
    assert len(set(flags)) == len(flags) == len(TYPES) and "--no-cache" in flags and "--cache" not in flags
    assert "_" not in "".join(flags) and "None" not in shown and "SUPPRESS" not in shown
    assert "decode the images again in every epoch" in " ".join(shown.split())


def test_a_dataset_that_is_not_there_is_named_before_anything_slow(tmp_path):
    done, _, modules = answer("finetune", "--dataset", tmp_path / "nothing")
    assert done.returncode and f"finetune.py: {tmp_path / 'nothing'} is neither a folder nor" in done.stderr
    assert not SLOW & modules


@pytest.mark.parametrize("script", ["explain", "finetune", "score"])
def test_a_misspelt_folder_is_not_looked_for_on_the_hub(script, tmp_path):
    (tmp_path / "runs" / "sample").mkdir(parents=True)
    flags = ["--model", "runs/smaple"] if script == "finetune" else ["runs/smaple"]
    done, _, modules = answer(script, *flags, folder=tmp_path)
    assert done.returncode and "Did you mean runs/sample?" in done.stderr and not SLOW & modules


def test_a_predictions_file_is_scored_with_tables_and_figures_alone(tmp_path):
    table = make()
    table.about["models"] = [{"checkpoint": "m", "sha256": "f" * 64, "tta": "none"}]
    predictions.write(table, tmp_path / "predictions.parquet")
    done, _, modules = answer("score", tmp_path / "predictions.parquet")
    assert done.returncode == 0 and (tmp_path / "report.html").exists(), done.stderr
    assert SLOW & modules == {"matplotlib", "pandas", "scipy", "sklearn"}
