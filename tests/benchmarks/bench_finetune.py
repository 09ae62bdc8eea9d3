"""How well finetune.py feeds its model and how much memory it holds, beside Transformers' Trainer, in one run.

    python tests/benchmarks/bench_finetune.py                  all three parts, on the GPU where there is one
    python tests/benchmarks/bench_finetune.py waiting          the sample preset as it is, on the CPU
    python tests/benchmarks/bench_finetune.py memory
    python tests/benchmarks/bench_finetune.py models --model vit-base convnextv2-base --batch-size 256 --steps 100
    python tests/benchmarks/bench_finetune.py models --model tiny --device cpu --batch-size 8 --steps 20 --turns 1

1. waiting: the share of an epoch in which the training step waits for its batch, as `epochs.csv` has it, and the share
   that augmentation takes, which on a CPU is part of the step. Goal: under 5%.
2. memory: a training pass of a tiny model over 1,000 and over 100,000 rows of the pixel cache, 64×64, each in a process
   of its own. The pages of the memory-mapped cache count as resident, though the kernel may drop them at any time, so
   anonymous memory, looked at before each step, stands beside the peak. Goal: equal within 10%.
3. models: images/s of finetune.py's step fed from the pixel cache; fed with the same random tensors on the device again
   and again (goal on a GPU: 0.97 of it); and of Transformers' Trainer with the train transform of
   run_image_classification.py on the same images as 256-pixel PNG (goal on a GPU: 1.5 times it). Models of random
   weights, 224 pixels; in bf16, eager and with torch.compile on a GPU; in float32, with --compile compiled, on a CPU.
   Each figure comes from a process of its own, after a warm-up, alternating; the best of `--turns` counts. Ours reads
   with finetune.py's own number of workers, the Trainer with one per core on a GPU and within its process on a CPU, as
   ours does there.

The images are phantoms, repeated; `TMPDIR` needs room for a pixel cache and as many PNGs, 2 GB by default on a GPU.
"""

import argparse
import csv
import importlib
import io
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import accelerate
import datasets
import numpy as np
import torch
import transformers
from PIL import Image
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from tqdm import tqdm

from chestxray.images import pixels, splits
from chestxray.machine import cores
from chestxray.models import classifiers
from chestxray.synthetic import phantom
from chestxray.training import device, optimisation
from chestxray.training.gradients import step_seed
from chestxray.training.loss_check import LossCheck
from chestxray.training.run import Run
from chestxray.training.run_data import RunData
from chestxray.training.settings import Settings
from chestxray.training.stopwatch import Stopwatch

RECIPES = Path(__file__).parents[2] / "recipes"
FINDINGS = [f"Finding {number}" for number in range(1, 15)]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ALIKE = (0.5,) * 3, (0.5,) * 3
# Architecture, and mean and deviation of the weights one would start from: of google/vit-base-patch16-224-in21k, whose
# architecture is ViTConfig's default, and of facebook/convnextv2-base-22k-224.
MODELS = {
    "vit-base": (transformers.ViTConfig(), ALIKE),
    "convnextv2-base": (
        transformers.ConvNextV2Config(depths=[3, 3, 27, 3], hidden_sizes=[128, 256, 512, 1024]),
        IMAGENET,
    ),
    "vit-tiny": (
        transformers.ViTConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768),
        ALIKE,
    ),
    "sample": (transformers.AutoConfig.from_pretrained(RECIPES / "configs" / "sample.json"), ALIKE),
    "tiny": (
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic"),
        ALIKE,
    ),
}
WARM_UP = 10  # steps; compilation among them


