"""finetune.py against what people would take instead, on real radiographs, at equal budget: AUROC, paired test, speed.

    python tests/benchmarks/bench_real.py --dataset ../shared/real/128 --weights ../shared/weights/… --output runs/real
    python tests/benchmarks/bench_real.py … --only timm --only torchxrayvision      some contestants, then the table
    python tests/benchmarks/bench_real.py … --limit 300 --epochs 1 --validation-only      a quick try

The same for everybody: network, pre-trained weights, training images (`train` without our validation patients), epochs,
image side, seed, threads, memory layout and `torch.compile`. The epoch with the best mean AUROC on the validation
patients is kept, and it predicts the test images once. Everybody runs on the CPU, without further processes that read
images. An epoch leaves out its last batch if that is smaller than the others. The batch size is the recipe's own.

- `ours`: finetune.py with the preset of `--preset`.
- `trainer`: Transformers' run_image_classification.py for several labels: its transforms, the defaults of
  TrainingArguments. Source: huggingface/transformers, examples/pytorch/image-classification@0055f83; the defaults are
  read from the installed release.
- `torchxrayvision`: the settings of mlmed/torchxrayvision, scripts/train_model.py@dba73af and train_utils.py@74431d0:
  greys from -1024 to 1024, wide RandomAffine, Adam with AMSGrad, a weight for each finding. The network sees the grey
  three times, because the weights are of three channels. Its script shrinks with scikit-image or, as here, with OpenCV.
- `timm`: the defaults of huggingface/pytorch-image-models, train.py@2aabaef, with `--bce-loss`, by timm's own loader,
  optimiser and schedule. With fewer than six epochs its warm-up of five does not end, as in the script itself.
- `…-our-rate`: the same with our learning rate, so that the recipes do not differ by the rate alone. `trainer` has our
  batch size too. `torchxrayvision` has the greys that the weights were trained with. `timm` has AdamW, our batch size,
  weight decay and warm-up, and a rate that changes in each step.

images/s is an epoch's training images over all its seconds, validation included: the median over the epochs. Seconds
are those of all epochs. Ours decodes and shrinks each image once before that, the others in each epoch.

Each contestant is a process of its own. Give the same command again after a stop: a contestant whose
OUTPUT/NAME/predictions.parquet is there is not repeated, and the others go on after their last whole epoch. The table
is printed and kept as OUTPUT/results.md and OUTPUT/results.json.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import datasets
import numpy as np
import timm
import torch
import transformers
import yaml
from accelerate.utils import set_seed
from timm.data import create_loader, create_transform, resolve_data_config
from timm.loss import BinaryCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader
from torchvision import transforms
from tqdm import tqdm
from transformers.trainer_utils import get_last_checkpoint

from chestxray import files
from chestxray.data import image_rows, labels, opening, predictions
from chestxray.images import splits
from chestxray.images.batches import Order
from chestxray.images.splits import Split
from chestxray.models import classifiers
from chestxray.places import public_name
from chestxray.scoring import dataset_predictions
from chestxray.training.command_line import find_preset, parse_settings, presets, read_preset
from chestxray.training.prediction_settings import prediction_settings
from chestxray.training.settings import Settings
from multilabel_auroc import auroc_report, compare

FINETUNE = Path(__file__).parents[2] / "recipes" / "finetune.py"
FREE = ("only", "contestant", "output")  # flags that may differ when the command is given again
EVALUATION_BATCH = 32


@dataclass
class Task:
    """What a contestant is given.

    Attributes:
        folder: to write to.
        recipe: our settings, with the dataset, the weights and the budget of this comparison.
        opened: the dataset. parts: {split: Split}, without the pixel cache.
    """

    folder: Path
    recipe: Settings
    opened: opening.OpenDataset
    parts: dict[str, Split]
    findings: list[str]

    def model(self):
        """(model, processor): the pre-trained network with a new head."""
        recipe = self.recipe
        set_seed(recipe.seed)
        model, processor = classifiers.build_model(recipe.model, self.findings, recipe.image_size)
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)
        return model, processor

    def images(self, split, transform=None):
        return Images(self.parts[split], transform)


class Images(torch.utils.data.Dataset):
    """(transformed image, targets) of each row of a split. The image is decoded each time, as RGB."""

    def __init__(self, split, transform=None):
        self.rows, self.targets, self.transform = split.rows.select_columns("image"), split.targets, transform

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.transform(self.rows[row]["image"].convert("RGB")), self.targets[row]


class NamedImages(Images):
    """The same, as Transformers' Trainer wants it."""

    def __getitem__(self, row):
        image, targets = super().__getitem__(row)
        return {"pixel_values": image, "labels": torch.from_numpy(targets)}


