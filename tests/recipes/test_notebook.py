"""The notebook runs from its first cell to its last, on the sample, with one epoch for the preset's."""

import os
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

NOTEBOOK = ROOT / "recipes" / "notebook.ipynb"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder like a clone, where the notebook's runs go."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("recipes", "data", "NIH-Chest-X-ray-dataset.py"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_every_cell_runs_and_shows_what_it_says(desk, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "recipes"), str(ROOT)]))
    monkeypatch.setenv("HF_HOME", str(desk / "home"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert sum("EPOCHS = 17" in cell.source for cell in notebook.cells) == 1
    for cell in notebook.cells:
        cell.source = cell.source.replace("EPOCHS = 17 ", "EPOCHS = 1 ")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(desk)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.get("text", "") for output in shown)
    kinds = [kind for output in shown for kind in output.get("data", {})]
    assert "Checkpoint, all_results.json and results.png are in runs/notebook" in printed
    assert "Report: runs/notebook/score/report.html" in printed and "image-blind" in printed
    assert kinds.count("text/html") == 2 and kinds.count("image/svg+xml") == 1, "two tables, and the intervals"
    assert kinds.count("image/png") >= 3, "boxes, the contact sheet, and a heatmap or more"


def test_the_committed_notebook_holds_no_output_and_no_path_of_a_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
    assert sys.prefix not in NOTEBOOK.read_text() and "/home/" not in NOTEBOOK.read_text()
