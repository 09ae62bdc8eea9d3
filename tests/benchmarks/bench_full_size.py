"""Every stage of the project on an archive of NIH's size: time, memory, disk, and what 1024 pixels would take.

    python tests/benchmarks/bench_full_size.py OUT                     all stages that OUT has no figures of yet
    python tests/benchmarks/bench_full_size.py OUT --stages builder    these stages, again
    python tests/benchmarks/bench_full_size.py OUT --images 2000       a small archive, to try the tool

The archive has NIH's names, tables and lists (`--nih`). Its images are variations of other images (`--sources`): each
file gets one of them, chosen, moved, turned and changed in contrast by its name, 256 × 256 grey PNG. They do not show
the patients that the tables name, so every score is chance and means nothing. The archive has the mark SYNTHETIC.txt.

Each stage is a process of its own. For all its processes together the table gives:
    wall, CPU   seconds; the CPU's of the processes that ended by themselves or were killed by this tool
    peak        the largest sum of their resident memory; a page that several of them map counts once
    anonymous   the largest sum of what is not a page of a file: the part that the kernel cannot drop
    disk        bytes that the stage added to OUT
Stages that have ended are in OUT/stages.json and are not run again. `make` and `publish` go on where they were stopped,
other stages begin again. OUT takes about 11 GB, and about 20 GB with "cache 224" and "publish tar", which run only if
--stages names them.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import time
import zlib
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
RECIPES, SHARED = ROOT / "recipes", ROOT.parent / "shared"
METADATA, BOXES, LISTS = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", ("train_val_list.txt", "test_list.txt")
SIDE = 256
LOOK = 2  # seconds between two looks at memory
KILL_AFTER = 100  # steps, at which the first checkpoint is written
RUN = ("--model", "test_resnet", "--pretrained", "false", "--image-size", "64", "--batch-size", "256", "--epochs", "1")


def main():
    arguments = parse()
    if arguments.inside:
        return INSIDE[arguments.inside](arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = arguments.out / "stages.json"
    figures = json.loads(record.read_text()) if record.exists() else {}
    wanted = arguments.stages or [name for name in DEFAULT if name not in figures]
    for name in tqdm(wanted, desc="Stages", unit="stage"):
        tqdm.write(f"{name} …")
        figures[name] = STAGES[name](arguments)
        record.write_text(json.dumps(figures, indent=2))
        tqdm.write(json.dumps(figures[name]))
    print(report(arguments, figures))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, help="the folder for archive, caches and results; outside of the repository")
    add("--stages", nargs="+", choices=STAGES, help="run these, also if they have ended before")
    add("--images", type=int, help="files of the archive; by default all that the lists name")
    add("--nih", type=Path, default=SHARED / "nih", help="NIH's tables, and some images at 1024 pixels to compare with")
    add(
        "--sources",
        type=Path,
        nargs="+",
        default=[SHARED / "real" / "256", SHARED / "real" / "128"],
        help="folders of PNG, or of Parquet with a column image, that the files are variations of",
    )
    add("--num-proc", type=int, default=len(os.sched_getaffinity(0)))
    add("--inside", choices=INSIDE, help=argparse.SUPPRESS)  # a stage within its own process
    add("--side", type=int, help=argparse.SUPPRESS)  # of that stage's cache
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    return arguments


# The archive


def make_archive(arguments):
    """Write tables and images; an image that is there stays."""
    names = write_tables(arguments.nih, arguments.out / "nih", arguments.images)
    folder = arguments.out / "nih" / "images"
    folder.mkdir(exist_ok=True)
    there = {entry.name for entry in os.scandir(folder)}
    missing = [name for name in names if name not in there]
    sources = read_sources(arguments.sources)
    with Pool(arguments.num_proc, initializer=keep_sources, initargs=(sources,)) as pool:
        jobs = pool.imap_unordered(partial(write_variation, folder=folder), missing, chunksize=100)
        for _ in tqdm(jobs, total=len(missing), desc="Archive", unit="image"):
            pass


def write_tables(nih, folder, images):
    """NIH's tables and lists, cut to some images of both lists. Returns the images' names."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = {name: (nih / name).read_text().split() for name in LISTS}
    total = sum(map(len, lists.values()))
    step = total / min(images or total, total)
    kept = {table: [names[int(at)] for at in np.arange(0, len(names), step)] for table, names in lists.items()}
    wanted = {name for names in kept.values() for name in names}
    for table, names in kept.items():
        (folder / table).write_text("\n".join(names))
    for table in (METADATA, BOXES):
        header, *rows = (nih / table).read_bytes().splitlines(keepends=True)
        rows = [row for row in rows if row.partition(b",")[0].decode() in wanted]
        (folder / table).write_bytes(header + b"".join(rows))
    (folder / "SYNTHETIC.txt").write_text("Variations of other images under NIH's names, for load tests.\n")
    return sorted(wanted)