# The comparison


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    arguments = parse(argv)
    if arguments.contestant:
        datasets.disable_progress_bars()
        return run_contestant(arguments)
    keep_flags(arguments)
    failed = [name for name in arguments.only or CONTESTANTS if not run_alone(name, argv, arguments)]
    results = score(arguments)
    table = markdown(results)
    files.write(arguments.output / "results.json", json.dumps(results, indent=2) + "\n")
    files.write(arguments.output / "results.md", table)
    print(table)
    if failed:
        raise SystemExit(f"bench_real.py: {', '.join(failed)} ended with an error; give the same command again")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="a folder that finetune.py takes")
    parser.add_argument("--weights", help="folder or repository of a timm model; the preset's own by default")
    parser.add_argument("--preset", default="efficientnet-lite0", help="our recipe: a name, or a .yaml")
    parser.add_argument("--output", type=Path, default=Path("runs/bench_real"))
    parser.add_argument("--only", action="append", choices=CONTESTANTS, help="run only these; may come several times")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="so many training images, for a quick try")
    parser.add_argument("--validation-only", action="store_true", help="score validation; nobody sees a test image")
    parser.add_argument("--compile", action="store_true", help="torch.compile, for everybody")
    parser.add_argument("--channels-last", action="store_true", help="memory layout, for everybody")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)  # the process of one of them
    return parser.parse_args(argv)


def keep_flags(arguments):
    """Keep the flags of the first call. Raises SystemExit if the folder holds a comparison with others."""
    flags = {name: value for name, value in vars(arguments).items() if name not in FREE}
    path = arguments.output / "flags.json"
    if not path.exists():
        return files.write(path, json.dumps(flags, indent=2) + "\n")
    before = json.loads(path.read_text())
    if changed := [
        f"{name} {before.get(name)}, not {value}" for name, value in flags.items() if before.get(name) != value
    ]:
        raise SystemExit(f"bench_real.py: {arguments.output} holds a comparison with {'; '.join(changed)}")


def run_alone(name, argv, arguments):
    """Run a contestant in a process of its own, unless it has finished. Returns whether it has now."""
    path = arguments.output / name / "predictions.parquet"
    if not path.exists():
        print(f"{name}: begins", flush=True)
        threads = str(arguments.threads)
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), threads)
        command = [sys.executable, __file__, *argv, "--contestant", name]
        subprocess.run(command, env=os.environ | limits | {"CUDA_VISIBLE_DEVICES": ""})
    return path.exists()


def run_contestant(arguments):
    folder = arguments.output / arguments.contestant
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    source = part_of_dataset(arguments)
    recipe = our_settings(arguments, source, folder)
    opened = opening.open_dataset(source, recipe)
    findings = labels.findings(recipe.findings, [opened.splits["train"]])
    parts = splits.make_splits(opened.splits, findings, arguments.image_size, recipe.policy, cache=False)
    CONTESTANTS[arguments.contestant](Task(folder, recipe, opened, parts, findings))


def part_of_dataset(arguments):
    """The dataset's folder, or a new one with fewer training images or without the test images."""
    if not arguments.limit and not arguments.validation_only:
        return arguments.dataset
    folder = arguments.output / "dataset"
    if not folder.exists():
        opened = opening.open_dataset(arguments.dataset, Settings(dataset=[arguments.dataset]))
        rows = dict(opened.splits)
        if arguments.limit:
            count = min(arguments.limit, len(rows["train"]))
            rows["train"] = rows["train"].shuffle(seed=0).select(range(count))
        if arguments.validation_only:
            rows.pop("test", None)
        with files.whole_folder(folder, last="train.parquet") as part:
            for split in rows:
                rows[split].to_parquet(part / f"{split}.parquet")
    return str(folder)


