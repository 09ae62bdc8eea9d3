"""The commands that `endurance.py` kills: what each is given, how it is started, and what of its end is a time."""

import importlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import forks
from conftest import ROOT

SAMPLE = ROOT / "data" / "sample"
RECIPES = ROOT / "recipes"
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
MODEL = "resnet.json"
TRAINING = (  # all that has a state of its own, or draws random numbers
    *("--epochs", 3, "--batch-size", 32, "--train-images", 192, "--ema", 0.9, "--mixup", 0.2, "--clip", 1),
    *("--randaugment", 6, "--label-smoothing", 0.1, "--checkpoint-steps", 2, "--num-proc", 1),
)
DICOMS = 240
FAST = ("images_per_second", "waiting_share")  # figures of an epoch that tell how fast the machine was


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        script: in recipes/.
        flags: from (what is given, the trial's folder) to the words behind it.
        needs: names in GIVEN besides `sample`, made once and only read.
        begin: fills the trial's folder, which is empty otherwise.
        own_cache: whether the cache of `datasets` lies in the trial's folder, so that it is compared.
        processes: 1 or 2, which know of each other.
        goes_on: words of a start that has found something finished.
    """

    script: str
    flags: Callable
    needs: tuple = ()
    begin: Callable = lambda given, folder: None
    own_cache: bool = False
    processes: int = 1
    goes_on: str = "finished already"

    def start(self, given, folder, scratch):
        """The processes of the command, each with a group of its own."""
        environment = {
            **{"HF_HOME": folder / "cache" if self.own_cache else given / "cache", "TMPDIR": scratch},
            **{"HF_HUB_OFFLINE": 1, "OMP_NUM_THREADS": 1, "ACCELERATE_USE_CPU": "true"},
        }
        path, flags = RECIPES / self.script, [str(flag) for flag in self.flags(given, folder)]
        if self.processes == 2:
            return forks.start_two(path, flags, own_group=True, **environment)
        return [forks.Script(path, flags, own_group=True, **environment)]


def publish(form, processes=1):
    more = ("--format", form, "--num-proc", processes)
    return lambda given, folder: (given / "sample", folder / "out", "--sizes", 128, 256, *more)


def train(*more):
    def flags(given, folder):
        return (
            "--dataset",
            given / "sample",
            "--model",
            given / "model" / MODEL,
            *more,
            "--output-dir",
            folder / "run",
        )

    return flags


def copy_checkpoint(given, folder):
    shutil.copytree(given / "checkpoint", folder / "run")


JOBS = {
    "publish": Job("publish.py", publish("parquet")),
    "publish-tar": Job("publish.py", publish("webdataset")),
    "publish-processes": Job("publish.py", publish("parquet", processes=2)),
    "dicom": Job(
        "dicom_to_jpeg.py",
        lambda given, folder: (given / "dicoms", folder / "out", "--num-proc", 1),
        needs=("dicoms",),
    ),
    "cache": Job(
        "finetune.py",
        train("--epochs", 0, "--num-proc", 1),
        needs=("model",),
        own_cache=True,
    ),
    "cache-processes": Job(
        "finetune.py",
        train("--epochs", 0, "--num-proc", 2),
        needs=("model",),
        own_cache=True,
    ),
    "finetune": Job("finetune.py", train(*TRAINING), needs=("model", "cache"), goes_on="Going on from step"),
    "finetune-processes": Job(
        "finetune.py",
        train(*TRAINING),
        needs=("model", "cache"),
        processes=2,
        goes_on="Going on from step",
    ),
    "score": Job(
        "score.py",
        lambda given, folder: (folder / "run",),
        needs=("model", "cache", "checkpoint"),
        begin=copy_checkpoint,
    ),
    "predict": Job(
        "predict.py",
        lambda given, folder: (given / "checkpoint", given / "sample" / "images", "--output-dir", folder / "out"),
        needs=("model", "cache", "checkpoint"),
    ),
    "explain": Job(
        "explain.py",
        lambda given, folder: (folder / "run",),
        needs=("model", "cache", "checkpoint"),
        begin=copy_checkpoint,
    ),
    "export": Job(
        "export.py",
        lambda given, folder: (given / "checkpoint", folder / "out" / "model.onnx"),
        needs=("model", "cache", "checkpoint"),
    ),
}


# What the commands are given


def copy_sample(given, folder):
    """Some files name the folder of the archive, so it is not the clone's."""
    shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)


def write_model(given, folder):
    (folder / MODEL).write_text(json.dumps(RESNET | {"image_size": 32}))


def write_dicoms(given, folder):
    importlib.import_module("recipes.test_dicom_to_jpeg").archive(folder, DICOMS)


def fill_cache(given, folder):
    """The cache that all jobs share which do not write one."""
    run_once(JOBS["finetune"], given, "--epochs", 0, "--num-proc", 1)


def train_checkpoint(given, folder):
    run_once(JOBS["finetune"], given, *TRAINING).rename(folder / "run")
    shutil.copytree(folder / "run", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoints"))
    shutil.rmtree(folder / "run")


def run_once(job, given, *flags):
    """Run a training to its end. Returns its folder."""
    once = given / "once"
    shutil.rmtree(once, ignore_errors=True)
    environment = {"HF_HOME": given / "cache", "HF_HUB_OFFLINE": 1, "ACCELERATE_USE_CPU": "true"}
    done = forks.run(RECIPES / job.script, *train(*flags)(given, once), **environment)
    if done.returncode:
        raise SystemExit(f"{job.script} did not end well:\n{done.stderr}")
    return once / "run"


GIVEN = {
    "sample": copy_sample,
    "model": write_model,
    "dicoms": write_dicoms,
    "cache": fill_cache,
    "checkpoint": train_checkpoint,
}


def make_given(job, given):
    """Make what a job needs, unless it is there."""
    for name in ("sample", *job.needs):
        finished = given / f"{name}.finished"
        if not finished.exists():
            shutil.rmtree(given / name, ignore_errors=True)
            (given / name).mkdir(parents=True)
            GIVEN[name](given, given / name)
            finished.touch()


# The end of a command


def digest_files(folder):
    """{path below the folder: SHA-256} of all files, without what tells how long something took."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        rule = next((rule for pattern, rule, _ in TIMES if re.search(pattern, name)), Path.read_bytes)
        content = rule(path)
        if content is not None:
            found[name] = sha256(content).hexdigest()
    return found


def leave_out(path):
    return None


def epochs_without_speed(path):
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    kept = [number for number, name in enumerate(header) if name not in FAST]
    return repr([[row[number] for number in kept] for row in (header, *rows)]).encode()


def checkpoint_without_speed(path):
    from chestxray.training.checkpoints import read_facts, read_tensors

    facts, tensors = read_facts(path), read_tensors(path)
    facts["scores"] = [
        {name: value for name, value in row.items() if name not in FAST} for row in facts.get("scores", [])
    ]
    content = repr(facts).encode()
    return content + b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))


TIMES = [  # (pattern of a path, what is compared, why not its bytes)
    (r"epochs\.csv$", epochs_without_speed, "two columns say how fast the machine was"),
    (r"checkpoints/.*\.safetensors$", checkpoint_without_speed, "it keeps the same two figures"),
    (r"\.lock$", leave_out, "an empty file by which `datasets` keeps two processes apart"),
]
