"""What the page says of an answer, from numbers made by hand."""

import re

import numpy as np
import pandas as pd
import pytest

from chestxray.predicting import file_table
from chestxray.predicting.file_table import FilePredictions
from chestxray.reporting.heatmap_overlay import colour_maps
from chestxray.scoring.calibration_file import PERCENTS, ModelCalibration
from demo import result_page
from demo.answers import Answer

FINDINGS = ["Mass", "Hernia", "Edema"]


def calibration(**others):
    """Mass and Edema with thresholds; Hernia without calibration."""
    values = {
        "findings": FINDINGS,
        "sha256": "ab" * 32,
        "tta": "none",
        "datasets": ["Lakeside"],
        "synthetic": False,
        "n_images": 1234,
        "rule": "youden",
        "sensitivity": 0.9,
        "platt": np.array([[2.0, -1.0], [np.nan, np.nan], [1.0, -3.0]]),
        "limits": {"youden": np.array([0.0, np.nan, 0.0])},
        "quantiles": np.stack([PERCENTS / 10 - 5] * 3),
    }
    return ModelCalibration(**{**values, **others})


def answer(logits=(1, -1, 2), model=None, distance=None, heat=True, synthetic=None):
    found = FilePredictions(
        rows=pd.DataFrame({"path": ["scan.png"], "error": [""]}),
        logits=np.array([logits], float),
        findings=FINDINGS,
        model="vit",
        sha256="ab" * 32,
        rule=model.rule if model else None,
        calibration=model,
        synthetic=synthetic,
        distances=None if distance is None else np.array([distance]),
    )
    maps = colour_maps(np.eye(3, dtype=np.float32)[:, None], 8) if heat else None
    return Answer(found, np.zeros((16, 16), np.uint8), maps, margin=0.05)


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def rows(html):
    return [
        words(row).replace("\u00a0", " ")
        for row in re.findall(r'<(?:label|div) class="cx-row.*?</(?:label|div)>', html)
    ]


def test_called_findings_come_first_with_their_calibrated_values():
    page = result_page.answer_html(answer(model=calibration()), "scan.png")
    assert rows(page) == [
        "Edema above threshold percentile 70 27 %",
        "Mass above threshold percentile 60 73 %",
        "Hernia percentile 40 27 %*",
        "The picture alone",
    ]
    assert "* The model's own: too few validation images" in page and "Bars end at 100\u00a0%" in page
    assert "1,234 validation images of Lakeside" in page and page.count('class="cx-limit"') == 2


def test_the_chosen_heatmap_is_that_of_the_first_called_finding():
    assert 'value="2" checked' in result_page.answer_html(answer(model=calibration()), "a")
    assert 'value="none" checked' in result_page.answer_html(answer((-9, -9, -9), model=calibration()), "a")
    assert 'value="none" checked' in result_page.answer_html(answer(), "a"), "nothing is called without thresholds"


def test_without_calibration_the_values_are_the_models_own_and_said_to_be():
    page = result_page.answer_html(answer(), "scan.png")
    assert rows(page)[:3] == ["Edema 88 %", "Mass 73 %", "Hernia 27 %"]
    assert "The model's own probabilities, not calibrated" in page
    assert "no thresholds and no calibration" in page and "cx-limit" not in page


@pytest.mark.parametrize("distance, warns", [(3.2, True), (0.4, False), (None, False)])
def test_a_picture_of_another_kind_is_warned_of(distance, warns):
    page = result_page.answer_html(answer(distance=distance), "cat.jpg")
    assert (file_table.UNLIKE in page and "distance 3.2, the limit is 1" in page) == warns
    assert ("does not notice pictures that are no chest" in page) == (distance is None)


def test_the_heatmaps_lie_on_the_part_that_the_model_sees():
    page = result_page.answer_html(answer(), "a")
    assert page.count("left:5.000%;top:5.000%;width:90.000%") == 3
    plain = result_page.answer_html(answer(heat=False), "a")
    assert "cx-heat" not in plain and 'type="radio"' not in plain and result_page.NO_MAPS in plain


def test_words_of_a_visitor_have_no_meaning_for_the_page():
    name = '<img src=x onerror=alert(1)>${alert(1)}{{alert}}`"'
    for page in (result_page.answer_html(answer(), name), result_page.sentence_html(name)):
        assert not re.search(r"<img src=x|\$\{|\{\{|`", page)


def test_the_head_says_no_device_and_synthetic_where_it_is():
    drawn = result_page.head_html(answer(synthetic=True).found)
    assert "not a medical device" in drawn and "synthetic images and knows no radiograph" in drawn
    assert "synthetic" not in result_page.head_html(answer(model=calibration()).found)


def test_bars_end_at_a_round_number_above_all_values():
    page = result_page.answer_html(answer((-3.2, -4, -5)), "a")
    assert "Bars end at 5.0\u00a0%" in page and 'style="width:78' in page