def our_settings(arguments, source, folder):
    """Our recipe for this comparison, as finetune.py understands it. It is kept as preset.yaml."""
    preset = find_preset(arguments.preset)
    if preset is None:
        raise SystemExit(f"bench_real.py: {arguments.preset} is no preset; there are {', '.join(presets())}")
    values = read_preset(preset) | {
        "model": arguments.weights or read_preset(preset)["model"],
        "dataset": [source],
        "epochs": arguments.epochs,
        "image_size": arguments.image_size,
        "seed": arguments.seed,
        "compile": arguments.compile,
        "channels_last": arguments.channels_last,
        "num_proc": arguments.threads,
        "output_dir": str(folder / "run"),
    }
    files.write(folder / "preset.yaml", yaml.safe_dump(values))
    return parse_settings(["--model", str(folder / "preset.yaml")])


# Ours


def run_ours(task):
    """finetune.py as a process, then the predictions of its checkpoint."""
    run = task.folder / "run"
    subprocess.run([sys.executable, FINETUNE, "--model", task.folder / "preset.yaml"], check=True)
    recipe, settings = task.recipe, prediction_settings(run)
    order = Order(len(task.parts["train"]), recipe.batch_size, recipe.epochs, recipe.seed)
    with open(run / "epochs.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    images = order.per_epoch * order.batch_size
    write_epochs(task.folder, [(row["validation_auroc"], images / row["images_per_second"], images) for row in rows])
    split = "test" if "test" in task.parts else "validation"
    opened = opening.open_to_score(task.opened.source, split, settings, [run])
    path, with_validation = task.folder / "predictions.parquet", split == "test"
    dataset_predictions.predict(
        dataset_predictions.start(), run, opened, split, path, settings, with_validation=with_validation
    )


# Transformers' Trainer


def run_trainer(task, our_rate=False):
    """The transforms of run_image_classification.py, and the defaults of TrainingArguments: AdamW, linear decay."""
    recipe, side = task.recipe, task.recipe.image_size
    model, processor = task.model()
    normalize = transforms.Normalize(processor.image_mean, processor.image_std)
    whole = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor(), normalize]
    cropped = [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize]
    evaluation = transforms.Compose(whole)
    changed = {"learning_rate": recipe.learning_rate, "per_device_train_batch_size": recipe.batch_size}
    arguments = transformers.TrainingArguments(
        output_dir=str(task.folder / "trainer"),
        num_train_epochs=recipe.epochs,
        seed=recipe.seed,
        torch_compile=recipe.compile,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="auroc",
        dataloader_drop_last=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        use_cpu=True,
        report_to="none",
        **(changed if our_rate else {}),
    )
    trainer = WholeValidation(
        model,
        arguments,
        train_dataset=NamedImages(task.parts["train"], transforms.Compose(cropped)),
        eval_dataset=NamedImages(task.parts["validation"], evaluation),
        compute_metrics=lambda found: {"auroc": mean_auroc(found.predictions, task.parts["validation"])},
        callbacks=[EpochClock(task.folder)],
    )
    begun = Path(arguments.output_dir).is_dir()
    trainer.train(resume_from_checkpoint=get_last_checkpoint(arguments.output_dir) if begun else None)
    model.eval()
    write_predictions(task, lambda images: model(pixel_values=images).logits, evaluation)


class WholeValidation(transformers.Trainer):
    """The Trainer, whose `dataloader_drop_last` would leave out images of validation too."""

    def get_eval_dataloader(self, eval_dataset=None):
        return DataLoader(self.eval_dataset, batch_size=EVALUATION_BATCH)


