"""Types of command-line flags that refuse a value before any work is done."""

import difflib
import math
from argparse import ArgumentTypeError


def positive(text):
    """A whole number above 0, for the flags of other scripts."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def share(text):
    """A number above 0 and below 1, for the flags of other scripts."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise ArgumentTypeError(f"{text} is no number above 0 and below 1")
    return number


def nearest(name, names, flag=False):
    """ ", did you mean NAME?" or, where no name is like it, nothing."""
    found = difflib.get_close_matches(str(name), names, 1)
    return f". Did you mean {'--' + found[0].replace('_', '-') if flag else found[0]}?" if found else ""
