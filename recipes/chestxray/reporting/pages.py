"""A page as a list of blocks, spelt in Markdown or as one HTML file that needs nothing else.

A block is a Heading, a Paragraph, Warnings, a `tables.Table`, or else a picture: an object with `name`, `title`,
`alternative` (a text for those who do not see it) and `svg` (bytes).
"""

import base64
from dataclasses import dataclass
from html import escape

from chestxray.reporting.tables import Table

CSS = """
:root { color-scheme: light dark; --ink: #1c2128; --soft: #57606a; --line: #d0d7de; --page: #fff; --band: #f6f8fa;
        --warn: #fff8c5; }
@media (prefers-color-scheme: dark) { :root { --ink: #d1d7e0; --soft: #9198a1; --line: #3d444d; --page: #0d1117;
        --band: #151b23; --warn: #3a3000; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 68rem;
       margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
.warning { background: var(--warn); border-left: 4px solid #d4a72c; padding: .5rem 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; } thead th { background: var(--band); } tbody th { font-weight: normal; }
table.mean tbody tr:last-child > * { font-weight: 600; border-top: 2px solid var(--soft); }
figure { margin: 1.5rem 0; } figure img { width: 100%; height: auto; } figcaption { color: var(--soft); }
"""


@dataclass
class Heading:
    text: str
    level: int = 2


@dataclass
class Paragraph:
    text: str


@dataclass
class Warnings:
    """Sentences that must not be overlooked."""

    sentences: list


def markdown(blocks, folder="figures"):
    """GitHub's Markdown; pictures are links into `folder`, where the caller writes them as NAME.svg."""
    return "\n\n".join(filter(None, (block_markdown(block, folder) for block in blocks))) + "\n"


def block_markdown(block, folder):
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Warnings):
        return "\n>\n".join(f"> {sentence}" for sentence in block.sentences)
    if isinstance(block, Table):
        return block.markdown()
    return f"![{block.title}. {block.alternative}]({folder}/{block.name}.svg)"


def html(blocks, title):
    """One file: style and pictures lie in it."""
    body = "\n".join(block_html(block) for block in blocks)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def block_html(block):
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Warnings):
        return "".join(f'<p class="warning">{escape(sentence)}</p>' for sentence in block.sentences)
    if isinstance(block, Table):
        return block.html()
    data = base64.b64encode(block.svg).decode()
    alternative = escape(f"{block.title}. {block.alternative}", quote=True)
    image = f'<img src="data:image/svg+xml;base64,{data}" alt="{alternative}">'
    return f"<figure>{image}<figcaption>{escape(block.title)}</figcaption></figure>"
