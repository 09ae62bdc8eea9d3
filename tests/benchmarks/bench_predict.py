"""predict.py on a folder of 1024-pixel PNGs beside TorchXRayVision's loops, images per second of CPU, in one run.

    pip install torchxrayvision          (--no-deps --target DIR keeps its pins away; then PYTHONPATH=DIR)
    python tests/benchmarks/bench_predict.py [--images ../shared/nih/images] [--count 64] [--turns 3] [--model NAME]

All ways share one model, DenseNet-121 at 224 pixels with random weights, on one thread, and all of this process's CPU
time counts, so the figures are those of one core:

- ours: `checkpoint_run.predict`, as predict.py calls it: the checkpoint's loading, and from the files to the table.
- ours, ONNX: the same with the checkpoint's export, by ONNX Runtime.
- their script: the steps of scripts/process_image.py of TorchXRayVision 1.5.7, one image at a time: skimage's `imread`,
  `normalize`, `XRayCenterCrop`, `XRayResizer(224)`, one forward pass. Their model takes one channel; ours, three.
- their loop: the same steps in a Dataset, in batches of 64 as predict.py has them, and one forward pass for each.

The goal is twice the images of their script.
"""

import argparse
import contextlib
import io
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import skimage
import torch
import torchvision
import torchxrayvision
from transformers import AutoModelForImageClassification

from chestxray.exporting import export_run
from chestxray.exporting.export_options import ExportOptions
from chestxray.models import classifiers
from chestxray.predicting import checkpoint_run, onnx_run
from chestxray.predicting.options import PredictOptions

NIH = Path(__file__).parents[3] / "shared" / "nih" / "images"
FINDINGS = [f"Finding {number}" for number in range(1, 15)]
BATCH, SIDE = 64, 224
STEPS = torchvision.transforms.Compose(
    [torchxrayvision.datasets.XRayCenterCrop(), torchxrayvision.datasets.XRayResizer(SIDE)]
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=NIH, help="folder of PNGs")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="densenet121")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # ONNX Runtime takes a thread for each core
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pngs = copy_files(arguments.images, folder / "images", arguments.count)
        ways = {**ours(folder, arguments.model), **theirs(folder / "checkpoint", pngs)}
        found = all_times(ways, arguments.turns)
    versions = f"torch {torch.__version__}, torchxrayvision {torchxrayvision.__version__}"
    print(f"{len(pngs)} PNGs, {arguments.model}, {platform.processor() or platform.machine()}, one thread, {versions}")
    for name, seconds in found.items():
        ratio = found["their script"] / seconds
        print(f"{name:24}{len(pngs) / seconds:7.2f} images/s of CPU {ratio:8.2f} times their script")


def copy_files(source, target, count):
    target.mkdir()
    return [Path(shutil.copy(path, target)) for path in sorted(source.glob("*.png"))[:count]]


def all_times(ways, turns):
    """CPU seconds of the best turn of each way. All take turns."""
    found = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                way()
            found[name].append(time.process_time() - start)
    return {name: min(seconds) for name, seconds in found.items()}


# Ours


def ours(folder, name):
    """{way: function} of a new checkpoint, which is written to `folder`."""
    checkpoint, files = folder / "checkpoint", [str(folder / "images")]
    torch.manual_seed(0)
    model, processor = classifiers.build_model(name, FINDINGS, image_size=SIDE, pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # smaller numbers become denormal, 100 times as slow
    classifiers.save_classifier(model, model.state_dict(), checkpoint)
    processor.save_pretrained(checkpoint)
    onnx = str(folder / "model.onnx")
    export_run.export(ExportOptions(checkpoint=str(checkpoint), output=onnx))
    return {
        "ours": lambda: checkpoint_run.predict(PredictOptions(checkpoint=str(checkpoint), inputs=files)),
        "ours, ONNX": lambda: onnx_run.predict(PredictOptions(checkpoint=onnx, inputs=files)),
    }


# Theirs


def theirs(checkpoint, pngs):
    model = AutoModelForImageClassification.from_pretrained(checkpoint).eval()

    def forward(batch):
        with torch.no_grad():
            return model(pixel_values=batch.expand(-1, 3, -1, -1)).logits

    def script():
        return [forward(torch.from_numpy(steps(path))[None]) for path in pngs]

    def loop():
        loader = torch.utils.data.DataLoader(Files(pngs), BATCH)
        return [forward(batch) for batch in loader]

    return {"their script": script, "their loop": loop}


def steps(path):
    """A file as (1, 224, 224) float32."""
    image = torchxrayvision.datasets.normalize(skimage.io.imread(path), 255)
    image = image.mean(2) if image.ndim > 2 else image
    return STEPS(image[None])


class Files(torch.utils.data.Dataset):
    """The images of a list of files, as TorchXRayVision reads them."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, row):
        return steps(self.paths[row])


if __name__ == "__main__":
    main()
