"""A wrong value of a flag is refused by name; a wrong name gets a hint."""

import doctest
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


def test_the_docstrings_examples_run():
    assert doctest.testmod(flags) == (0, 1)
