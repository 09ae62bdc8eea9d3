"""What heatmaps cost: a plain forward pass, ours for all findings at once, and the grad-cam package, in one run.

    python tests/benchmarks/bench_heatmaps.py [--images 32] [--batch-size 8] [--side 224] [--turns 3] [--threads 2]
    python tests/benchmarks/bench_heatmaps.py --model vit_small_patch16_224 --method attention
    python tests/benchmarks/bench_heatmaps.py --stages 4 --pooling lse

For each image 14 maps, and 14 logits. The model is EfficientNet-Lite0 with random weights. The package makes one map of
each image in a pass, so it is called 14 times for a batch; its GradCAM gives the same maps, up to the bias, as ours do
after a mean over positions. All take turns on the same images, after one pass to warm up, and the best turn counts, in
seconds on the clock and of the CPU. The ratios are those of CPU time, which says more where others use the machine.
Goals: ours at most 1.1 times the plain forward pass, the package at least 10 times ours, 880 images of 224 pixels in
under 3 minutes on two cores.
"""

import argparse
import platform
import time

import timm
import torch
import transformers
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tqdm import tqdm

from chestxray.models import classifiers
from chestxray.models.heatmap_methods import METHODS
from chestxray.models.heatmaps import Heatmapper

FINDINGS = [f"Finding {number}" for number in range(1, 15)]
MANY = 880  # images with boxes in NIH's test set


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    changes = {"stages": arguments.stages, "pooling": arguments.pooling}
    model, _ = classifiers.build_model(arguments.model, FINDINGS, arguments.side, pretrained=False, **changes)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # smaller numbers become denormal, 100 times as slow
    mapper = Heatmapper(model.eval(), arguments.method)
    batches = torch.randn(arguments.images, 3, arguments.side, arguments.side).split(arguments.batch_size)
    ways = {
        "plain forward": plain(model),
        f"ours, {mapper.method}": mapper.compute,
        "grad-cam package": package(mapper),
    }
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, timm {timm.__version__}"
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, {versions}")
    batch = f"{arguments.images} images of {arguments.side} pixels in batches of {batches[0].shape[0]}"
    print(f"{arguments.model}{words(changes)}, {batch}")
    print_table(best_times(ways, batches, arguments.turns), arguments.images)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="a timm name")
    parser.add_argument("--stages", type=int, help="as for finetune.py")
    parser.add_argument("--pooling", help="as for finetune.py")
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def words(changes):
    """ ", stages 4, pooling lse" """
    return "".join(f", {name} {value}" for name, value in changes.items() if value)


class LogitsOnly(torch.nn.Module):
    """What the package wants: a model that returns its logits alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).logits


def plain(model):
    def run(pixels):
        with torch.inference_mode():
            return model(pixel_values=pixels).logits

    return run


def package(mapper):
    """The package on the same layer, as its README calls it, one finding after the other."""

    def run(pixels):
        layers = mapper.layers
        with GradCAM(LogitsOnly(mapper.model), [mapper.model.get_submodule(layers.gradients)], layers.positions) as cam:
            for number in range(len(FINDINGS)):
                cam(pixels, [ClassifierOutputTarget(number)] * len(pixels))

    return run


def best_times(ways, batches, turns):
    """{way: (seconds on the clock, seconds of the CPU) for all batches, each in its best turn}."""
    times = {name: [] for name in ways}
    for run in ways.values():
        run(batches[0])
    for _ in tqdm(range(turns), desc="Turns", unit="turn"):
        for name, run in ways.items():
            clock, cpu = time.perf_counter(), time.process_time()
            for pixels in batches:
                run(pixels)
            times[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return {name: tuple(map(min, zip(*found, strict=True))) for name, found in times.items()}


def print_table(times, images):
    _, forward = times["plain forward"]
    _, ours = list(times.values())[1]
    print(f"{'':<20}{'s':>9}{'CPU s':>9}{'CPU /forward':>14}{'CPU /ours':>11}{f's for {MANY}':>12}")
    for name, (clock, cpu) in times.items():
        print(
            f"{name:<20}{clock:>9.3f}{cpu:>9.3f}{cpu / forward:>14.2f}{cpu / ours:>11.2f}{clock / images * MANY:>12.1f}"
        )


if __name__ == "__main__":
    main()