class EpochClock(transformers.TrainerCallback):
    """Keeps the seconds of each epoch with its validation, as ours are counted."""

    def __init__(self, folder):
        self.folder = folder

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.began = time.perf_counter()

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        seconds, number = time.perf_counter() - self.began, round(state.epoch)
        images = state.max_steps // args.num_train_epochs * args.train_batch_size
        earlier = read_epochs(self.folder)[: number - 1]
        write_epochs(self.folder, [*earlier, (metrics["eval_auroc"], seconds, images)])


# TorchXRayVision's settings


def run_torchxrayvision(task, our_rate=False):
    """Adam with AMSGrad at one rate; the loss of each finding is a mean over its known targets, times a weight."""
    recipe, train = task.recipe, task.parts["train"]
    model, processor = task.model()
    scale, centre = (1 / processor.image_std[0], processor.image_mean[0]) if our_rate else (2048, 0.5)
    shrink = partial(shrink_grey, side=recipe.image_size, scale=scale, centre=centre)
    affine = transforms.RandomAffine(45, translate=(0.15, 0.15), scale=(0.85, 1.15))
    changing = transforms.Compose([shrink, transforms.ToPILImage(mode="F"), affine, transforms.ToTensor(), three_times])
    evaluation = transforms.Compose([shrink, torch.from_numpy, lambda grey: three_times(grey[None])])
    weights = finding_weights(train.targets)
    rate = recipe.learning_rate if our_rate else 1e-3
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-5, amsgrad=True)
    loader = DataLoader(task.images("train", changing), batch_size=64, shuffle=True, drop_last=True)
    fit(task, model.timm_model, loader, optimizer, lambda *pair: weighted_loss(*pair, weights), evaluation)


def shrink_grey(image, side, scale, centre):
    """(side, side) float32: the middle square of an image, shrunk; `scale` times a grey of 0 to 1 minus `centre`."""
    grey = np.asarray(image.convert("L"), np.float32) / 255
    square = min(grey.shape)
    top, left = ((length - square) // 2 for length in grey.shape)
    middle = scale * (grey[top : top + square, left : left + square] - centre)
    return cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA)


def three_times(grey):
    """(3, s, s) of (1, s, s)."""
    return grey.expand(3, -1, -1)


def finding_weights(targets):
    """(k,) float32 of (n, k) targets: rare findings count more, and the largest weight is 1."""
    positives = np.nansum(targets, axis=0)
    weights = positives.max() - positives + positives.mean()
    return torch.from_numpy((weights / weights.max()).astype(np.float32))


def weighted_loss(logits, targets, weights):
    known = ~targets.isnan()
    losses = binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none") * known
    return (losses.sum(0) / known.sum(0).clamp(min=1)) @ weights


# timm


def run_timm(task, our_rate=False):
    """timm's loader (crop, flip, colour jitter), optimiser and schedule; SGD with Nesterov momentum by default."""
    recipe, batch = task.recipe, task.recipe.batch_size if our_rate else 128
    model, _ = task.model()
    network = model.timm_model
    data = resolve_data_config({"input_size": (3, recipe.image_size, recipe.image_size)}, model=network)
    common = {"use_prefetcher": False, "num_workers": 0, "persistent_workers": False, "device": torch.device("cpu")}
    of_data = {name: data[name] for name in ("input_size", "mean", "std")}
    evaluation = create_transform(**of_data, interpolation=data["interpolation"], crop_pct=data["crop_pct"])
    images = task.images("train")  # the loader gives them train.py's transforms, which are its defaults
    loader = create_loader(images, batch_size=batch, is_training=True, interpolation="random", **of_data, **common)
    if our_rate:
        optimizer = create_optimizer_v2(network, "adamw", recipe.learning_rate, recipe.weight_decay)
        schedule = {"warmup_epochs": recipe.warmup_epochs, "warmup_lr": 0.0, "step_on_epochs": False}
    else:
        optimizer = create_optimizer_v2(network, "sgd", 0.1 * batch / 256, 2e-5, momentum=0.9)
        schedule = {"warmup_epochs": 5, "warmup_lr": 1e-5, "step_on_epochs": True}
    scheduler, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=recipe.epochs, updates_per_epoch=len(loader), **schedule
    )
    loss = BinaryCrossEntropy(smoothing=0.1)  # it does not smooth targets of several labels
    fit(task, network, loader, optimizer, loss, evaluation, scheduler)


