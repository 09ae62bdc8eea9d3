"""What the page of models at other hospitals says in words."""

import re
from dataclasses import replace

import pytest

from chestxray.reporting import transfer_page
from chestxray.scoring.transfer import Model, Target, Transfer

FINDING = {"auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9, "positives": 1_000, "negatives": 3_000}


@pytest.fixture
def result():
    """One model on the dataset of its training, which is drawn, and on a real one without a positive of Mass."""
    lost = {**FINDING, "auroc": float("nan"), "auroc_low": float("nan"), "auroc_high": float("nan"), "positives": 0}
    cells = {
        ("a", name): {
            **{"auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9, "n_images": 4_000, "n_patients": 900},
            **{"sha256": "0123456789abcdef" + "f" * 48, "findings": {"Edema": FINDING, "Mass": mass}},
        }
        for name, mass in (("home", FINDING), ("away", lost))
    }
    return Transfer(
        split="test",
        views="frontal",
        models=[Model("a", "/runs/a", ["/data/home"], False, "frontal", "negbio", True)],
        targets=[Target("home", "/data/home"), Target("away", "/data/away", "negbio")],
        findings=["Edema", "Mass"],
        averaged=["Edema"],
        cells=cells,
        about={"home": {"dataset": "Drawn", "synthetic": True}, "away": {"dataset": "Real", "notes": ["Mind this."]}},
    )


def test_warnings_name_drawn_images_lost_findings_notes_and_other_histograms(result):
    assert transfer_page.warnings(result) == [
        "Synthetic images: scores on home say nothing about radiographs.",
        "Mass on away: in no mean, because test has only positives or only negatives there.",
        "away: Mind this.",
        "a was trained without histogram equalisation and is scored with.",
    ]
    calm = replace(result.models[0], equalized=False)
    about = {"home": {"dataset": "Real"}, "away": {"dataset": "Real"}}
    assert transfer_page.warnings(replace(result, models=[calm], about=about, averaged=result.findings)) == []


def test_the_screen_shows_the_means_and_marks_the_dataset_of_the_training(result):
    screen = transfer_page.screen_text(result)
    assert "over 1 of the 2 findings" in screen and "Frontal images only" in screen
    assert "Labels of away: negbio." in screen
    cells = re.split("  +", screen.splitlines()[-1])
    assert cells == ["a", "home", "0.800 (0.700 to 0.900)*", "0.800 (0.700 to 0.900)"]


def test_histograms_are_told_apart_where_models_differ(result):
    other = replace(result.models[0], name="b", equalized=False)
    words = transfer_page.explain_images(replace(result, models=[*result.models, other]))
    assert "Histograms: equalised for a; unchanged for b (MIMIC-CXR-JPG comes with equalised ones, NIH" in words


def test_the_page_names_weights_and_counts_and_no_place(result):
    page = transfer_page.markdown(result)
    assert "0123456789abcdef |" in page and "4,000 images of 900 patients" in page
    assert "1,000 of 4,000" in page and "0 of 3,000" in page
    assert "/data/" not in page and "/runs/" not in page


def test_a_cell_without_a_figure_is_drawn_as_a_dash(result):
    empty = {**result.cells["a", "away"], "auroc": float("nan")}
    picture = transfer_page.draw(replace(result, cells={**result.cells, ("a", "away"): empty}))
    assert picture.startswith(b"\x89PNG") and picture != transfer_page.draw(result)
