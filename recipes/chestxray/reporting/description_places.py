"""The places in a card that a program fills: `<!-- begin: splits -->…<!-- end -->`."""

import re
from collections.abc import Mapping

PLACE = re.compile(r"(<!-- begin: ([\w-]+) -->)(.*?)(<!-- end -->)", re.DOTALL)


def fill_places(card: str, blocks: Mapping[str, str]) -> str:
    """The card's text with every block in its place. A place without a block stays as it is.

    Raises ValueError for a block that has no place in the card.
    """
    if missing := [name for name in blocks if f"<!-- begin: {name} -->" not in card]:
        raise ValueError(f"The card has no place <!-- begin: NAME -->…<!-- end --> for {', '.join(missing)}")
    return PLACE.sub(lambda place: place[1] + blocks.get(place[2], place[3]) + place[4], card)


def outdated_places(card: str, blocks: Mapping[str, str]) -> list[str]:
    """Names of the blocks that the card does not have, or has with another content."""
    found: dict[str, list[str]] = {}
    for _, name, content, _ in PLACE.findall(card):
        found.setdefault(name, []).append(content)
    return [name for name, content in blocks.items() if set(found.get(name, [None])) != {content}]
