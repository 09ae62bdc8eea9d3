"""The page of a scorecard: names stay names, and each rule has its words."""

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest

from chestxray.data import predictions
from chestxray.reporting import model_card, pages, plots, score_page
from chestxray.scoring import scorecard, thresholds

FINDINGS = ["A|B", "<i>c</i>", "[e](http://example.org)"]


@pytest.fixture(scope="module")
def card():
    """A scorecard whose findings, dataset and rival have hostile names."""
    rng, n = np.random.default_rng(0), 400
    rows = pd.DataFrame({"image_file_path": [f"images/{number:08}_000.png" for number in range(n)]})
    rows["split"], rows["patient"] = np.repeat(["validation", "test"], n // 2), [f"{number:08}" for number in range(n)]
    rows["sex"], rows["view"] = rng.choice(["F", "M"], n), rng.choice(["PA", "<u>AP</u>"], n)
    targets = (rng.random((n, 3)) < 0.3).astype(float)
    about = {"dataset": "<b>Some|where</b>", "source": "someone/else"}
    about["models"] = [{"checkpoint": "<m>", "sha256": "ab" * 32, "tta": "none"}]
    table = predictions.Predictions(rows, rng.normal(size=targets.shape) + targets, targets, FINDINGS, about)
    with matplotlib.rc_context():
        return scorecard.make(table, rival=table)


@pytest.fixture(scope="module")
def pictures(card):
    with matplotlib.rc_context():
        return plots.draw(card)


def test_no_name_adds_html_a_link_or_a_cell_to_the_markdown(card, pictures):
    for page in (score_page.markdown(card, pictures), model_card.model_card([card]).split("\n---\n", 1)[1]):
        page = page.replace(model_card.MARK, "")
        assert not re.search(r"(?<!\\)<[a-z/]", page) and "[e](" not in page
        tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
        assert tables
        for table in tables:
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_no_name_adds_html_to_the_html(card, pictures):
    page = score_page.html(card, pictures)
    assert not re.search(r"<(b|i|u|m)>", page)
    for name in ("&lt;b&gt;Some|where&lt;/b&gt;", "&lt;i&gt;c&lt;/i&gt;", "view: &lt;u&gt;AP&lt;/u&gt;"):
        assert name in page


def test_every_sentence_of_the_markdown_is_in_the_html(card, pictures):
    page, text = score_page.html(card, pictures), score_page.markdown(card, pictures)
    for line in text.splitlines():
        if line and line[0].isalpha() and "\\" not in line:
            assert line in page.replace("&#39;", "'").replace("&#34;", '"'), line


def test_every_rule_has_its_name_and_its_words():
    words = {pages.sentences("rule.jinja", rule=rule, sensitivity="0.9") for rule in thresholds.RULES}
    assert len(words) == len(thresholds.RULES) and all(words)
    assert set(score_page.RULE_NAMES) == set(thresholds.RULES)
