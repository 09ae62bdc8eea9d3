"""Types of command-line flags that refuse a wrong value before any work is done, and the hint after a wrong name."""

import difflib
import math
import re
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterable
from pathlib import Path


class Parser(ArgumentParser):
    """A parser that shows a script's docstring as it stands, and answers a wrong flag or value with one line.

    The line names the flag or the value that is nearest to a misspelt one.
    """

    def __init__(self, description: str | None, **options):
        super().__init__(description=description, formatter_class=RawDescriptionHelpFormatter, **options)

    def parse_args(self, args=None, namespace=None):
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            wrong = next((word for word in unknown if word.startswith("--")), "").partition("=")[0]
            names = [re.sub("^--", "", flag).replace("-", "_") for flag in self._option_string_actions]
            hint = nearest(wrong.removeprefix("--").replace("-", "_"), names, flag=True) if wrong else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}{nearest_choice(message)} (--help lists the flags)\n")


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


def nearest_choice(message: str) -> str:
    """The same for argparse's message about a value that is no choice of its flag; empty for its other messages.

    >>> nearest_choice("argument --method: invalid choice: 'gradcam' (choose from cam, grad-cam)")
    '. Did you mean grad-cam?'
    """
    found = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)$", message)
    return nearest(found[1], re.split(r"[', ]+", found[2])) if found else ""


def nearest_path(path: str | Path) -> str:
    """The same for a path that is not there: the most similar name in its folder."""
    folder = Path(path).parent
    names = [place.name for place in folder.iterdir()] if folder.is_dir() else []
    found = difflib.get_close_matches(Path(path).name, names, 1)
    return f". Did you mean {folder / found[0]}?" if found else ""
