"""The builder beside `imagefolder`, which copies without looking: MB/s into Arrow, and peak memory as archives grow.

    python tests/benchmarks/bench_dataset.py [PNG_FOLDER]

Multiplies the PNGs of a folder (default ../shared/nih/images, 200 real radiographs) to 500 and 2,000 images in NIH's
layout, and prepares each in a process of its own, with a cache of its own; one process, no `num_proc`. Speed is per
second of the processor (user and system, without imports), because other work on the machine changes wall time.

`imagefolder` alone writes a table of paths, and so does `to_parquet` of `datasets` 5: 51 KB for 411 MB of images. Its
images are embedded in the way of `push_to_hub`. Then both sides have written the same bytes, and this is checked.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def write_archive(folder, sources, count):
    """`count` images in NIH's layout, hard links to `sources` where the disk allows; returns their size in MB."""
    images = folder / "images"
    images.mkdir(parents=True)
    names = [f"{number:08}_000.png" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        (images / name).write_bytes(sources[number % len(sources)].read_bytes())
    rows = [f"{name},No Finding,0,{int(name[:8])},50,F,PA,2500,2048,0.168,0.168" for name in names]
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *rows]))
    (folder / "train_val_list.txt").write_text("\n".join(names[:-1]))
    (folder / "test_list.txt").write_text(names[-1])
    (folder / "SYNTHETIC.txt").write_text("Copies of a few images, to measure with.")
    return sum((images / name).stat().st_size for name in names) / 1e6


def prepare(kind, folder, cache):
    """Build the dataset once; prints seconds, seconds of the processor and peak memory in MB."""
    import datasets
    from datasets.table import embed_table_storage

    from chestxray import NIHChestXray

    datasets.disable_progress_bars()
    start, spent = time.perf_counter(), time.process_time()
    if kind == "ours":
        NIHChestXray("image-classification", data_dir=folder, cache_dir=cache).download_and_prepare()
    else:  # batches of as many images as our builder's
        rows = datasets.load_dataset("imagefolder", data_dir=f"{folder}/images", cache_dir=cache, split="train")
        rows.with_format("arrow").map(embed_table_storage, batched=True, batch_size=100, writer_batch_size=100)
    seconds, spent = time.perf_counter() - start, time.process_time() - spent
    written = sum(file.stat().st_size for file in Path(cache).rglob("*.arrow"))
    read = sum(file.stat().st_size for file in Path(folder, "images").iterdir())
    assert written >= read, f"{written:,} bytes of Arrow for {read:,} bytes of images"
    print(seconds, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[3] / "shared" / "nih" / "images")
    sources = sorted(folder.glob("*.png"))
    if not sources:
        raise SystemExit(f"no PNG files in {folder}; name a folder that has some")
    print(f"{'images':>8}{'MB':>8}{'':>14}{'s':>8}{'CPU s':>8}{'MB/CPU s':>10}{'peak MB':>9}{'ours/peer':>11}")
    for count in (500, 2000):
        with tempfile.TemporaryDirectory() as scratch:
            size = write_archive(Path(scratch) / "nih", sources, count)
            speed = {}
            for kind in ("ours", "imagefolder"):
                command = [sys.executable, __file__, "--prepare", kind, f"{scratch}/nih", f"{scratch}/{kind}"]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
                seconds, spent, peak = map(float, done.stdout.split())
                speed[kind] = size / spent
                ratio = f"{speed['ours'] / speed[kind]:.2f}x" if kind != "ours" else ""
                times = f"{seconds:>8.2f}{spent:>8.2f}{speed[kind]:>10.0f}"
                print(f"{count:>8,}{size:>8.0f}{kind:>14}{times}{peak:>9.0f}{ratio:>11}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(*sys.argv[2:])
    else:
        main()
