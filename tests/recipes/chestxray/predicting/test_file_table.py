"""What the screen and the file say, from numbers made by hand."""

import numpy as np
import pandas as pd
import pytest

from chestxray.predicting import file_table
from chestxray.predicting.file_table import FilePredictions, screen_text
from chestxray.scoring.calibration_file import PERCENTS, ModelCalibration

FINDINGS = ["Mass", "Hernia"]


def calibration(**others):
    """Mass with the threshold 0, and percentiles from -5 to 5; Hernia without calibration."""
    values = {
        "findings": FINDINGS,
        "sha256": "ab" * 32,
        "tta": "none",
        "datasets": ["Lakeside"],
        "synthetic": False,
        "n_images": 1234,
        "rule": "youden",
        "sensitivity": 0.9,
        "platt": np.array([[2.0, -1.0], [np.nan, np.nan]]),
        "limits": {rule: np.array([0.0, np.nan]) for rule in ("youden", "f1", "sensitivity")},
        "quantiles": np.stack([PERCENTS / 10 - 5] * 2),
    }
    return ModelCalibration(**{**values, **others})


def found(logits, errors=None, rule="youden", model=None, note=""):
    n = len(logits)
    rows = pd.DataFrame({"path": [f"scans/{i}.png" for i in range(n)], "error": errors or [""] * n})
    return FilePredictions(rows, np.array(logits, float), FINDINGS, "vit", "ab" * 32, rule, model, note)


def lines_of(text, word):
    return [line.split() for line in text.splitlines() if line.strip().startswith(word)]


def test_one_file_is_a_table_of_its_findings():
    text = screen_text(found([[1.0, -1.0]], model=calibration()))
    assert text.startswith("scans/0.png\n")
    assert lines_of(text, "Mass") == [["Mass", "0.731", "0.731", "yes", "60"]]
    assert lines_of(text, "Hernia") == [["Hernia", "0.269", "–", "–", "40"]]
    assert "come from 1,234 validation images of Lakeside" in text and "(rule: youden)" in text
    assert "synthetic" not in text and text.endswith("This is not a medical device, and no diagnosis.")


def test_some_files_have_their_calls_or_their_reason():
    text = screen_text(found([[1, -1], [-1, 1], [np.nan] * 2], ["", "", "it is empty"], model=calibration()))
    assert text.splitlines()[:6] == [
        "scans/0.png",
        "    called: Mass 0.731 (percentile 60)",
        "scans/1.png",
        "    called: none",
        "scans/2.png",
        "    not read: it is empty",
    ]


def test_a_call_without_calibration_has_its_percentile_alone():
    limits = {"youden": np.array([0.0, 0.0])}
    text = screen_text(found([[1, 1], [-1, -1]], model=calibration(limits=limits)))
    assert "    called: Mass 0.731 (percentile 60), Hernia (percentile 60)" in text


def test_without_thresholds_the_highest_are_shown_and_none_is_called():
    nothing = calibration(limits={"youden": np.full(2, np.nan)})
    for model, note in ((None, "Run score.py"), (nothing, "")):
        text = screen_text(found([[1, 2], [-1, -2]], rule="youden" if model else None, model=model, note=note))
        assert "    highest: Hernia 0.881, Mass 0.731" in text and "called" not in text
        assert note in text


def test_many_files_are_a_summary_with_the_first_reasons():
    n = file_table.SHOWN
    logits = [[1, 0]] * (n + 1) + [[np.nan] * 2] * (n + 2)
    text = screen_text(found(logits, [""] * (n + 1) + ["it is empty"] * (n + 2), model=calibration()))
    assert f"{n + 1} of {2 * n + 3} files were read." in text
    assert lines_of(text, "Mass") == [["Mass", "0.731", "0.731", str(n + 1)]]
    assert lines_of(text, "Hernia") == [["Hernia", "0.500", "–", "–"]]
    assert len(lines_of(text, "not read: ")) == n and "and 2 more, named in the column error" in text


def test_a_sensitivity_is_named():
    assert "(rule: sensitivity 0.9)" in screen_text(found([[1, 0]], rule="sensitivity", model=calibration()))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_file_has_a_row_per_file_and_empty_cells_for_what_is_unknown(tmp_path, form):
    path = file_table.write_file(found([[1, -1], [np.nan] * 2], ["", "no"], model=calibration()), tmp_path, form)
    table = pd.read_csv(path) if form == "csv" else pd.read_parquet(path)
    assert list(table) == ["path", "error"] + [
        f"{what}_{finding}" for finding in FINDINGS for what in ("prob", "calibrated", "call", "percentile")
    ]
    assert table["call_Mass"][0] == 1 and table["prob_Mass"][0] == pytest.approx(0.731059, abs=1e-6)
    assert table["calibrated_Hernia"].isna().all() and table.iloc[1, 2:].isna().all() and table["error"][1] == "no"
