"""The number of cores is what this process may use, and under a launcher its share of them."""

import ast
import os
import subprocess
import sys

import psutil
import pytest
import torch

from chestxray import machine
from chestxray.machine import cores
from conftest import ROOT


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_only_the_cores_that_this_process_may_use_count():
    allowed = os.sched_getaffinity(0)
    assert cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_without_affinity_all_cores_count_and_at_least_one(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


# Threads under Accelerate's launcher


@pytest.fixture
def launched(monkeypatch):
    """`launched(environment, *command)` makes this process look like a child of that launcher; returns the threads."""
    before = torch.get_num_threads()
    monkeypatch.setattr(machine, "cores", lambda: 6)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def use(environment, *command):
        torch.set_num_threads(1)
        monkeypatch.setattr(machine, "launcher", lambda: (environment, list(command)))
        machine.use_all_cores()
        return torch.get_num_threads()

    yield use
    torch.set_num_threads(before)


def test_a_launcher_that_was_told_nothing_leaves_all_cores_to_its_processes(launched, monkeypatch):
    assert launched({}) == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert launched({}) == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert launched({}) == 1


def test_the_number_of_threads_that_the_user_gave_wins(launched, monkeypatch):
    assert launched({"OMP_NUM_THREADS": "1"}) == 1
    assert launched({}, "accelerate", "launch", "--num_cpu_threads_per_process=1") == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert launched({}) == 1, "what PyTorch made of it stays"


def test_without_a_launcher_nothing_changes(launched, monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION")
    assert launched({}) == 1


def test_a_parent_that_cannot_be_read_is_taken_for_a_user_who_asked(launched, monkeypatch):
    def refuse():
        raise psutil.AccessDenied

    assert launched({}) == 6
    monkeypatch.setattr(machine, "launcher", refuse)
    assert not machine.is_unasked()


CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from chestxray import machine; print(machine.launcher())"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]])"


def test_the_launcher_is_the_process_that_started_this_one():
    command = [sys.executable, "-c", PARENT, str(ROOT / "recipes"), CHILD]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NAME_OF_PARENT": "yes"})
    environment, words = ast.literal_eval(done.stdout)
    assert environment["NAME_OF_PARENT"] == "yes" and words[1] == "_c", done.stderr


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(monkeypatch):
    for name in machine.WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "100")
    machine.sleep_while_waiting()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    machine.sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    machine.sleep_while_waiting()
    assert os.environ.pop("OMP_WAIT_POLICY") == "PASSIVE"
