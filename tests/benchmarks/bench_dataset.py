"""The builder beside `imagefolder`, which only indexes and copies: MB/s into Arrow, and peak memory as archives grow.

    python tests/benchmarks/bench_dataset.py [PNG_FOLDER]

Multiplies the PNGs of a folder (default ../shared/nih/images, 200 real radiographs) to 500 and 2,000 images in NIH's
layout, and prepares each in a process of its own, with a cache of its own; one process, no `num_proc`.
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
    """Build the dataset once; prints seconds and peak memory in MB."""
    import datasets

    from chestxray import NIHChestXray

    datasets.disable_progress_bars()
    start = time.perf_counter()
    if kind == "ours":
        NIHChestXray("image-classification", data_dir=folder, cache_dir=cache).download_and_prepare()
    else:  # to_parquet embeds the files, as our builder does
        rows = datasets.load_dataset("imagefolder", data_dir=f"{folder}/images", cache_dir=cache, split="train")
        rows.to_parquet(f"{cache}/all.parquet")
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[3] / "shared" / "nih" / "images")
    sources = sorted(folder.glob("*.png"))
    if not sources:
        raise SystemExit(f"no PNG files in {folder}; name a folder that has some")
    print(f"{'images':>8}{'MB':>8}{'':>14}{'s':>8}{'MB/s':>8}{'peak MB':>9}{'ours/peer':>11}")
    for count in (500, 2000):
        with tempfile.TemporaryDirectory() as scratch:
            size = write_archive(Path(scratch) / "nih", sources, count)
            speed = {}
            for kind in ("ours", "imagefolder"):
                command = [sys.executable, __file__, "--prepare", kind, f"{scratch}/nih", f"{scratch}/{kind}"]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
                seconds, peak = map(float, done.stdout.split())
                speed[kind] = size / seconds
                ratio = f"{speed['ours'] / speed[kind]:.2f}x" if kind != "ours" else ""
                print(f"{count:>8,}{size:>8.0f}{kind:>14}{seconds:>8.2f}{speed[kind]:>8.0f}{peak:>9.0f}{ratio:>11}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(*sys.argv[2:])
    else:
        main()
