"""What is damaged is refused by name, read right, or another valid input: some hundreds of cases of `faults.py`."""

import os
import re
import time
from pathlib import Path

import pytest

import faults
import forks
from conftest import ROOT

CASES = 260


def test_damaged_files_are_refused_by_name_or_read_right(tmp_path):
    command = [ROOT / "tests" / "faults.py", "--cases", CASES, "--seed", 0]
    done = forks.run(*command, TMPDIR=tmp_path, HF_HOME=tmp_path / "hf")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"^([\w-]+): (\d+) right, (\d+) refused, (\d+) other, 0 FAULT$", done.stdout, re.MULTILINE)
    assert [part for part, *_ in counts] == list(faults.PARTS)
    assert sum(int(count) for _, *classes in counts for count in classes) == CASES
    assert all(int(refused) > 0 for _, _, refused, _ in counts)


class Careless:
    """A reader with one fault, which its damaged file brings out."""

    def __init__(self, fault):
        self.fault = fault

    def make(self, folder):
        (folder / "a.txt").write_bytes(b"whole")

    def read(self, folder, out):
        return self.strictly(folder, None) if folder.name == "whole" else self.fault(out)

    def strictly(self, folder, whole):
        return (folder / "a.txt").read_bytes()


def fail(error):
    def fault(out):
        raise error

    return fault


@pytest.mark.parametrize(
    "fault, words",
    [
        (lambda out: time.sleep(3600), "no answer in 5 s"),
        (lambda out: os._exit(3), "the process ended"),
        (lambda out: bytearray(2 * faults.MEMORY), "MemoryError"),
        (lambda out: (out.parent / "stray").touch(), "left ['stray'] outside of the output folder"),
        (lambda out: b"made up", "not what the files say"),
        (fail(KeyError("a.txt")), "builtins.KeyError"),
        (fail(ValueError("something is wrong with some file")), "ValueError: something is wrong"),
        (fail(ValueError("a.txt is\nwrong")), "ValueError: a.txt is\nwrong"),
    ],
    ids=["hang", "crash", "memory", "stray", "wrong", "bare", "nameless", "lines"],
)
def test_the_tool_finds_every_kind_of_fault(tmp_path, monkeypatch, fault, words):
    monkeypatch.setattr(faults, "SECONDS", 5)
    monkeypatch.setitem(faults.PARTS, "careless", Careless(fault))
    (tmp_path / "whole").mkdir()
    Careless(fault).make(tmp_path / "whole")
    ((number, verdict, said),) = faults.run("careless", 0, [7], tmp_path / "whole", tmp_path / "log")
    assert (number, verdict) == (7, "FAULT") and words in said


@pytest.mark.parametrize(
    "error, verdict",
    [
        (ValueError("a.txt, line 3: no number"), "refused"),
        (FileNotFoundError("a.txt is not there"), "refused"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a.txt"), "FAULT"),
        (faults.zipfile.BadZipFile("a.txt"), "FAULT"),
        (faults.struct.error("a.txt"), "FAULT"),
        (faults.json.JSONDecodeError("a.txt", "", 0), "FAULT"),
        (faults.predictions.pa.ArrowInvalid("a.txt"), "FAULT"),
    ],
)
def test_only_a_line_of_our_own_that_names_a_file_is_a_refusal(tmp_path, error, verdict):
    Path(tmp_path, "a.txt").touch()
    assert faults.refusal(error, tmp_path)[0] == verdict
