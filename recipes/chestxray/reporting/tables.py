"""One table of text, for a terminal and for Markdown; a template writes it in HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from chestxray.reporting.markdown_text import escape_markdown


@dataclass
class Table:
    """Rows of strings under a header; the first column names the row, the others hold figures.

    `last_is_mean` sets the last row apart from the others.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    last_is_mean: bool = False

    def text(self) -> str:
        """Columns of equal width, for a terminal."""
        cells = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.header))]
        lines = [text_line(row, widths) for row in cells]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines.insert(1, rule)
        if self.last_is_mean:
            lines.insert(-1, rule)
        return "\n".join(lines)

    def markdown(self) -> Markup:
        """GitHub's Markdown; cells that are `Markup` are Markdown already."""
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return Markup("\n".join(f"| {' | '.join(map(escape_markdown, line))} |" for line in lines))


def text_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right."""
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]).rstrip()


def figure(value: float | None, digits: int = 3) -> str:
    """A figure as text; what is undefined is a dash.

    >>> figure(0.81725), figure(float("nan"))
    ('0.817', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def between(low: float | None, high: float | None) -> str:
    """An interval as text, or a dash.

    >>> between(0.80, 0.84)
    '0.800 to 0.840'
    """
    return "–" if low is None or math.isnan(low) else f"{low:.3f} to {high:.3f}"


def p_value(p: float) -> str:
    """A p-value as text.

    >>> p_value(0.0004), p_value(0.25)
    ('< 0.001', '0.250')
    """
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
