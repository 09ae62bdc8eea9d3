"""Types of command-line flags that refuse a wrong value before any work is done, and the hint after a wrong name."""

import difflib
import math
from argparse import ArgumentTypeError
from collections.abc import Iterable


def positive(text: str) -> int:
    """A whole number above 0, as `type` of an argparse flag.

    Raises:
        ArgumentTypeError: anything else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def share(text: str) -> float:
    """A number above 0 and below 1, as `type` of an argparse flag.

    Raises:
        ArgumentTypeError: anything else.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise ArgumentTypeError(f"{text} is no number above 0 and below 1")
    return number


def nearest(name: object, names: Iterable[str], flag: bool = False) -> str:
    """The end of an error message: ". Did you mean NAME?" Empty if no name is similar. flag: write NAME as a flag.

    >>> nearest("epoch", ["epochs", "seed"]), nearest("image_sise", ["image_size"], flag=True), nearest("x", ["seed"])
    ('. Did you mean epochs?', '. Did you mean --image-size?', '')
    """
    found = difflib.get_close_matches(str(name), list(names), 1)
    return f". Did you mean {'--' + found[0].replace('_', '-') if flag else found[0]}?" if found else ""
