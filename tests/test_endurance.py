"""Killed at random moments and started again, a command ends as if nothing had happened: a few kills of each."""

import re

import pytest

import endurance
import endurance_jobs
from endurance_jobs import Job

JOBS = ("dicom", "finetune")  # the cheap ones; test_publish.py kills another
KILLS = 2  # of each


def test_killed_commands_end_with_the_files_of_an_undisturbed_run(tmp_path, capsys):
    jobs = [word for job in JOBS for word in ("--job", job)]
    status = endurance.main([*jobs, "--kills", str(KILLS), "--folder", str(tmp_path / "work")])
    printed = capsys.readouterr().out
    assert status == 0, printed
    rows = re.findall(r"^\| ([\w-]+) " + 8 * r"\| (\d+) " + r"\|$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == list(JOBS)
    for _, trials, kills, _, _, _, ends, _, identical in rows:
        assert int(kills) >= KILLS and int(trials) > 0
        assert int(ends) == int(identical) > 0


CARELESS = """
import random, sys, time
from pathlib import Path
out = Path(sys.argv[1])
begun = out.exists()
out.mkdir(exist_ok=True)
(out / "a.txt").write_text("whole")
{fault}
time.sleep(0.4)
"""
FAULTS = {  # what a second start does, and what the tool says of it
    "other bytes": ('(out / "a.txt").write_text("other" if begun else "whole")', "not identical: out/a.txt"),
    "something left": ('(out / "left").write_text("") if begun else None', "not identical: out/left"),
    "no end": ("sys.exit('it cannot go on') if begun else None", "status 1: it cannot go on"),
}


@pytest.mark.parametrize("fault, words", FAULTS.values(), ids=FAULTS)
def test_the_tool_finds_a_command_that_does_not_go_on_right(tmp_path, monkeypatch, fault, words):
    (tmp_path / "careless.py").write_text(CARELESS.format(fault=fault))
    monkeypatch.setattr(endurance_jobs, "RECIPES", tmp_path)
    monkeypatch.setitem(endurance.JOBS, "careless", Job("careless.py", lambda given, folder: (folder / "out",)))
    trials = endurance.run_job("careless", 1, 0, "KILL", tmp_path / "work")
    found = [trial for trial in trials if trial.words]
    assert found and words in found[0].words and not found[0].identical
    assert (tmp_path / "work" / "careless" / f"trial-0-{found[0].number}").is_dir(), "it is kept"


def test_moments_depend_on_the_seed_and_the_number_of_the_trial_alone():
    undisturbed = endurance.Undisturbed(10.0, 4.0, {})
    moments = [undisturbed.draw_moment(endurance.random.Random(f"0 job KILL {number}")) for number in range(400)]
    again = [undisturbed.draw_moment(endurance.random.Random(f"0 job KILL {number}")) for number in range(400)]
    assert moments == again and 0 <= min(moments) < 1 and 9 < max(moments) <= 10
    assert sum(moment > 4 for moment in moments) / 400 == pytest.approx(0.8, abs=0.08), "more of them while it writes"
