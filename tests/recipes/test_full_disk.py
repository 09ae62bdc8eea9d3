"""A full disk, a closed folder, a limit of files, a second start: one line, nothing half written, and it goes on.

Disks are mounted, which needs root; elsewhere a limit on the size of files stands for a full disk.
"""

import os
import subprocess

import pytest

import forks
from conftest import ROOT
from endurance_jobs import JOBS, make_given

LIMITED = """
import os, resource, runpy, sys
kind, most, *sys.argv = sys.argv[1:]
resource.setrlimit(getattr(resource, kind), (int(most), resource.getrlimit(getattr(resource, kind))[1]))
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
WRITERS = ("publish", "dicom", "cache", "finetune", "score", "predict", "explain", "export")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return tmp_path_factory.mktemp("given")


@pytest.fixture
def start(given, tmp_path):
    """`start(name, folder, limit)` runs a command whose files go to a folder; see `endurance_jobs`."""
    (tmp_path / "limited.py").write_text(LIMITED)

    def run(name, folder, *limit):
        job = JOBS[name]
        home = folder / "cache" if job.own_cache else given / "cache"
        words = [ROOT / "recipes" / job.script, *job.flags(given, folder)]
        return forks.run(
            *((tmp_path / "limited.py", *limit) if limit else ()), *words, HF_HOME=home, ACCELERATE_USE_CPU="true"
        )

    return run


@pytest.fixture
def disk(tmp_path):
    """`disk("300k")` mounts a disk of that size; `disk("300k", "ro")` makes it one to read from."""
    if os.name != "posix" or os.geteuid():
        pytest.skip("needs root, to mount a disk")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode and not mounted:
            pytest.skip(f"needs a mount: {done.stderr}")
        mounted.append(place)
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", place], check=True)


def begin(name, given, folder):
    make_given(JOBS[name], given)
    JOBS[name].begin(given, folder)
    return files_of(folder)


def files_of(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def refused(done, name, *words):
    """The last line of a start that was refused."""
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    line = done.stderr.replace("\r", "\n").splitlines()[-1].rpartition(f"{JOBS[name].script}: ")[2]
    assert all(word in line for word in words), line
    return line


@pytest.mark.parametrize("name", WRITERS)
def test_where_a_file_does_not_fit_one_line_says_so_and_the_same_command_goes_on(name, start, given, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    begin(name, given, folder)
    refused(start(name, folder, "RLIMIT_FSIZE", 2000), name, "larger than a file may be here", "start again")
    left = [path.name for path in files_of(folder) if path.name.endswith(".writing") or path.name.startswith("tmp")]
    assert not left, "a file is half written"
    done = start(name, folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name, size", [("publish", "300k"), ("finetune", "40k"), ("cache", "300k"), ("dicom", "300k")])
def test_a_full_disk_is_named_and_keeps_nothing_half_written(name, size, start, given, disk):
    place = disk(f"size={size}")
    begin(name, given, place)
    refused(start(name, place), name, f"The disk of {place}", "is full", "Make room and start again")
    assert not [path for path in files_of(place) if path.name.endswith(".writing")]
    disk("remount,size=50m")
    done = start(name, place)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["publish", "finetune", "score", "predict", "explain", "export", "dicom"])
def test_a_closed_folder_is_named_before_the_work(name, start, given, disk):
    place = disk("size=50m")
    before = begin(name, given, place)
    disk("remount,ro,size=50m")
    done = start(name, place)
    refused(done, name, str(place), "cannot be written", "Choose another folder")
    assert files_of(place) == before and "step/s" not in done.stderr


def test_a_failed_start_leaves_no_folder(start, given, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    begin("finetune", given, folder)
    (given / "sample").rename(given / "away")
    try:
        done = start("finetune", folder)
    finally:
        (given / "away").rename(given / "sample")
    assert done.returncode == 1 and not list(folder.iterdir())


def test_too_few_open_files_are_said_in_one_line(start, given, tmp_path):
    begin("cache", given, tmp_path)
    refused(start("cache", tmp_path, "RLIMIT_NOFILE", 18), "cache", "Too many files are open", "ulimit -n")


@pytest.mark.parametrize("name", ["publish", "finetune"])
def test_a_second_start_beside_a_running_one_is_refused_and_does_not_harm_it(name, start, given, tmp_path):
    folder, claimed = tmp_path / "work", tmp_path / "claimed.py"
    folder.mkdir()
    begin(name, given, folder)
    output = folder / ("out" if name == "publish" else "run")
    claimed.write_text(
        "import sys, time\nfrom chestxray.files import claim_folder\nclaim = claim_folder(sys.argv[1])\n"
        "print('begun', flush=True)\ntime.sleep(600)\n"
    )
    running = forks.Script(claimed, [output])
    while "begun" not in open(running.out.name).read():
        assert running.is_running()
    refused(start(name, folder), name, f"another process writes {output}")
    assert running.is_running() and not files_of(folder)
    running.kill()
    assert start(name, folder).returncode == 0, "the claim of a killed process is none"
