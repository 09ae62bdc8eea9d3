"""What this machine has, and how a process uses its memory."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # how threads of OpenMP wait for each other
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of glibc's mallopt, malloc.h


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sleep_while_waiting() -> None:
    """Let threads that wait for others sleep, unless the user says how they wait. Call it before PyTorch is imported.

    Threads that spin take the cores that the others need. ResNet-18, 16 images of 160 pixels, two threads on two cores
    that other processes use too: a step took 5.7 s and 2.5 s of CPU as it was, 2.9 s and 0.7 s with this and
    channels_last; one thread took 2.2 s and 0.8 s (AMD EPYC, torch 2.15, 2026-11). On idle cores: not measured.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def use_all_cores() -> None:
    """Give PyTorch this process's share of the cores, if Accelerate's launcher has given it one thread unasked.

    The launcher sets OMP_NUM_THREADS to 1 where there is no GPU and nobody says otherwise. OMP_NUM_THREADS and the
    launcher's --num_cpu_threads_per_process win.
    """
    if os.environ.get("OMP_NUM_THREADS") == "1" and "ACCELERATE_MIXED_PRECISION" in os.environ and is_unasked():
        import torch

        share = cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, share))


def is_unasked() -> bool:
    """Whether the user of the launcher, this process's parent, named no number of threads. False if it is unknown."""
    try:
        environment, command = launcher()
    except (psutil.Error, OSError):
        return False
    return "OMP_NUM_THREADS" not in environment and not any("num_cpu_threads" in word for word in command)


def launcher() -> tuple[dict[str, str], list[str]]:
    """(the environment, the command) with which the parent of this process was started."""
    parent = psutil.Process(os.getppid())
    return parent.environ(), [word.replace("-", "_") for word in parent.cmdline()]


def keep_freed_memory() -> None:
    """Let this process keep the memory that a step frees for the next step, if its C library is glibc.

    glibc gives blocks of more than 32 MB back to the kernel. The next step gets them anew, and the kernel clears every
    page: 26% to 32% of the processor time of EfficientNet-Lite0's training at 160 pixels (`vmstat`, two runs at once).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_MAX, 0)  # take all blocks from the heap
    mallopt(TRIM_THRESHOLD, -1)  # and never shrink it


class FileMap(NamedTuple):
    """A part of a file that lies in this process's memory: bytes `offset` and following are at `begin` to `end`."""

    begin: int
    end: int
    offset: int
    inode: int
    path: str


def mapped_files(paths: Iterable[str]) -> list[FileMap]:
    """Where these files are mapped to be read, see proc_pid_maps(5); [] where there is no /proc."""
    try:
        lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    except OSError:
        return []
    files = {os.path.realpath(path) for path in paths}
    found = [line for line in lines if len(line) == 6 and line[1].startswith("r--") and line[5] in files]
    return [as_file_map(*line) for line in found]


def as_file_map(span: str, _rights: str, offset: str, _device: str, inode: str, path: str) -> FileMap:
    """The cells of a line of /proc/self/maps."""
    begin, _, end = span.partition("-")
    return FileMap(int(begin, 16), int(end, 16), int(offset, 16), int(inode), path)