def main():
    arguments = parse()
    datasets.disable_progress_bars()
    if arguments.rows:
        return print(json.dumps(one_pass(arguments.rows, arguments.folder)))
    if arguments.feed:
        return print(json.dumps(FEEDS[arguments.feed](arguments)))
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or platform.machine()
    print(f"{machine}, {cores()} cores, {torch.get_num_threads()} threads")
    versions = (accelerate, datasets, torch, transformers)
    print(", ".join(f"{module.__name__} {module.__version__}" for module in versions))
    for part in [arguments.part] if arguments.part else PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](arguments, Path(folder))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS, help="one part alone")
    parser.add_argument("--epochs", type=int, default=3, help="of the sample preset in `waiting`")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", nargs="+", choices=MODELS, help="the two large ones by default on a GPU")
    parser.add_argument("--batch-size", type=int, help="256 by default on a GPU, 32 on a CPU")
    parser.add_argument("--steps", type=int, help="that are timed; 100 by default on a GPU, 20 on a CPU")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--compile", action="store_true", default=None, help="only with torch.compile")
    parser.add_argument("--eager", dest="compile", action="store_false", help="only without")
    one = parser.add_argument_group("a single figure, which the parts above ask for in a process of its own")
    one.add_argument("--rows", type=int, help="one pass over so many rows of --folder")
    one.add_argument("--feed", choices=FEEDS, help="one model fed so, from --folder")
    one.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    gpu = arguments.device == "cuda"
    arguments.model = arguments.model or (["vit-base", "convnextv2-base"] if gpu else ["sample"])
    arguments.batch_size = arguments.batch_size or (256 if gpu else device.CPU_BATCH)
    arguments.steps = arguments.steps or (100 if gpu else 20)
    return arguments


def alone(*flags):
    """What this script prints with these flags, in a process of its own."""
    command = [sys.executable, __file__, *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


# Waiting


def waiting(arguments, folder):
    """The command itself; then the same with the time that augmentation takes added up."""
    flags = ["--epochs", str(arguments.epochs), "--output-dir", str(folder / "run")]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, RECIPES / "finetune.py", *flags]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    for epoch in epochs(folder / "run"):
        print(
            f"waiting, epoch {epoch['epoch']}: {float(epoch['waiting_share']):.2%} of it at "
            f"{float(epoch['images_per_second']):,.0f} images/s  (goal: under 5%)",
            flush=True,
        )
    flags[-1] = str(folder / "timed")
    timed = "import bench_finetune, sys; bench_finetune.finetune_timed(sys.argv[1:])"
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), str(RECIPES), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run([sys.executable, "-c", timed, *flags], check=True, capture_output=True, env=environment)
    print(f"augmentation: {float(done.stdout.split()[-1]):.2%} of the epochs, within the step")


def epochs(folder):
    with open(folder / "epochs.csv") as file:
        return list(csv.DictReader(file))


def finetune():
    """The script, which is no part of the package."""
    sys.path.insert(0, str(RECIPES))
    return importlib.import_module("finetune")


def finetune_timed(flags):
    """Run finetune.py; prints the share of its epochs, validation included, that `Run.augment` takes."""
    spent, augment = [], Run.augment
    lap, lasted = Stopwatch.lap, []

    def timed(*given):
        start = time.perf_counter()
        images = augment(*given)
        spent.append(time.perf_counter() - start)
        return images

    def noted(watch):
        seconds, share = lap(watch)
        lasted.append(seconds)
        return seconds, share

    Run.augment, Stopwatch.lap = timed, noted
    finetune().main(flags)
    print(sum(spent) / sum(lasted))


# Memory


def memory(arguments, folder):
    passes = {}
    for rows in (1_000, 100_000):
        write_rows(rows, folder)
        passes[rows] = found = alone("memory", "--rows", rows, "--folder", folder)
        print(
            f"{rows:>7,} rows: peak {found['peak']:,.0f} MiB, {found['mapped']:,.0f} of them files; "
            f"anonymous {found['anonymous']:,.0f} MiB; {found['seconds']:.0f} s",
            flush=True,
        )
    few, many = passes.values()
    for what in ("peak", "anonymous"):
        print(f"{what}, 100,000 / 1,000 rows: {many[what] / few[what]:.3f}  (goal: 0.9 to 1.1)")


def write_rows(count, folder, side=64):
    """Rows of a pixel cache that no image was decoded for."""

    def rows():
        random = np.random.default_rng(0)
        for number in range(count):
            name = f"images/{number // 4:08}_{number % 4:03}.png"
            yield {"image_file_path": name, "pixels": random.bytes(side * side)}

    features = datasets.Features({"image_file_path": datasets.Value("string"), "pixels": datasets.Value("binary")})
    made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(folder / "cache"))
    made.save_to_disk(folder / str(count))


