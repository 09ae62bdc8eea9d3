"""A template's page: its words once, every value escaped for the page it goes to."""

import jinja2
import pytest

from chestxray.reporting import pages

HOSTILE = "<b>Mass</b> | [x](http://example.org)"
SUMMARY = {
    "mean": {"auroc": 0.8125},
    "interval": "0.800 to 0.820",
    "n_defined": 13,
    "n_findings": 14,
    "n_units": 1200,
    "n_images": 1200,
    "n_patients": 400,
    "units": "images",
    "level": "image",
    "official": False,
    "views": [],
}


def test_a_sentence_is_one_line_in_words_and_in_markdown():
    words = pages.sentences("summary.jinja", **SUMMARY)
    assert words == (
        "Mean AUROC 0.812, 95% interval 0.800 to 0.820, over 13 of 14 findings, on 1,200 images of 400 patients."
    )
    assert pages.markdown_sentences("summary.jinja", **SUMMARY) == words


def test_values_are_escaped_in_markdown_and_not_in_words():
    values = {"rival": HOSTILE, "rival_notes": []}
    assert HOSTILE in pages.sentences("comparison.jinja", **values)
    assert r"\<b>Mass\</b> \| \[x\](http://example.org)" in pages.markdown_sentences("comparison.jinja", **values)


def test_a_value_that_is_missing_is_an_error_and_no_gap_in_the_page():
    with pytest.raises(jinja2.UndefinedError, match="n_findings"):
        pages.sentences("summary.jinja", **{name: value for name, value in SUMMARY.items() if name != "n_findings"})


def test_blocks_have_one_blank_line_between_them():
    assert pages.tidy("# Title\n\n\n\ntext\n  \n\nmore\n\n") == "# Title\n\ntext\n\nmore\n"