def read_sources(folders):
    """Every image of the folders once, (n, SIDE, SIDE) uint8 grey. Of images of the same name the first counts."""
    found = {}
    for folder in folders:
        for name, data in encoded_images(folder):
            if name not in found:
                grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
                found[name] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if not found:
        raise SystemExit(f"no PNG or Parquet files in {', '.join(map(str, folders))}; name others by --sources")
    return np.stack(list(found.values()))


def encoded_images(folder):
    for path in sorted(folder.glob("*.png")):
        yield path.name, path.read_bytes()
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(500, columns=["image_file_path", "image"]):
            for row in batch.to_pylist():
                yield row["image_file_path"], row["image"]["bytes"]


def keep_sources(sources):
    global _sources
    _sources = sources
    cv2.setNumThreads(1)


def write_variation(name, folder):
    part = folder.with_name("unfinished") / f"{os.getpid()}"
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(cv2.imencode(".png", vary(name), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
    part.replace(folder / name)


def vary(name):
    """One of the sources as (SIDE, SIDE) uint8, changed by random numbers that come from the file's name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    image = _sources[random.integers(len(_sources))]
    middle = (SIDE / 2, SIDE / 2)
    matrix = cv2.getRotationMatrix2D(middle, random.uniform(-5, 5), random.uniform(0.95, 1.05))
    matrix[:, 2] += random.uniform(-8, 8, 2)
    moved = cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return cv2.convertScaleAbs(moved, alpha=random.uniform(0.85, 1.15), beta=random.uniform(-10, 10))


# Stages within a process of their own


def open_archive(arguments):
    """What finetune.py does first: the archive into `datasets`' cache, with validation cut."""
    from accelerate import Accelerator

    from chestxray.training.run_data import open_data

    settings = run_settings(arguments)
    return settings, open_data(settings, Accelerator(cpu=True))


def cache_pixels(arguments):
    """What finetune.py does next: every image decoded and shrunk once, and the digests of the pixels."""
    from accelerate import Accelerator
    from transformers import ResNetConfig

    from chestxray.models.processors import processor_for

    settings, data = open_archive(arguments)
    data.read_images(processor_for(ResNetConfig(), None, arguments.side, None), settings, Accelerator(cpu=True))
    print(data.counts())


def run_settings(arguments):
    from chestxray.training.settings import Settings

    return Settings(dataset=[str(arguments.out / "nih")], num_proc=arguments.num_proc, output_dir="unused")


def time_decoding(arguments):
    """Print what it takes to read, decode and shrink an image: {"sides": [[side, bytes, CPU seconds]]}.

    One side is the archive's, the other that of `--nih`.
    """
    from chestxray.images.pixels import shrink_row

    found = []
    for folder in (arguments.out / "nih" / "images", arguments.nih / "images"):
        paths = sorted(folder.glob("*.png"))
        paths = paths[:: max(1, len(paths) // 200)][:200]
        start = time.process_time()
        for path in tqdm(paths, desc="Decoding"):
            shrink_row({"image_file_path": path.name, "image": {"bytes": None, "path": path}}, 64)
        if paths:
            side = cv2.imread(str(paths[0]), cv2.IMREAD_GRAYSCALE).shape[0]
            seconds = (time.process_time() - start) / len(paths)
            found.append([side, float(np.mean([path.stat().st_size for path in paths])), seconds])
    print(json.dumps({"sides": found}))  # a line that ends with "]" would be taken for a progress bar


INSIDE = {"make": make_archive, "builder": open_archive, "cache": cache_pixels, "decode": time_decoding}


# Stages seen from outside


def inside(name, side=None):
    """A stage that this file runs in a process of its own."""

    def stage(arguments):
        flags = ["--inside", name, "--num-proc", arguments.num_proc, "--nih", arguments.nih]
        flags += ["--side", side] if side else []
        flags += ["--images", arguments.images] if arguments.images else []
        return measure(arguments, __file__, arguments.out, *flags, "--sources", *arguments.sources)

    return stage


def recipe(script, *flags):
    """A stage that is a command of recipes/. "OUT" in a flag is the folder of the rehearsal."""

    def stage(arguments):
        places = {"OUT": str(arguments.out), "NIH": str(arguments.nih)}
        filled = [flag.format(**places) for flag in flags]
        return measure(arguments, RECIPES / script, *filled)

    return stage


def train_and_kill(arguments):
    """Training from the start, killed a while after its first checkpoint. Steps of a killed process are lost."""
    shutil.rmtree(arguments.out / "run", ignore_errors=True)
    found = measure(arguments, *training(arguments), kill_when=lambda: first_checkpoint(arguments.out / "run"))
    if not found["killed"]:
        raise SystemExit("the run ended before it could be killed: take more --images")
    return found


def first_checkpoint(folder):
    """Whether a checkpoint lies there for three seconds, so that steps after it are lost."""
    return any(time.time() - path.stat().st_mtime > 3 for path in folder.rglob("last.safetensors"))


def train_on(arguments):
    found = measure(arguments, *training(arguments))
    if "Going on from step" not in (arguments.out / "log.txt").read_text(errors="replace"):
        raise SystemExit("the run did not go on from its checkpoint")
    return found


def training(arguments):
    archive, run = arguments.out / "nih", arguments.out / "run"
    steps = ("--checkpoint-steps", KILL_AFTER) if not arguments.images else ("--checkpoint-steps", 1)
    places = ("--dataset", archive, "--output-dir", run, "--num-proc", arguments.num_proc)
    return RECIPES / "finetune.py", *places, *RUN, *steps


PUBLISH = ("publish.py", "{OUT}/nih")
STAGES = {
    "make": inside("make"),
    "builder": inside("builder"),
    "builder, again": inside("builder"),
    "cache 64": inside("cache", 64),
    "cache 64, again": inside("cache", 64),
    "train, killed": train_and_kill,
    "train, resumed, and test": train_on,
    "finished run, again": recipe("finetune.py", "--dataset", "{OUT}/nih", "--output-dir", "{OUT}/run", *RUN),
    "score, from the checkpoint": recipe("score.py", "{OUT}/run"),
    "score, from predictions": recipe(
        "score.py", "{OUT}/run/score/predictions.parquet", "--output-dir", "{OUT}/scored"
    ),
    "transfer": recipe("transfer.py", "{OUT}/run", "--dataset", "{OUT}/nih", "--output-dir", "{OUT}/transfer"),
    "publish, and 128": recipe(*PUBLISH, "{OUT}/published", "--sizes", "full", "128"),
    "publish, again": recipe(*PUBLISH, "{OUT}/published", "--sizes", "full", "128"),
    "describe": recipe("describe.py", "{NIH}", "--check"),
    "decode": inside("decode"),
    "publish tar": recipe(*PUBLISH, "{OUT}/tar", "--format", "webdataset"),
    "cache 224": inside("cache", 224),
}
DEFAULT = [name for name in STAGES if name not in ("publish tar", "cache 224")]


# Measuring


def measure(arguments, *command, kill_when=None):
    """Figures of a command and all its children. Raises SystemExit with the end of its output if it fails."""
    before, spent, start = disk(arguments.out), cpu_of_children(), time.perf_counter()
    log = arguments.out / "log.txt"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=file, stderr=subprocess.STDOUT, env=environment(arguments.out)
        )
        seen, killed = watch(process, kill_when)
    wall, cpu = time.perf_counter() - start, cpu_of_children() - spent
    said = log.read_text(errors="replace")
    if process.returncode and not killed:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said[-3000:]}")
    return {
        "wall": wall,
        **seen,
        "cpu": max(cpu, seen["cpu"]),  # the first lacks the children of a killed process
        "disk": disk(arguments.out) - before,
        "killed": killed,
        "said": without_bars(said),
    }


def cpu_of_children():
    """Seconds of all processes that this one has started and seen the end of, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def without_bars(text):
    """The last lines of an output that are no progress bars."""
    return "\n".join([line for line in text[-20_000:].splitlines() if not line.endswith("]")][-20:])


def environment(out):
    caches = {"HF_HOME": str(out / "cache"), "HF_HUB_OFFLINE": "1", "TMPDIR": str(out)}
    path = os.pathsep.join([str(RECIPES), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | caches | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}


def watch(process, kill_when):
    """Look at a process and its children until it ends. Returns ({"peak", "anonymous", "cpu"}, whether killed)."""
    peak = anonymous = 0
    spent, killed = {}, False
    while process.poll() is None:
        parts = [memory(each, spent) for each in tree(process.pid)]
        peak = max(peak, sum(resident for resident, _ in parts))
        anonymous = max(anonymous, sum(own for _, own in parts))
        if kill_when and kill_when():
            kill(process)
            killed = True
        time.sleep(LOOK)
    return {"peak": peak, "anonymous": anonymous, "cpu": sum(spent.values())}, killed


def tree(pid):
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(process, spent):
    """(resident, anonymous) bytes of a process, with its share of shared pages. Its CPU seconds go into `spent`."""
    try:
        times = process.cpu_times()
        spent[process.pid, process.create_time()] = times.user + times.system
        words = [line.split() for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]]
        kilobytes = {name: int(number) for name, number, *_ in words}
        return kilobytes["Pss:"] * 1024, kilobytes["Pss_Anon:"] * 1024
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0, 0


def kill(process):
    for each in tree(process.pid):
        each.send_signal(signal.SIGKILL)
    process.wait()


def disk(folder):
    return int(subprocess.check_output(["du", "-sb", folder]).split()[0])


# The table


def report(arguments, figures):
    images = sum(len((arguments.out / "nih" / name).read_text().split()) for name in LISTS)
    lines = [
        f"{images:,} images of {SIDE} pixels, {arguments.num_proc} processes, {platform.machine()}, "
        f"load {os.getloadavg()[2]:.1f} in the last 15 minutes. Scores of this archive mean nothing.",
        "",
        "| stage | wall s | CPU s | images per CPU s | peak MiB | anonymous MiB | disk MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in STAGES:
        if name != "decode" and (found := figures.get(name)):
            cells = [found["wall"], found["cpu"], images / found["cpu"], found["peak"] / 2**20]
            cells += [found["anonymous"] / 2**20, found["disk"] / 1e6]
            lines.append(f"| {name} | {' | '.join(f'{cell:,.0f}' for cell in cells)} |")
    return "\n".join(lines + larger_images(figures, images))


def larger_images(figures, images):
    """What reading all images takes at their side, and at the side of the images in `--nih`: an extrapolation."""
    if "decode" not in figures:
        return []
    lines = ["", "| side | MB per image | decode and shrink, ms CPU | all images: GB | CPU hours |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: |")
    for side, size, seconds in json.loads(figures["decode"]["said"].splitlines()[-1])["sides"]:
        total = f"{size * images / 1e9:.1f} | {seconds * images / 3600:.2f}"
        lines.append(f"| {side} | {size / 1e6:.3f} | {seconds * 1e3:.1f} | {total} |")
    return lines


if __name__ == "__main__":
    main()
