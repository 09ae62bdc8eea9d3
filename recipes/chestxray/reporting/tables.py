"""One table of text, spelt for a terminal, for Markdown and for HTML."""

import math
from dataclasses import dataclass
from html import escape


@dataclass
class Table:
    """Rows of strings under a header; the first column names the row, the others are figures.

    `last_is_mean` sets the last row off from the others.
    """

    header: list
    rows: list
    last_is_mean: bool = False

    def text(self):
        cells = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.header))]
        lines = [
            "  ".join(
                f"{cell:{'<' if not column else '>'}{widths[column]}}" for column, cell in enumerate(row)
            ).rstrip()
            for row in cells
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines.insert(1, rule)
        if self.last_is_mean:
            lines.insert(-1, rule)
        return "\n".join(lines)

    def markdown(self):
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)

    def html(self):
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
            for row in self.rows
        )
        kind = ' class="mean"' if self.last_is_mean else ""
        return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(value, digits=3):
    """A figure as text; what is undefined is a dash.

    >>> figure(0.81725), figure(float("nan"))
    ('0.817', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def between(low, high):
    return "–" if low is None or math.isnan(low) else f"{low:.3f} to {high:.3f}"