# What the last two have in common


def fit(task, network, loader, optimizer, loss, evaluation, scheduler=None):
    """Train, keep the best epoch on validation, and write its predictions. Goes on after the last whole epoch.

    Args:
        loss: from (logits, targets) to a scalar.
        evaluation: transform of an image that is scored.
        scheduler: timm's, or None for a constant rate.
    """
    place, validation = task.folder / "state.pt", task.parts["validation"]
    state = {"epochs": [], "best": None}
    if place.exists():
        state = torch.load(place)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    forward = torch.compile(network) if task.recipe.compile else network
    for epoch in range(len(state["epochs"]), task.recipe.epochs):
        began = time.perf_counter()
        set_seed(1000 * task.recipe.seed + epoch)
        train_epoch(forward, tqdm(loader, f"Epoch {epoch + 1}"), optimizer, loss, scheduler, epoch)
        auroc = mean_auroc(predict(forward, task.images("validation", evaluation)), validation)
        seconds, images = time.perf_counter() - began, len(loader) * loader.batch_size
        weights = {name: weight.clone() for name, weight in network.state_dict().items()}
        if state["best"] is None or auroc > max(epoch[0] for epoch in state["epochs"]):
            state["best"] = weights
        state["epochs"].append((auroc, seconds, images))
        write_epochs(task.folder, state["epochs"])
        with files.whole_file(place) as part:
            torch.save(state | {"network": weights, "optimizer": optimizer.state_dict()}, part)
    network.load_state_dict(state["best"])
    write_predictions(task, forward, evaluation)


def train_epoch(forward, loader, optimizer, loss, scheduler, epoch):
    forward.train()
    steps = len(loader)
    if scheduler:
        scheduler.step(epoch)
        scheduler.step_update(epoch * steps)
    for step, (images, targets) in enumerate(loader, epoch * steps + 1):
        optimizer.zero_grad()
        loss(forward(images), targets).backward()
        optimizer.step()
        if scheduler:
            scheduler.step_update(step)


# Predictions and epochs


@torch.inference_mode()
def predict(forward, images):
    """(n, k) float32 logits of a dataset of `Images`. forward: from images to logits; a module is set to `eval`."""
    if isinstance(forward, torch.nn.Module):
        forward.eval()
    return np.concatenate([forward(part).numpy() for part, _ in DataLoader(images, batch_size=EVALUATION_BATCH)])


def write_predictions(task, forward, evaluation):
    parts = {name: task.parts[name] for name in ("validation", "test") if name in task.parts}
    logits = {name: predict(forward, task.images(name, evaluation)) for name in parts}
    about = image_rows.describe_dataset(task.opened)
    predictions.write(
        dataset_predictions.table_of(parts, logits, task.findings, about), task.folder / "predictions.parquet"
    )


def mean_auroc(logits, split):
    return auroc_report(logits, split.targets, interval=None)["auroc"]


def write_epochs(folder, epochs):
    """epochs: a tuple of validation AUROC, seconds and training images for each."""
    files.write(folder / "epochs.json", json.dumps([list(map(float, epoch)) for epoch in epochs]))


def read_epochs(folder):
    path = folder / "epochs.json"
    return json.loads(path.read_text()) if path.exists() else []


# Scores


def score(arguments):
    """All scores of the contestants that have finished, ours first."""
    finished = [name for name in CONTESTANTS if (arguments.output / name / "predictions.parquet").exists()]
    split = "validation" if arguments.validation_only else "test"
    tables = {name: sorted_rows(arguments.output / name / "predictions.parquet", split) for name in finished}
    ours = tables.get("ours")
    speeds = {name: speed(read_epochs(arguments.output / name)) for name in finished}
    found = {}
    for name, table in tables.items():
        report = auroc_report(table.logits, table.targets, table.rows["patient"])
        found[name] = {key: report[key] for key in ("auroc", "auroc_low", "auroc_high")} | speeds[name]
        if ours is not None and name != "ours":
            refuse_other_rows(ours, table, name)
            paired = compare(ours.logits, table.logits, table.targets, table.rows["patient"])
            keys = ("difference", "difference_low", "difference_high", "p_value")
            found[name] |= {key: paired[key] for key in keys}
            found[name]["speed_ratio"] = speeds["ours"]["images_per_second"] / speeds[name]["images_per_second"]
    return {"about": describe(arguments, split, tables), "contestants": found}