def one_pass(count, folder):
    """Train the tiny model on each row once, as finetune.py does; its peak memory in MiB and what that consists of."""
    rows = datasets.load_from_disk(folder / str(count))
    patients = [path[7:15] for path in rows["image_file_path"]]
    split = splits.Split(rows, random_targets(count), patients, 64)
    run = prepare(Settings(mixed_precision="no", batch_size=64, epochs=1), "tiny", split, "cpu", folder)
    anonymous, start = [], time.perf_counter()

    def watched(loader):
        for batch in tqdm(loader, "Training", len(run.order)):
            anonymous.append(resident()["RssAnon"])
            yield batch

    steps(run, watched(split.training_loader(run.order)), finetune().take_step)
    now = resident()
    return {
        "peak": now["VmHWM"],
        "mapped": now["RssFile"],
        "anonymous": max(anonymous),
        "seconds": time.perf_counter() - start,
    }


def resident():
    """This process's memory in MiB: VmHWM the peak, RssAnon and RssFile what is resident now (proc(5))."""
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
    return {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines if line[-1] == "kB"}


# Models


def compare(arguments, folder):
    if arguments.device == "cpu":
        print("models: on the CPU; the goals are a GPU's, where nothing is measured now")
    write_images(arguments.batch_size * (WARM_UP + arguments.steps), folder)
    compiled = [False, True] if arguments.compile is None and arguments.device == "cuda" else [bool(arguments.compile)]
    for model, compile in itertools.product(arguments.model, compiled):
        sizes = ("--batch-size", arguments.batch_size, "--steps", arguments.steps, "--device", arguments.device)
        flags = ("models", "--model", model, *sizes, "--compile" if compile else "--eager", "--folder", folder)
        turns = [{feed: alone(*flags, "--feed", feed) for feed in FEEDS} for _ in range(arguments.turns)]
        best = {feed: max(turn[feed]["rate"] for turn in turns) for feed in FEEDS}
        waiting = max(turn["cache"]["waiting"] for turn in turns)
        print(
            f"{model}, {'compiled' if compile else 'eager'}, batch {arguments.batch_size}: cache "
            f"{best['cache']:,.1f} images/s, waiting at most {waiting:.2%}; random tensors {best['random']:,.1f}: "
            f"{best['cache'] / best['random']:.3f} (goal 0.97); Trainer {best['trainer']:,.1f}: "
            f"{best['cache'] / best['trainer']:.2f}x (goal 1.5x)",
            flush=True,
        )


def write_images(count, folder, drawn=200):
    """A dataset of 256-pixel PNGs, phantoms again and again, and their random targets."""
    patients = (phantom.draw_patient(0, number) for number in itertools.count(1))
    shots = itertools.islice(((patient, shot) for patient in patients for shot in patient.shots), drawn)
    pngs = [png_of(phantom.draw_image(*one, 256)) for one in tqdm(shots, "phantoms", drawn)]

    def rows():
        for number, targets in enumerate(random_targets(count)):
            yield {"image": {"bytes": pngs[number % drawn], "path": None}, "targets": targets}

    features = datasets.Features({"image": datasets.Image(), "targets": datasets.Sequence(datasets.Value("float32"))})
    made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(folder / "cache"))
    made.save_to_disk(folder / "images")


def png_of(image):
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    return png.getvalue()


def random_targets(count):
    return np.random.default_rng(0).integers(0, 2, (count, len(FINDINGS))).astype(np.float32)


def from_cache(arguments):
    """finetune.py's step, fed by its own loader."""
    split = cached(arguments.folder)
    run = prepare(settings(arguments), arguments.model[0], split, arguments.device, arguments.folder)
    loader = split.training_loader(run.order, run.workers, pin_memory=run.on_gpu)
    watch = Stopwatch()
    return steps(run, watch.time_waiting(loader), finetune().take_step, watch)


def from_nowhere(arguments):
    """The same step on the same random tensors, which lie on the device as the model wants them."""
    split = cached(arguments.folder)
    run = prepare(settings(arguments), arguments.model[0], split, arguments.device, arguments.folder)
    images = torch.randn(arguments.batch_size, 3, 224, 224, device=run.accelerator.device)
    if run.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(random_targets(arguments.batch_size)).to(run.accelerator.device)

    def part_loss(rows):
        return run.loss(run.model(pixel_values=images[rows]).logits.float(), targets[rows])

    def take_step(run, batch, step, rate):
        loss = run.gradients.compute(part_loss, len(images), targets.numel(), step_seed(0, step, 0))
        run.optimizer.step()
        run.optimizer.zero_grad()
        return loss

    return steps(run, itertools.repeat(None, WARM_UP + arguments.steps), take_step)


