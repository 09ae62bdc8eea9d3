"""The runs of an ablation: who does which, in processes of their own, each with its log."""

import csv
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chestxray.data import exposure
from chestxray.files import write
from chestxray.training.ablation_plan import PlannedRun
from chestxray.training.settings_files import refuse_other_settings

PREDICTIONS = "validation.parquet"
LOOK_AGAIN = 5.0  # seconds between two looks at runs that other processes do
PATIENCE = 30.0  # seconds that a run has to end when it is asked to
FOLDERS = re.compile(r"(?<![\w:/])[~.\w-]*/(?:[^\s/:,;'\"]+/)*(?=[^\s/])")


def beside(run: PlannedRun, suffix: str) -> Path:
    """A file beside the run's folder: its `.log`, its `.lock`, or `.failed` with its last line."""
    return run.folder.with_name(run.folder.name + suffix)


def predictions_file(run: PlannedRun) -> Path:
    return run.folder / PREDICTIONS


def is_trained(run: PlannedRun) -> bool:
    return (run.folder / "all_results.json").exists()


def is_finished(run: PlannedRun) -> bool:
    return is_trained(run) and predictions_file(run).exists()


def failure_of(run: PlannedRun) -> str | None:
    """The last line of a run that failed, None if it did not."""
    path = beside(run, ".failed")
    return path.read_text(encoding="utf-8").strip() if path.exists() and not is_finished(run) else None


def refuse_other_runs(runs: Sequence[PlannedRun]) -> None:
    """Raise ValueError if a finished run was made with other settings than the plan has now."""
    for run in runs:
        if is_trained(run):
            refuse_other_settings(run.folder, run.settings)


# Who does what


def do_runs(
    runs: Sequence[PlannedRun],
    command: Sequence[str],
    predict: Callable[[PlannedRun], None],
    tell: Callable[[int, str], None],
    keep_checkpoints: bool = False,
) -> None:
    """Do every run that nobody does, until all are finished or have failed. A run that failed before is tried once.

    Args:
        command: starts finetune.py; the flags of a run follow.
        predict: writes the validation predictions of a trained run.
        tell: is called with the number of runs that are over and the name of the one that begins, or "".
    """
    failed_before = {run.folder for run in runs if failure_of(run)}

    def is_over(run):
        return is_finished(run) or run.folder not in failed_before and failure_of(run) is not None

    def report(name):
        tell(sum(map(is_over, runs)), name)

    report("")
    while left := [run for run in runs if not is_over(run)]:
        done = [run for run in left if do_run(run, command, predict, report, keep_checkpoints, is_over)]
        failed_before -= {run.folder for run in done}
        report("")
        if not done:
            time.sleep(LOOK_AGAIN)  # others do what is left


def do_run(run, command, predict, report, keep_checkpoints, is_over) -> bool:
    """Train and predict, if nobody else does. Returns whether it was done here, well or not."""
    with claim(beside(run, ".lock")) as lock:
        if lock is None or is_over(run):
            return False
        report(f"{run.name}, seed {run.seed}")
        with open(beside(run, ".log"), "a", encoding="utf-8") as log:
            failure = train(run, command, log, lock) or predict_quietly(run, predict, log)
        if failure:
            write(beside(run, ".failed"), failure + "\n")
        else:
            beside(run, ".failed").unlink(missing_ok=True)
            if not keep_checkpoints:
                remove_checkpoint(run.folder)
        return True


@contextmanager
def claim(path: Path) -> Iterator[IO | None]:
    """The open file that claims a run, None if somebody else has it.

    The claim is a lock of the kernel (flock) on an empty file. The kernel releases it when the last process that holds
    it has died, and the run's own process holds it too. NFS passes such locks between machines from version 4 on.

    Raises:
        OSError: the disk knows no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            raise OSError(
                f"{path} cannot be locked ({error.strerror}): give each terminal its own runs, by --only"
            ) from None
        yield file


# One run


def train(run: PlannedRun, command: Sequence[str], log: IO, lock: IO) -> str:
    """Run finetune.py to its end. Returns why it failed, or ""."""
    if is_trained(run):
        return ""
    words, began = [*command, *run.flags], log.tell()
    log.write(f"$ {' '.join(words)}\n")
    log.flush()
    try:
        # a session of its own: the terminal's Ctrl-C does not reach it, `stop` ends all its processes
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lock.fileno()], start_new_session=True
        )
    except OSError as error:
        return f"{command[0]} does not start: {error.strerror}"
    try:
        status = process.wait()
    except BaseException:
        stop(process)
        raise
    return "" if is_trained(run) else last_line(Path(log.name), began) or f"ended with status {status}"


def stop(process: subprocess.Popen) -> None:
    """End a run and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(PATIENCE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def predict_quietly(run: PlannedRun, predict: Callable[[PlannedRun], None], log: IO) -> str:
    """Predict validation. Returns why it failed, or ""."""
    if is_finished(run):
        return ""
    try:
        predict(run)
    except (ValueError, OSError, RuntimeError) as error:
        log.write(f"{type(error).__name__}: {error}\n")
        return without_folders(str(error).partition("\n")[0])
    return ""


def last_line(log: Path, began: int) -> str:
    """What a run said last: finetune.py's own error line, or else the last line. began: where it begins in the log."""
    with open(log, "rb") as file:
        file.seek(began)
        lines = re.split(r"[\r\n]+", file.read().decode(errors="replace").strip())
    errors = [line for line in lines if line.startswith("finetune.py: ")]
    return without_folders([*lines[-1:], *errors][-1])


def without_folders(text: str) -> str:
    """A line with only the last part of each path, because others may read it.

    >>> without_folders("finetune.py: /home/someone/nih/list.txt, line 3: no image")
    'finetune.py: list.txt, line 3: no image'
    """
    return FOLDERS.sub("", text)


def remove_checkpoint(folder: Path) -> None:
    """Remove the weights of a finished run; its results, settings and predictions stay."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for weights in folder.glob("*.safetensors"):
        weights.unlink(missing_ok=True)


@dataclass(frozen=True)
class Facts:
    """What a finished run says of itself: its best epoch, the seconds of its training steps, its training images."""

    best_epoch: int
    seconds: float
    train_images: int


def facts_of(run: PlannedRun) -> Facts:
    """The facts of a finished run, from its files."""
    seen = exposure.read(run.folder)
    images = len(seen.images) if seen else 0
    with open(run.folder / "epochs.csv", newline="") as file:
        seconds = sum(images / float(row["images_per_second"]) for row in csv.DictReader(file))
    results = json.loads((run.folder / "all_results.json").read_text(encoding="utf-8"))
    return Facts(results["best_epoch"], seconds, images)
