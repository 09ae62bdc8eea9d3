"""How fast publish.py is beside what one would write by hand, and how much memory it takes.

    python tests/benchmarks/bench_publish.py [--images 2000] [--memory 1000 10000] [--archive ../shared/nih]

1. Archive to Parquet, one process each, the same loose images: publish.py's shard writer, and
   `load_dataset("imagefolder")` followed by `to_parquet`, which copies them without a label. Both from a warm page
   cache, alternating, best of three. Goal: at least as fast.
2. Images shrunk, one core: all of `shards.shard_rows` (read, check, decode, shrink, encode) beside Pillow decoding and
   resizing alone. Goal: at least 0.9 of it.
3. Peak memory of the whole command, its largest process, at 1,000 and at 10,000 images.

The images are the archive's own, repeated under other names, hard links; `TMPDIR` needs room for the Parquet files.
"""

import argparse
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import datasets
from PIL import Image

import chestxray
from chestxray.data import archive
from chestxray.publishing import shards

ROOT = Path(__file__).parents[2]
datasets.disable_progress_bars()
datasets.logging.set_verbosity_error()  # the tables are cut to the images, and the builder says so


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=ROOT.parent / "shared" / "nih")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        made = repeat(arguments.archive, folder / "nih", arguments.images)
        parquet(made, folder)
        shrinking(made)
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
    print(f"publish.py / imagefolder: {best['imagefolder'] / best['publish.py']:.2f}  (goal 1.0)")


def publish(made, out):
    builder = chestxray.NIHChestXray("full", data_dir=str(made))
    source = archive.open_archive(builder)
    for shard in shards.plan_shards(source, source.splits):
        if shard.config == "full":
            shards.write_shard(out, shard)


def imagefolder(made, out):
    cache = out / "cache"
    loaded = datasets.load_dataset("imagefolder", data_dir=str(made / "images"), split="train", cache_dir=str(cache))
    loaded.to_parquet(out / "imagefolder.parquet")


def shrinking(made, images=150):
    builder = chestxray.NIHChestXray("full", data_dir=str(made))
    source = archive.open_archive(builder)
    for size in (256, 512):
        shard = next(shard for shard in shards.plan_shards(source, source.splits, sizes=[size]) if shard.size)
        shard = replace(shard, images=shard.images[:images])
        ours = theirs = 1e9
        for _ in range(3):
            ours = min(ours, timed(lambda shard=shard: sum(1 for _ in shards.shard_rows(shard, lambda images: None))))
            theirs = min(theirs, timed(lambda shard=shard, size=size: pillow(shard, size)))
        print(
            f"shrunk to {size}: {len(shard.images) / ours:5.1f} images/s, Pillow's decode and resize alone "
            f"{len(shard.images) / theirs:5.1f}: {theirs / ours:.2f}  (goal 0.9)"
        )


def pillow(shard, size):
    for _, place in shard.images:
        with open(place.file, "rb") as file:
            Image.open(io.BytesIO(file.read())).convert("L").resize((size, size), Image.Resampling.BICUBIC)


def memory(source, folder, images):
    made = repeat(source, folder / f"nih-{images}", images)
    out = folder / f"out-{images}"
    command = [ROOT / "recipes" / "publish.py", made, out, "--num-proc", "1", "--sizes", "256"]
    seconds = timed(lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest process so far
    print(f"{images:,} images: peak {peak:.0f} MiB in the largest process, {seconds:.0f} s")
    shutil.rmtree(out)
    shutil.rmtree(made)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
