"""A script that somebody stops ends with one line, the status that a shell expects, and nothing half written."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

from conftest import ROOT

BEGIN = """
import os, signal, sys, threading, time
sys.path.insert(0, {recipes!r})
from chestxray.files import whole_file
from chestxray.stopping import errors_in_one_line, stop_in_one_line
if __name__ == "__main__":
    stop_in_one_line("work.py")
"""
WORK = """
    with whole_file("out/a.txt") as part:
        part.write_text("half")
        print("begun", flush=True)
        time.sleep(60)
"""
STUCK = """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])  # another thread gets it, as inside of C
    print("begun", flush=True)
    time.sleep(60)
"""
DEAF = """
    while True:
        try:
            print("begun", flush=True)
            time.sleep(60)
        except BaseException:
            raise RuntimeError("another error, as of a library that cleans up")
"""
PARENT = """
    if not os.fork():
        time.sleep(60)
        sys.stderr.write("no child outlives its parent")
    print("begun", flush=True)
    time.sleep(60)
"""
YOUNG = """
    handler = signal.getsignal(signal.SIGINT)
    if not os.fork():
        signal.signal(signal.SIGINT, handler)  # as right after the fork
        print("begun", flush=True)
        time.sleep(60)
        sys.stderr.write("no child outlives its parent")
    time.sleep(60)
"""
BARS = """
    from tqdm import tqdm
    outer, inner = tqdm(total=9, desc="Outer", leave=True), tqdm(total=9, desc="Inner")
    print("begun", flush=True)
"""
FAIL = """
    def work():
        for number in tqdm(range(9), desc="Third"):
            if number == 3:
                raise {error}
    with errors_in_one_line("work.py", ZeroDivisionError):
        work()
"""
ROW = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture
def begin(tmp_path):
    """`begin(code)` starts a script in a group of its own, and returns it when it is at work."""
    started = []

    def start(code, **environment):
        (tmp_path / "work.py").write_text(BEGIN.format(recipes=str(ROOT / "recipes")) + code)
        process = subprocess.Popen(
            [sys.executable, "work.py"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        return process

    yield start
    for process in started:
        process.kill()


def stop(process, number):
    """Send a signal to the whole group, as a terminal does. Returns what was said."""
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    return said


@pytest.mark.parametrize("number", ROW)
@pytest.mark.parametrize("code", [WORK, STUCK, DEAF], ids=["work", "stuck", "deaf"])
def test_it_ends_in_one_line_with_the_status_of_a_shell(begin, tmp_path, code, number):
    process = begin(code)
    assert stop(process, number) == "\nwork.py: stopped. Start the same command again to go on.\n"
    assert process.returncode == ROW[number]
    assert [path.name for path in tmp_path.iterdir()] == ["work.py"], "neither half a file nor an empty folder"


@pytest.mark.parametrize("code", [PARENT, YOUNG], ids=["settled", "young"])
def test_the_processes_that_it_has_forked_end_with_it(begin, code):
    process = begin(code)
    (child,) = psutil.Process(process.pid).children()
    assert stop(process, signal.SIGINT).count("\n") == 2
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_only_the_first_of_several_processes_says_it(begin):
    assert stop(begin(WORK, RANK="1"), signal.SIGTERM) == ""


def test_a_second_ctrl_c_ends_it_at_once(begin):
    slow = WORK.replace("time.sleep(60)", "\n        ".join(["try: time.sleep(60)", "finally: time.sleep(60)"]))
    process = begin(slow)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr.readline() == "\n" and "stopped" in process.stderr.readline()
    stop(process, signal.SIGINT)
    assert process.returncode == 130


def screen(said):
    """The lines that a terminal shows at the end: a carriage return goes back to the first column, `A` goes up."""
    lines, row, column = [""], 0, 0
    for part in re.split(r"(\r|\n|\x1b\[A)", said):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
            column = 0
        elif part == "\x1b[A":
            row -= 1
        elif part == "\r":
            column = 0
        elif part:
            old = lines[row].ljust(column)
            lines[row], column = old[:column] + part + old[column + len(part) :], column + len(part)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("error", ['ValueError("no such file")', "ZeroDivisionError('no such file')"])
def test_an_error_is_one_line_below_the_progress_bars(begin, error):
    process = begin(BARS + FAIL.format(error=error))
    _, said = process.communicate(timeout=60)
    lines = screen(said)
    assert lines[-1] == "work.py: no such file"
    assert all(line.startswith(("Outer: ", "Inner: ", "Third: ")) for line in lines[:-1])
    assert process.returncode == 1


def test_a_traceback_of_another_error_begins_below_the_progress_bars(begin):
    _, said = begin(BARS + FAIL.format(error="RuntimeError('a fault')")).communicate(timeout=60)
    assert "Traceback (most recent call last):" in screen(said) and screen(said)[-1] == "RuntimeError: a fault"


def test_ctrl_c_is_told_below_the_progress_bars(begin):
    lines = screen(stop(begin(BARS + WORK), signal.SIGINT))
    assert [line[:6] for line in lines] == ["Outer:", "Inner:", "work.p"]
    assert lines[-1] == "work.py: stopped. Start the same command again to go on."