def cached(folder, size=224):
    rows = datasets.load_from_disk(folder / "images")
    targets = np.asarray(rows.with_format("numpy")["targets"][:], np.float32)
    return splits.Split(pixels.shrink(rows, size, num_proc=cores()), targets, [], size)


def settings(arguments):
    precision = "bf16" if arguments.device == "cuda" else "no"
    return Settings(compile=arguments.compile, mixed_precision=precision, batch_size=arguments.batch_size, epochs=1)


def prepare(settings, name, split, kind, folder):
    """A `Run` as finetune.py makes it, on a "cpu" or a "cuda"."""
    os.environ["ACCELERATE_USE_CPU"] = str(kind == "cpu").lower()
    accelerator = device.start_accelerator(settings.output_dir, settings.mixed_precision, settings.compile)
    model, processor = build(name, folder, split.size)
    channels_last = device.uses_channels_last(settings.channels_last, accelerator.device, model)
    device.fit_to_device(model, accelerator.device, settings.gradient_checkpointing, channels_last)
    groups = optimisation.parameter_groups(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=1e-5, fused=accelerator.device.type == "cuda" or None)
    model, optimizer = accelerator.prepare(model, optimizer)
    model.train()
    data = RunData([], [], FINDINGS, [{"train": split}])
    return Run(settings, accelerator, data, processor, model, optimizer, channels_last=channels_last)


def build(name, folder, size=224):
    """(model of random weights for images of this size, its processor)"""
    config, (mean, std) = MODELS[name]
    file = folder / f"{name}.json"
    config.to_json_file(file)
    model, processor = classifiers.build_model(str(file), FINDINGS, size)
    processor.image_mean, processor.image_std = list(mean), list(std)
    return model, processor


def steps(run, loader, take_step, watch=None):
    """What finetune.py does in each step. Images/s after the warm-up and, with a watch, the share spent waiting."""
    watch, loss_check = watch or Stopwatch(), LossCheck([])
    for step, batch in enumerate(loader):
        if step == WARM_UP:
            finish(run)
            watch.lap()
        loss_check.add(take_step(run, batch, step, 1e-5), step, 1e-5, list)
    finish(run)
    seconds, waiting = watch.lap()
    return {"rate": (step + 1 - WARM_UP) * run.order.batch_size / seconds, "waiting": waiting}


def finish(run):
    if run.on_gpu:
        torch.cuda.synchronize()


def from_trainer(arguments):
    """Transformers' Trainer with the train transform of its example run_image_classification.py."""
    gpu = arguments.device == "cuda"
    model, processor = build(arguments.model[0], arguments.folder)
    normalize = Normalize(processor.image_mean, processor.image_std)
    transform = Compose([RandomResizedCrop(224), RandomHorizontalFlip(), ToTensor(), normalize])

    def transformed(rows):
        images = [transform(image.convert("RGB")) for image in rows["image"]]
        return {"pixel_values": images, "labels": rows["targets"]}

    clock = Clock(gpu)
    transformers.Trainer(
        model,
        transformers.TrainingArguments(
            output_dir=arguments.folder / "trainer",
            per_device_train_batch_size=arguments.batch_size,
            max_steps=WARM_UP + arguments.steps,
            use_cpu=not gpu,
            bf16=gpu,
            torch_compile=arguments.compile,
            dataloader_num_workers=cores() if gpu else 0,
            remove_unused_columns=False,
            max_grad_norm=0,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
        ),
        train_dataset=datasets.load_from_disk(arguments.folder / "images").with_transform(transformed),
        data_collator=collated,
        callbacks=[clock],
    ).train()
    return {"rate": arguments.steps * arguments.batch_size / (clock.ended - clock.began)}


def collated(examples):
    return {
        "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
        "labels": torch.tensor([example["labels"] for example in examples]),
    }


class Clock(transformers.TrainerCallback):
    """When the warm-up ended, and when the training did."""

    def __init__(self, gpu):
        self.finish = torch.cuda.synchronize if gpu else lambda: None

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (WARM_UP, state.max_steps):
            self.finish()
        if state.global_step == WARM_UP:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()


PARTS = {"waiting": waiting, "memory": memory, "models": compare}
FEEDS = {"cache": from_cache, "random": from_nowhere, "trainer": from_trainer}

if __name__ == "__main__":
    main()
