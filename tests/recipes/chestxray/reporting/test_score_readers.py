"""The section on radiologists' labels: the same numbers on the page and on the screen, and names stay names."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from chestxray.data import predictions, reading_files
from chestxray.reporting import score_page, score_readers
from chestxray.scoring import scorecard

N = 120


@pytest.fixture
def card(tmp_path):
    """`card(column=cells, …)` is a scorecard with a file of these readings."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"image_file_path": [f"images/{number:08}_000.png" for number in range(N)], "split": "test"})
    rows["patient"] = [f"{number:08}" for number in range(N)]
    targets = (rng.random((N, 2)) < 0.4).astype(float)
    table = predictions.Predictions(rows, rng.normal(size=(N, 2)) + targets, targets, ["<b>|Mass", "Nodule"], {})

    def make(**columns):
        frame = pd.DataFrame({"image": rows["image_file_path"].str[7:], **columns})
        frame.to_csv(tmp_path / "<i>|readers.csv", index=False)
        return scorecard.make(table, readings=reading_files.read(tmp_path / "<i>|readers.csv", table.findings))

    return make


def test_the_figures_of_the_page_are_those_of_the_screen_and_of_the_json(card):
    scored = card(Nodule=np.arange(N) % 2)
    row = scorecard.as_json(scored)["readers"]["table"]["Nodule"]
    shown = [f"{row[key]:.3f}" for key in ("reader_auroc", "label_auroc", "sensitivity", "ppv")]
    screen = "\n".join(score_readers.screen_lines(scored.readers, "test"))
    for text in (screen, score_page.html(scored, pictures()), score_page.markdown(scored, pictures())):
        assert all(figure in text for figure in shown) and f"{row['difference']:+.3f}" in text


def test_no_name_of_a_file_or_column_adds_html_or_a_cell(card):
    scored = card(**{"<b>|Mass": np.arange(N) % 2})
    page, text = score_page.html(scored, pictures()), score_page.markdown(scored, pictures())
    assert "&lt;i&gt;|readers.csv" in page and not re.search("<(b|i)>", page) and not re.search(r"(?<!\\)<[bi]>", text)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_what_is_undefined_is_a_dash_and_none(card):
    scored = card(Nodule=1)
    row = scorecard.as_json(scored)["readers"]["table"]["Nodule"]
    assert row["reader_auroc"] is row["difference"] is row["p_value"] is None and not math.isnan(row["label_auroc"])
    assert "–" in score_readers.scores_table(scored.readers).rows[0]
    json.dumps(scorecard.as_json(scored), allow_nan=False)


def test_a_file_without_a_column_that_fits_ends_with_its_reasons(card):
    screen = "\n".join(score_readers.screen_lines(card(Fracture=0).readers, "test"))
    assert "Left out: Fracture (none of NIH's 14 findings is a fracture)." in screen


def pictures():
    from chestxray.reporting import plots

    names = ("intervals", "roc", "precision-recall", "subgroups", "reliability", "missed")
    return [plots.Picture(name, title=name, alternative=name, svg=b"<svg/>") for name in names]
