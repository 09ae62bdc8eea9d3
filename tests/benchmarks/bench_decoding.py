"""Decoding and shrinking NIH's PNGs beside Pillow, one thread, processor time, in one run.

    python tests/benchmarks/bench_decoding.py [--images ../shared/nih/images] [--turns 5] [--sizes 224 512]

Ours is `decoding.shrink_bytes`, which the pixel cache, `--no-cache`, `--streaming`, predict.py and `publish.py --sizes`
call. Beside it is Pillow's own `Image.open(...).convert("L").resize(...)`. Every file is read by both, one after the
other, and its fastest turn counts. Both must give the same pixels. The goal is 1.8 times Pillow at 224 pixels.
"""

import argparse
import io
import platform
import time
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

from chestxray.images import decoding

NIH = Path(__file__).parents[3] / "shared" / "nih" / "images"
GOALS = {224: 1.8}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=NIH, help="folder of PNGs")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 256, 512])
    arguments = parser.parse_args()
    files = [path.read_bytes() for path in sorted(arguments.images.glob("*.png"))[:200]]
    if not files:
        raise SystemExit(f"{arguments.images} holds no PNG")
    cv2.setNumThreads(1)
    plain = sum(decoding.decode_plain(data) is not None for data in files)
    print(f"{len(files)} files, {plain} of them decoded by kornia-rs; Pillow {PIL.__version__}, {platform.processor()}")
    for size in arguments.sizes:
        ours, theirs = np.array([compare(data, size, arguments.turns) for data in files]).mean(0) * 1e3
        goal = f"  (goal {GOALS[size]})" if size in GOALS else ""
        print(f"to {size}: ours {ours:.1f} ms, Pillow {theirs:.1f} ms an image: {theirs / ours:.2f} times{goal}")


def compare(data, size, turns):
    """(our seconds, Pillow's) for one file, each the best of all turns."""
    if not np.array_equal(decoding.shrink_bytes(data, size), pillow(data, size)):
        raise ValueError("not the same pixels")
    times = [(seconds(decoding.shrink_bytes, data, size), seconds(pillow, data, size)) for _ in range(turns)]
    return np.min(times, axis=0)


def pillow(data, size):
    grey = Image.open(io.BytesIO(data)).convert("L")
    return np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC))


def seconds(shrink, data, size):
    start = time.thread_time()
    shrink(data, size)
    return time.thread_time() - start


if __name__ == "__main__":
    main()
