"""A table is the same cells in a terminal and in Markdown, whatever the names in them hold."""

import doctest
import re

from markupsafe import Markup

from chestxray.reporting import markdown_text, tables
from chestxray.reporting.tables import Table

HOSTILE = ["A|B", "<script>x</script>", "[here](http://example.org)", "`code`", "two\nlines", "back\\|slash"]


def cells(line):
    """A row of a Markdown table, cut where a reader of Markdown cuts it."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]


def test_no_name_breaks_a_markdown_table_or_adds_html_or_a_link():
    text = Table(["finding", "AUROC"], [[name, "0.5"] for name in HOSTILE]).markdown()
    lines = text.splitlines()
    assert len(lines) == 2 + len(HOSTILE)
    assert all(len(cells(line)) == 2 for line in lines)
    assert not re.search(r"(?<!\\)[<`\[]", text)


def test_a_name_without_marks_is_written_as_it_is():
    assert "| Pleural_Thickening | 0.5 |" in Table(["finding", "AUROC"], [["Pleural_Thickening", "0.5"]]).markdown()


def test_a_cell_that_is_markdown_already_stays():
    assert "| `full` | 5 |" in Table(["folder", "rows"], [[Markup("`full`"), "5"]]).markdown()


def test_columns_of_a_terminals_table_end_at_the_same_place_and_the_mean_is_set_apart():
    lines = Table(["finding", "n"], [["Mass", "1,000"], ["Hernia", "3"], ["mean", ""]], last_is_mean=True).text()
    lines = lines.splitlines()
    assert lines[0] == "finding      n" and lines[2] == "Mass     1,000" and lines[3] == "Hernia       3"
    assert set(lines[1]) == set(lines[4]) == {"-"} and lines[5] == "mean"


def test_the_docstrings_examples_run():
    for module in (tables, markdown_text):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed
