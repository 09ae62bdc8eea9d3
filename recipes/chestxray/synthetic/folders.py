"""The folder of a synthetic archive: it belongs to one command, and several processes fill it."""

import csv
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from chestxray.files import write
from chestxray.machine import cores

MARK = "SYNTHETIC.txt"  # the notice; by this file the builders recognise a synthetic archive
NOTICE = """\
This archive is synthetic: every picture was drawn by {file}, none shows a person, and scores reached on it say \
nothing of radiographs. It was made by

    {command}
"""
Rows = TypeVar("Rows")


def claim(out: Path, file: str, command: str) -> None:
    """Write the notice into the folder of an archive, and make the folder.

    Args:
        file: the module that draws the archive, as a path; command: the command that makes it.

    Raises:
        FileExistsError: the folder holds another archive, or files but no notice.
    """
    notice, content = out / MARK, NOTICE.format(file=file, command=command)
    if notice.exists() and notice.read_text() != content:
        other = notice.read_text().strip().splitlines()[-1].strip()
        raise FileExistsError(f"{out} holds the archive of `{other}`, not that of `{command}`: choose another folder")
    if not notice.exists() and out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} holds files but no {MARK}: choose an empty folder")
    write(notice, content)


def draw_patients(draw: Callable[[int], Rows], patients: int, num_proc: int | None) -> list[Rows]:
    """`draw(number)` for patients 1 to `patients`, in order. num_proc: processes, one per core by default."""
    num_proc = num_proc or cores()
    # Spawned, not forked: a caller that has imported PyTorch has threads, and its fork may hang.
    pool = ProcessPoolExecutor(num_proc, get_context("spawn")) if num_proc > 1 else nullcontext()
    with pool as workers:
        numbers = range(1, patients + 1)
        rows = workers.map(draw, numbers, chunksize=4) if workers else map(draw, numbers)
        return list(tqdm(rows, "synthetic patients", patients))


def csv_bytes(header: str, rows: Iterable[Iterable]) -> bytes:
    """A table as the bytes of a CSV file. header: its first line with the newline, or nothing."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return (header + text.getvalue()).encode()
