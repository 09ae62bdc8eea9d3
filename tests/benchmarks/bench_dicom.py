"""How fast dicom_to_jpeg.py is beside the loop one would write with pydicom and OpenCV, in one run on the same files.

    python tests/benchmarks/bench_dicom.py [--images 256] [--num-proc 2] [--turns 3]

Both as commands, start included, from a warm page cache, alternating, the best of three; the loop has OpenCV's own
threads, as it would. Then CPU time per image, which says more of one core where others use the machine. Both write the
same bytes, which is checked. Goals: with two processes near twice the loop, and no more CPU time than it takes.
On 2026-11-21, two cores of an AMD EPYC, others at work: uncompressed 3.0 times the loop (CPU 53 to 27 ms), RLE 1.8
(84 to 72), JPEG-LS 2.0 (198 to 173), JPEG 2000 1.95 (814 to 783: OpenJPEG's decoder is nearly all of it).

The radiographs are synthetic, 3056 × 2544 pixels of 12 bits with noise, five of them under other names, hard links.
"""

import argparse
import filecmp
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from chestxray.synthetic import phantom

SCRIPT = Path(__file__).parents[2] / "recipes" / "dicom_to_jpeg.py"
FORMATS = {  # and of how many images one is measured: the slower, the fewer
    "uncompressed": (ExplicitVRLittleEndian, 1),
    "RLE": (RLELossless, 2),
    "JPEG-LS": (JPEGLSLossless, 4),
    "JPEG 2000": (JPEG2000Lossless, 8),
}
LOOP = """
import sys
from pathlib import Path
import cv2
import numpy as np
import pydicom
source, out = map(Path, sys.argv[1:])
for path in sorted(source.rglob("*.dcm")):
    file = pydicom.dcmread(path)
    raw = file.pixel_array
    raw = raw - raw.min()
    image = (raw / raw.max() * 255).astype(np.uint8)
    if file.PhotometricInterpretation == "MONOCHROME1":
        image = cv2.bitwise_not(image)
    image = cv2.equalizeHist(image)
    jpeg = (out / path.relative_to(source)).with_suffix(".jpg")
    jpeg.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(jpeg), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--num-proc", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"{'':14}{'images':>7}{'loop':>12}{'ours':>12}{f'{arguments.num_proc} processes':>20}{'CPU, loop / ours':>24}"
    )
    for name, (syntax, share) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            source = archive(Path(folder) / "dicom", arguments.images // share, syntax)
            compare(name, source, Path(folder), arguments)


def archive(source, images, syntax):
    """MIMIC-CXR's tree with so many radiographs in a transfer syntax."""
    kept = source / "kept"
    kept.mkdir(parents=True)
    for number in range(5):
        radiograph(number, syntax).save_as(kept / str(number), enforce_file_format=True)
    for number in range(images):
        digits = hashlib.sha256(str(number).encode()).hexdigest()
        name = "-".join(digits[start : start + 8] for start in range(0, 40, 8))
        folder = source / f"files/p10/p{10000032 + number // 4}/s{50414267 + number // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(kept / str(number % 5), folder / f"{name}.dcm")
    return source


def radiograph(number, syntax):
    patient = phantom.draw_patient(0, number + 1)
    drawn = cv2.resize(phantom.draw_image(patient, patient.shots[0], 1024), (2544, 3056), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(number).normal(200, 8, drawn.shape)
    values = (drawn * 14.0 + noise).clip(0, 4095).astype(np.uint16)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    made.Rows, made.Columns = values.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelData = values.tobytes()
    if syntax.is_encapsulated:
        made.compress(syntax)
    return made


def compare(name, source, folder, arguments):
    images = len(list(source.rglob("*.dcm")))
    commands = {
        "loop": lambda out: ["-c", LOOP, source, out],
        "ours": lambda out: [SCRIPT, source, out, "--num-proc", "1"],
        "several": lambda out: [SCRIPT, source, out, "--num-proc", str(arguments.num_proc)],
    }
    wall, cpu = dict.fromkeys(commands, 1e9), dict.fromkeys(commands, 1e9)
    for turn in range(arguments.turns):
        outs = {kind: folder / f"{kind}-{turn}" for kind in commands}
        for kind, command in commands.items():
            for path in (source / "kept").iterdir():
                path.read_bytes()
            seconds, busy = timed([sys.executable, *command(outs[kind])])
            wall[kind], cpu[kind] = min(wall[kind], seconds), min(cpu[kind], busy)
        for jpeg in outs["loop"].rglob("*.jpg"):
            for kind in ("ours", "several"):
                same = filecmp.cmp(jpeg, outs[kind] / jpeg.relative_to(outs["loop"]), shallow=False)
                assert same, f"{jpeg.name} differs"
        for out in outs.values():
            shutil.rmtree(out)
    rates = [f"{images / wall[kind]:.1f}/s" for kind in commands]
    several = f"{rates[2]} = {wall['loop'] / wall['several']:.2f}x"
    per_core = (
        f"{cpu['loop'] / images * 1e3:.0f} / {cpu['ours'] / images * 1e3:.0f} ms = {cpu['loop'] / cpu['ours']:.2f}x"
    )
    print(f"{name:14}{images:>7}{rates[0]:>12}{rates[1]:>12}{several:>20}{per_core:>24}", flush=True)


def timed(command):
    """(seconds, CPU seconds of it and its processes)"""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
