"""Pages from templates: one text, as Markdown, as HTML or as plain words for a terminal.

A template has the words, and Python gives the values. Every value is escaped for its page. Blocks such as a heading or
a table are macros in `blocks.md.jinja` and `blocks.html.jinja`.
"""

import base64
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chestxray.reporting.markdown_text import escape_markdown
from chestxray.reporting.tables import figure

TEMPLATES = Path(__file__).with_name("templates")


def one_line(text: str) -> str:
    """A paragraph without the line breaks of its template."""
    return type(text)(" ".join(text.split()))


def environment(**options) -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )
    templates.filters |= {"figure": figure, "count": "{:,}".format, "one_line": one_line, "base64": base64_text}
    return templates


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


MARKDOWN = environment(autoescape=True, finalize=escape_markdown)
HTML = environment(autoescape=True)
TEXT = environment(autoescape=False)


def markdown(template: str, **values: Any) -> Markup:
    """A template in GitHub's Markdown, with one blank line between blocks."""
    return tidy(MARKDOWN.get_template(template).render(values, spelling="blocks.md.jinja"))


def tidy(text: str) -> Markup:
    """Markdown with single blank lines."""
    return Markup(re.sub(r"\n\s*\n", "\n\n", text).strip() + "\n")


def markdown_sentences(template: str, **values: Any) -> Markup:
    """A template without blocks, as a part of a Markdown page."""
    return Markup(one_line(MARKDOWN.get_template(template).render(values)))


def html(template: str, **values: Any) -> str:
    """A template as one HTML file that needs no other file: it holds its style and pictures."""
    page = HTML.get_template("page.html.jinja").render(values, body=template, spelling="blocks.html.jinja")
    return re.sub(r"\n\s*\n", "\n", page) + "\n"


def sentences(template: str, **values: Any) -> str:
    """A template without blocks as plain words, for a terminal."""
    return one_line(TEXT.get_template(template).render(values))
