"""A wrong value of a flag is refused by name; a wrong name gets a hint."""

import doctest
import re
from argparse import ArgumentTypeError

import pytest

from chestxray import flags


def test_a_positive_number_is_whole_and_above_zero():
    assert flags.positive("1") == 1 and flags.positive("120") == 120


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "²"])
def test_anything_else_is_no_positive_number(text):
    with pytest.raises(ArgumentTypeError, match=f"{text} is no whole number above 0"):
        flags.positive(text)


def test_a_share_lies_between_zero_and_one():
    assert flags.share("0.9") == 0.9 and flags.share("1e-3") == 0.001


@pytest.mark.parametrize("text", ["0", "1", "-0.5", "90%", "nan", "inf", ""])
def test_anything_else_is_no_share(text):
    with pytest.raises(ArgumentTypeError, match=f"{text} is no number above 0 and below 1"):
        flags.share(text)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (["--method", "gradcam"], "argument --method: invalid choice: 'gradcam' .*Did you mean grad-cam\\?"),
        (["--metod", "cam"], "unrecognized arguments: --metod cam. Did you mean --method\\?"),
        (["--method", "zzz"], "invalid choice: 'zzz' \\(choose from .*\\) \\(--help"),
    ],
)
def test_a_wrong_flag_or_value_is_answered_with_one_line_that_names_the_nearest(line, answer, capsys):
    parser = flags.Parser("What it does.")
    parser.add_argument("--method", choices=("cam", "grad-cam"))
    with pytest.raises(SystemExit, match="^2$"):
        parser.parse_args(line)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and re.search(answer, shown)


def test_the_docstrings_examples_run():
    assert doctest.testmod(flags) == (0, 2)
