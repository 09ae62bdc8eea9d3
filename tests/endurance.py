"""Kill the commands at random moments, start them again, and compare their end with a run that nobody disturbed.

    python tests/endurance.py --kills 100                                      every job, 100 kills each
    python tests/endurance.py --kills 100 --job publish --job dicom            of two jobs
    python tests/endurance.py --kills 4 --job finetune --seed 3 --folder DIR   other moments, another folder
    python tests/endurance.py --kills 20 --signal INT                          Ctrl-C; TERM is Slurm's

For each job the command is run twice undisturbed, which must give the same files. Then each trial begins in an empty
folder: the command is started and killed (SIGKILL, with all processes that it has started), and started again; by
chance that start is killed too. The last start is left to its end. Its files must be those of the undisturbed run, byte
for byte; `TIMES` in endurance_jobs.py names what may differ, and why.

Half of the moments are even over the undisturbed run, half over the part of it that writes. They depend on the job,
the signal, the seed and the trial's number only. A start is a fork of a process with all libraries imported, so the
time that is killed is the command's own. After a stop the same command goes on with the next trial. The table:

    kills        the command was running
    clean        of another --signal: status and one line say so, and no unfinished file is left
    at work      it had written something since it was started
    mid-file     an unfinished file lay there
    ends         trials whose last start ended with status 0, after a kill at least
    went on      of these, how many found a part of the work finished
    identical    of these, how many have the undisturbed run's files

The exit status is 1 where an end is missing or not identical. Such a trial's folder is kept.
"""

import argparse
import atexit
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from multiprocessing import connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from tqdm.auto import tqdm

from chestxray.files import claim_folder
from conftest import ROOT
from endurance_jobs import JOBS, TIMES, digest_files, make_given

SIGNALS = {"KILL": signal.SIGKILL, "INT": signal.SIGINT, "TERM": signal.SIGTERM}
EARLIEST = 0.5  # seconds after which a script has begun, so that it can answer a signal
POLL = 0.01  # seconds between looks at whether the undisturbed run has begun to write
AGAIN = 0.5  # how often the start after a kill is killed too
SECONDS = 600  # that a start may take
UNFINISHED = (".writing", ".incomplete", "/tmp")  # in the names of unfinished files, ours and those of `datasets`
RECORDS = "trials.jsonl"


@dataclass
class Trial:
    """What came of a trial; the numbers are of its kills."""

    job: str
    signal: str
    seed: int
    number: int
    kills: int = 0
    clean: int = 0
    at_work: int = 0
    mid_file: int = 0
    ends: int = 0
    went_on: int = 0
    identical: int = 0
    words: str = ""


COLUMNS = [field.name for field in fields(Trial) if field.type is int and field.name not in ("seed", "number")]


@dataclass(frozen=True)
class Undisturbed:
    """How long the run took, when it began to write, in seconds, and what it left: {path: SHA-256}."""

    seconds: float
    begins: float
    files: dict

    def draw_moment(self, chance):
        """When to kill, in seconds after the start."""
        return chance.uniform(0 if chance.random() < 0.5 else self.begins, self.seconds)


class Place:
    """The folder of a job's trials, always the same: some files name it."""

    def __init__(self, name, folder):
        self.job, self.given = JOBS[name], folder / "given"
        self.folder = folder / name / "trial"
        self.scratch = Path(tempfile.gettempdir(), f"endure-{os.getpid()}")  # short: sockets lie in it
        make_given(self.job, self.given)

    def begin(self):
        for folder in (self.folder, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.job.begin(self.given, self.folder)

    def start(self):
        return self.job.start(self.given, self.folder, self.scratch)

    def files(self):
        """{path: (size, time)} of what lies there now."""
        found = {}
        for path in self.folder.rglob("*"):
            try:
                if path.is_file():
                    found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
            except FileNotFoundError:  # it was moved just now
                continue
        return found


def wait(started, seconds):
    """Whether all processes have ended by then."""
    until = time.monotonic() + seconds
    waiting = [each.process.sentinel for each in started]
    while waiting and (left := until - time.monotonic()) > 0:
        waiting = [sentinel for sentinel in waiting if sentinel not in connection.wait(waiting, left)]
    return not waiting


def disturb(started, number):
    """Send a signal to the processes and to all that they have started. Returns how the first one of them ended."""
    for each in started:
        each.signal_group(number)
        if number == signal.SIGKILL:
            each.process.kill()  # it may not have its group yet
    return [each.finish() for each in started][0]


def is_clean(done, number):
    """Whether the status and the last line say that somebody has stopped it, and nothing else says so."""
    last = (done.stderr.splitlines() or [""])[-1]
    return done.returncode == 128 + number and ": stopped. " in last and "Traceback" not in done.stderr


def finish(started):
    """(status, what was printed) of the last start. If it hangs it is killed."""
    if not wait(started, SECONDS):
        disturb(started, signal.SIGKILL)
    done = [each.finish() for each in started]
    words = "".join(each.stdout + each.stderr for each in done)
    return next((each.returncode for each in done if each.returncode), 0), words


def run_undisturbed(place):
    """Run the command once, and look when it begins to write."""
    place.begin()
    before, begins = place.files(), 0.0
    started, since = place.start(), time.monotonic()
    while not begins and not wait(started, POLL):
        begins = (place.files() != before) * (time.monotonic() - since)
    status, words = finish(started)
    if status:
        raise SystemExit(f"{place.job.script} did not end well, and nobody has disturbed it:\n{words}")
    return Undisturbed(time.monotonic() - since, begins, digest_files(place.folder))


def read_undisturbed(place):
    """The undisturbed run, from an earlier start of this tool or from two runs that must be alike."""
    path = place.folder.with_name("undisturbed.json")
    if not path.exists():
        first, second = run_undisturbed(place), run_undisturbed(place)
        if unlike := differences(first.files, second.files):
            raise SystemExit(f"{place.job.script} gives other files each time, undisturbed: {unlike}")
        path.write_text(json.dumps(asdict(second)))
    return Undisturbed(**json.loads(path.read_text()))


def differences(found, expected):
    """The paths that are not in both with the same content, in one line."""
    return ", ".join(sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name)))


