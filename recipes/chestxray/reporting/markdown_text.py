"""Names as Markdown text. The name of a finding or a dataset is shown as it is, and never acts as Markdown."""

import re
from typing import Any

from markupsafe import Markup

MARKS = re.compile(r"[\\`<|\[\]]")  # code, HTML, a table's next cell, a link


def escape_markdown(value: object) -> Markup:
    r"""Any value as Markdown on one line; what is `Markup` already stays as it is.

    >>> print(escape_markdown("Mass | <b>\nPleural_Thickening"))
    Mass \| \<b> Pleural_Thickening
    """
    if isinstance(value, Markup):
        return value
    return Markup(MARKS.sub(r"\\\g<0>", " ".join(str(value).split())))


def escape_values(value: Any) -> Any:
    """The same for every string within dicts and lists; other values stay as they are."""
    if isinstance(value, dict):
        return {name: escape_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape_values(item) for item in value]
    return escape_markdown(value) if isinstance(value, str) else value