def sorted_rows(path, split):
    """The predictions of a split in the order of the images' names."""
    table = predictions.read(path).of(split)
    return table.where(np.argsort(table.rows["image_file_path"].to_numpy()))


def refuse_other_rows(ours, theirs, name):
    """Raise SystemExit unless both are predictions of the same images with the same labels."""
    images = ours.rows["image_file_path"].equals(theirs.rows["image_file_path"])
    if not images or not np.array_equal(ours.targets, theirs.targets, equal_nan=True):
        raise SystemExit(f"bench_real.py: the predictions of {name} are of other images or labels than ours")


def speed(epochs):
    aurocs, seconds, images = zip(*epochs, strict=True)
    rates = [count / lasted for count, lasted in zip(images, seconds, strict=True)]
    return {
        "images_per_second": statistics.median(rates),
        "seconds": sum(seconds),
        "best_epoch": int(np.nanargmax(aurocs)) + 1,
        "validation_auroc": float(np.nanmax(aurocs)),
    }


def describe(arguments, split, tables):
    """What was measured, where and how; no path but the last part of the dataset's."""
    flags = {name: value for name, value in vars(arguments).items() if name not in (*FREE, "dataset", "weights")}
    rows = next(iter(tables.values())).rows if tables else []
    versions = {module.__name__: module.__version__ for module in (torch, transformers, timm)}
    return {
        **flags,
        "preset": Path(arguments.preset).stem,
        "dataset": public_name(arguments.dataset),
        "split": split,
        "images": len(rows),
        "patients": rows["patient"].nunique() if tables else 0,
        "machine": platform.processor() or platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }


def markdown(results):
    """The table, and a line on how it was made."""
    about, split = results["about"], results["about"]["split"]
    lines = [
        f"| | mean {split} AUROC | ours − theirs | p | images/s | ours / theirs | seconds | best epoch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [row(name, found) for name, found in results["contestants"].items()]
    made = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    layout = [name for name, flag in (("compiled", "compile"), ("channels_last", "channels_last")) if about[flag]]
    training = f"{about['limit']:,} training images" if about["limit"] else "all training images"
    lines += [
        "",
        f"{about['images']:,} {split} images of {about['patients']:,} patients of {about['dataset']}, 95% intervals "
        f"over patients; {training}, {about['epochs']} epochs, {about['image_size']} pixels, seed {about['seed']}; "
        f"{', '.join(layout) or 'eager'}, {about['threads']} threads of {about['machine']}, {made}, {about['date']}.",
    ]
    return "\n".join(lines) + "\n"


def row(name, found):
    cells = [f"`{name}`", f"{found['auroc']:.3f} ({found['auroc_low']:.3f} to {found['auroc_high']:.3f})"]
    if "difference" in found:
        low, high = found["difference_low"], found["difference_high"]
        cells += [f"{found['difference']:+.3f} ({low:+.3f} to {high:+.3f})", f"{found['p_value']:.2g}"]
    else:
        cells += ["–", "–"]
    ratio = f"{found['speed_ratio']:.2f}" if "speed_ratio" in found else "–"
    cells += [f"{found['images_per_second']:.1f}", ratio, f"{found['seconds']:,.0f}", str(found["best_epoch"])]
    return f"| {' | '.join(cells)} |"


CONTESTANTS = {
    "ours": run_ours,
    "trainer": run_trainer,
    "trainer-our-rate": partial(run_trainer, our_rate=True),
    "torchxrayvision": run_torchxrayvision,
    "torchxrayvision-our-rate": partial(run_torchxrayvision, our_rate=True),
    "timm": run_timm,
    "timm-our-rate": partial(run_timm, our_rate=True),
}

if __name__ == "__main__":
    main()