def run_trial(place, undisturbed, trial):
    """Kill and start again until an end, and fill in the trial."""
    chance, number = random.Random(f"{trial.seed} {trial.job} {trial.signal} {trial.number}"), SIGNALS[trial.signal]
    place.begin()
    while not trial.kills or chance.random() < AGAIN:
        before, started = place.files(), place.start()
        moment = undisturbed.draw_moment(chance)
        if wait(started, moment if number == signal.SIGKILL else max(moment, EARLIEST)):
            break
        done = disturb(started, number)
        if not done.returncode:  # it has ended just before
            break
        note_stop(place, trial, done, before, place.files())
    else:
        started = place.start()
    judge(place, undisturbed, trial, *finish(started))


def note_stop(place, trial, done, before, after):
    """Count a kill: what it found, and what it left."""
    number, left = SIGNALS[trial.signal], [name.removeprefix(str(place.folder)) for name in after]
    unfinished = [name for name in left if any(part in name for part in UNFINISHED) and not name.endswith(".lock")]
    trial.kills += 1
    trial.at_work += after != before
    trial.mid_file += bool(unfinished)
    if number != signal.SIGKILL:
        trial.clean += is_clean(done, number) and not unfinished
        if not is_clean(done, number) or unfinished:
            trial.words += f"not clean, status {done.returncode}: {done.stderr[-1500:]} {unfinished}\n"


def judge(place, undisturbed, trial, status, words):
    """Compare the end of a trial with the undisturbed run's; keep its folder if it is another."""
    unlike = differences(digest_files(place.folder), undisturbed.files)
    if trial.kills and not status:
        trial.ends, trial.went_on, trial.identical = 1, int(place.job.goes_on in words), int(not unlike)
    if status or unlike:
        trial.words += f"status {status}: {words[-2000:]}" if status else f"not identical: {unlike}"
        kept = place.folder.with_name(f"trial-{trial.seed}-{trial.number}")
        shutil.rmtree(kept, ignore_errors=True)
        place.folder.rename(kept)


def run_job(name, kills, seed, sent, folder):
    """The trials of a job until there are so many kills, those of earlier starts included."""
    place, records = Place(name, folder), folder / RECORDS
    atexit.register(shutil.rmtree, place.scratch, ignore_errors=True)
    undisturbed, trials = read_undisturbed(place), read_trials(records, name, sent, seed)
    with tqdm(total=kills, initial=min(kills, sum(trial.kills for trial in trials)), desc=name, unit=" kills") as bar:
        while sum(trial.kills for trial in trials) < kills:
            trial = Trial(name, sent, seed, len(trials))
            run_trial(place, undisturbed, trial)
            trials.append(trial)
            with open(records, "a") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
            bar.update(trial.kills)
            if trial.words:
                tqdm.write(f"{name}, trial {trial.number}: {trial.words}")
    return trials


def read_trials(records, name, sent, seed):
    lines = records.read_text().splitlines() if records.exists() else []
    trials = [Trial(**json.loads(line)) for line in lines]
    return [trial for trial in trials if (trial.job, trial.signal, trial.seed) == (name, sent, seed)]


def print_table(found):
    """A line for each job."""
    print("| job | trials | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |")
    print("| --- |" + " ---: |" * (len(COLUMNS) + 1))
    for name, trials in found.items():
        sums = [sum(getattr(trial, column) for trial in trials) for column in COLUMNS]
        print(f"| {name} | {len(trials)} | " + " | ".join(map(str, sums)) + " |")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each job")
    parser.add_argument("--job", choices=JOBS, action="append", help="by default all; may be given several times")
    parser.add_argument("--signal", choices=SIGNALS, default="KILL")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "endurance", help="a new one for changed code")
    asked = parser.parse_args(argv)
    _claim = claim_folder(asked.folder)
    found = {}
    for name in asked.job or JOBS:
        found[name] = run_job(name, asked.kills, asked.seed, asked.signal, asked.folder.resolve())
    print_table(found)
    print("Not compared:", *(f"{pattern}: {why}" for pattern, _, why in TIMES), sep="\n  ")
    return any(trial.words for trials in found.values() for trial in trials)


if __name__ == "__main__":
    raise SystemExit(main())
