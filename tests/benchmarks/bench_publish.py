"""How fast publish.py is beside what one would write by hand, and how much memory it takes.

    python tests/benchmarks/bench_publish.py [--images 2000] [--memory 1000 10000] [--archive ../shared/nih] [--turns 5]

1. Archive to Parquet, one process each, the same loose images: publish.py's shard writer, full size alone, and
   `load_dataset("imagefolder")`, whose images are embedded in the way of `push_to_hub`, followed by `to_parquet`: alone
   it writes their paths. Both from a warm page cache, alternating, best of three. Goal: 1.3 times as fast.
2. Images shrunk, one thread, all of `shards.shard_rows`: read, check, decode, shrink, encode. Beside it Pillow reads,
   decodes and resizes, and encodes nothing; of several sizes it decodes once as well. They take turns; the ratio is the
   median over the turns, of processor time and of time on the clock. Goals: 512 pixels 1.5, 256 pixels 1.7.
3. Peak memory of the whole command, its largest process, at 1,000 and at 10,000 images.

The images are the archive's own, repeated under other names, hard links; `TMPDIR` needs room for the Parquet files.
"""

import argparse
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets
from datasets.table import embed_table_storage
from PIL import Image

import chestxray
from chestxray.data import archive
from chestxray.publishing import shards

GOALS = {"256": 1.7, "512": 1.5}
ROOT = Path(__file__).parents[2]
datasets.disable_progress_bars()
datasets.logging.set_verbosity_error()  # the tables are cut to the images, and the builder says so


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=ROOT.parent / "shared" / "nih")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.images:
            parquet(repeat(arguments.archive, folder / "nih", arguments.images), folder)
        shrinking(arguments.archive, arguments.turns)
        for images in arguments.memory:
            memory(arguments.archive, folder, images)


def repeat(source, folder, images):
    """An archive of `images` images under names from the official lists; the PNGs are the source's, again and again."""
    (folder / "images").mkdir(parents=True)
    pngs = sorted((source / "images").glob("*.png"))
    lists = {name: (source / name).read_text().split() for name in ("train_val_list.txt", "test_list.txt")}
    names = [name for names in lists.values() for name in names]
    names = [names[number * len(names) // images] for number in range(images)]  # train and test in their proportion
    wanted = set(names)
    for table, listed in lists.items():
        (folder / table).write_text("\n".join(sorted(wanted.intersection(listed))))
    header, *rows = (source / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    rows = [row for row in rows if row[:16] in wanted]
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *rows]))
    kept = folder / "kept"  # one copy on this disk, which the names link to
    kept.mkdir()
    for png in pngs:
        shutil.copy(png, kept / f"{png.name}.data")
    for number, name in enumerate(names):
        os.link(kept / f"{pngs[number % len(pngs)].name}.data", folder / "images" / name)
    return folder


def parquet(made, folder):
    megabytes = sum(path.stat().st_size for path in (made / "images").iterdir()) / 1e6
    for path in (made / "images").iterdir():
        path.read_bytes()
    best = {"publish.py": 1e9, "imagefolder": 1e9}
    for turn in range(3):
        out = folder / f"out-{turn}"
        best["publish.py"] = min(best["publish.py"], timed(lambda out=out: publish(made, out)))
        best["imagefolder"] = min(best["imagefolder"], timed(lambda out=out: imagefolder(made, out)))
        shutil.rmtree(out)
    for name, seconds in best.items():
        print(f"archive to Parquet, {name:12} {megabytes / seconds:7.0f} MB/s  ({megabytes:,.0f} MB, {seconds:.1f} s)")
    print(f"publish.py / imagefolder: {best['imagefolder'] / best['publish.py']:.2f}  (goal 1.3)")


def publish(made, out):
    builder = chestxray.NIHChestXray("full", data_dir=str(made))
    source = archive.open_archive(builder)
    for shard in shards.plan_shards(source, source.splits):
        if shard.config == "full":
            shards.write_shards(out, [shard])


def imagefolder(made, out):
    cache = out / "cache"
    loaded = datasets.load_dataset("imagefolder", data_dir=str(made / "images"), split="train", cache_dir=str(cache))
    embedded = loaded.with_format("arrow").map(embed_table_storage, batched=True, batch_size=100)
    embedded.to_parquet(out / "imagefolder.parquet")
    written, read = (sum(file.stat().st_size for file in place.glob("*.p*")) for place in (out, made / "images"))
    assert written >= read, f"{written:,} bytes of Parquet for {read:,} bytes of images"


def shrinking(source, turns):
    builder = chestxray.NIHChestXray("full", data_dir=str(source), allow_missing=True)
    opened = archive.open_archive(builder)
    print("shrunk, a core                     processor                 clock")
    for wanted in (["256"], ["512"], ["thumbnail"], ["512", "256"], ["512", "256", "thumbnail"]):
        planned = shards.plan_shards(opened, opened.splits, wanted=wanted)
        jobs = [job for job in shards.group_shards(planned) if job[0].size]
        sides = [shard.size for shard in jobs[0]]
        turned = [(spent(ours, jobs), spent(pillow, jobs, sides)) for _ in range(turns)]
        compare(", ".join(wanted), shards.count_images(jobs), turned)


def compare(name, images, turned):
    """turned: ((our processor seconds, our seconds), Pillow's two) of each turn."""
    cells = []
    for clock in (0, 1):
        pairs = [(us[clock], them[clock]) for us, them in turned]
        us, them = (statistics.median(times) / images * 1e3 for times in zip(*pairs, strict=True))
        ratio = statistics.median(them / us for us, them in pairs)
        cells.append(f"{us:5.1f} ms, Pillow {them:5.1f}: {ratio:.2f}")
    goal = f"  (goal {GOALS[name]})" if name in GOALS else ""
    print(f"{name:20} {cells[0]:>28} {cells[1]:>28}{goal}")


def ours(jobs):
    for job in jobs:
        for _ in shards.shard_rows(job):
            pass


def pillow(jobs, sides):
    for job in jobs:
        for _, place in job[0].images:
            with open(place.file, "rb") as file:
                grey = Image.open(io.BytesIO(file.read())).convert("L")
            for side in sides:
                grey.resize((side, side), Image.Resampling.BICUBIC)


def memory(source, folder, images):
    made = repeat(source, folder / f"nih-{images}", images)
    out = folder / f"out-{images}"
    command = [ROOT / "recipes" / "publish.py", made, out, "--num-proc", "1", "--sizes", "full", "256", "thumbnail"]
    seconds = timed(lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest process so far
    print(f"{images:,} images: peak {peak:.0f} MiB in the largest process, {seconds:.0f} s")
    shutil.rmtree(out)
    shutil.rmtree(made)


def spent(call, *arguments):
    """(processor seconds of this thread, seconds) of a call."""
    processor, clock = time.thread_time(), time.perf_counter()
    call(*arguments)
    return time.thread_time() - processor, time.perf_counter() - clock


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
