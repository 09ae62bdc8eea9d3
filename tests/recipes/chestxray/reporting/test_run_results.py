"""The picture of a fine-tune's results."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from chestxray.reporting import run_results
from drawings import unseen

AREAS = {"Hernia": (1.0, None, None), "Mass": (0.8, 0.7, 0.9), "Nodule": (0.3, 0.2, 0.4), "Edema": (0.0, None, None)}


def results(**areas):
    row = {"datasets": ["sample"], "synthetic": False, "test_auroc": 0.525}
    for name, values in areas.items():
        row |= {
            f"test_{key}/{name}": value for key, value in zip(("auroc", "auroc_low", "auroc_high"), values, strict=True)
        }
    return row


@pytest.mark.parametrize("undefined", [None, float("nan")])
def test_every_finding_with_an_auroc_has_a_dot_in_the_picture(undefined):
    areas = {name: [undefined if value is None else value for value in values] for name, values in AREAS.items()}
    axes = Figure().add_subplot()
    run_results.draw_panel(axes, results(**areas, Fibrosis=[undefined] * 3), "")
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    assert list(dots.get_ydata()) == ["Edema", "Nodule", "Mass", "Hernia"]
    assert list(np.array(dots.get_xdata(), dtype=float)) == [0.0, 0.3, 0.8, 1.0]
    assert unseen(axes.figure) == []


def test_the_table_says_which_findings_are_in_no_mean_and_that_synthetic_images_say_nothing():
    row = results(Hernia=(None, None, None), Mass=(0.8, 0.7, 0.9))
    row |= {f"test_{key}": value for key, value in (("auroc_low", 0.7), ("auroc_high", 0.9), ("n_findings", 1))}
    row |= {"test_undefined": ["Hernia"], "test_positives/Hernia": 0, "test_positives/Mass": 12, "test_positives": 12}
    text = run_results.results_text(row | {"synthetic": True})
    assert "The mean on test is over 1 of 2 findings. test has only positives or only negatives of: Hernia." in text
    assert "say nothing about radiographs" in text.splitlines()[-2]
    assert "not the 25,596" in run_results.results_text(row | {"official_test": False, "test_n_images": 37})
