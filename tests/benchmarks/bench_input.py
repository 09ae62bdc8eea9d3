"""Images/s that reach the model on one core, beside what one would use instead, in one run.

    python tests/benchmarks/bench_input.py [--images ../shared/nih/images] [--turns 5] [--seconds 2]

Ours is finetune.py's path: rows of the pixel cache through `training_loader` in batches of 32, then `augment`, to
(32, 3, 224, 224) float32, normalised; channels whose mean and deviation are alike share the memory of one. Beside it,
batched by torch's DataLoader in the same way:

- Transformers: the train transform of run_image_classification.py, `with_transform` on the 1024-pixel PNGs.
- albumentations on 256-pixel PNG, the same augmentation: as usual, Pillow to RGB; and lean, OpenCV to one grey channel.
- timm: the transform of `create_transform("rand-m6-mstd0.5-inc1")` on 256-pixel PNG.

One thread and no worker process on either side, everything in the page cache; every path runs for `--seconds` in each
turn, alternating, and its best turn counts. Goals: 100 times Transformers without augmentation, 50 times with rotation,
scale, shift, flip and contrast, 5 times albumentations with the same.

The images are real radiographs where `--images` has any; otherwise phantoms of 1024 pixels, drawn once (a few minutes)
and kept in the system's folder for temporary files. Rows beyond the images are the same again, copies of their own.
Needs albumentations and about 1 GB there.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import io
import platform
import tempfile
import time
from pathlib import Path

import albumentations
import cv2
import datasets
import numpy as np
import pyarrow
import timm
import torch
import torchvision
import transformers
from albumentations.pytorch import ToTensorV2
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor

from chestxray.images import augment, batches, pixels
from chestxray.images.grey import shrink_image
from chestxray.synthetic import phantom
from chestxray.training.settings import Settings

NIH = Path(__file__).parents[3] / "shared" / "nih" / "images"
BATCH, SIDE, WHOLE, COPIES = 32, 224, 256, 20
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ALIKE = (0.5,) * 3, (0.5,) * 3
PLAIN = Settings()  # rotation, scale, shift, flip, contrast
MEDMAE = Settings(crop=0.08, rotate=0, scale=0, shift=0, contrast=0, randaugment=6)  # recipes/configs/medmae-*.yaml


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=NIH, help="folder of 1024-pixel PNGs")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each path in each turn")
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
    sources = radiographs(arguments.images)
    print(f"{len(sources)} images of {sources[0].parent}, {platform.processor() or platform.machine()}, one thread")
    versions = (albumentations, cv2, datasets, timm, torch, torchvision, transformers)
    print(", ".join(f"{module.__name__} {module.__version__}" for module in versions))
    with tempfile.TemporaryDirectory() as folder:
        rates = all_rates(feeds(sources, Path(folder)), arguments.turns, arguments.seconds)
    print("Images/s of the best turn, of the worst in brackets; the ratio is that of the best ones")
    for name, beside, goal in COMPARISONS:
        ours, theirs = (f"{max(rates[feed]):,.0f} ({min(rates[feed]):,.0f})" for feed in (name, beside))
        ratio = max(rates[name]) / max(rates[beside])
        print(f"{name:37}{ours:>16}   {beside:34}{theirs:>10}{ratio:>7.1f}x  {f'(goal {goal}x)' if goal else ''}")


def radiographs(folder):
    """Paths of 1024-pixel PNGs: the folder's first 200, or phantoms."""
    if found := sorted(folder.glob("*.png"))[:200]:
        return found
    archive = phantom.make_archive(Path(tempfile.gettempdir()) / "chestxray-bench-1024", patients=120, size=1024)
    return sorted((archive / "images").glob("*.png"))[:200]


# What is fed


def feeds(sources, folder):
    """Endless iterators over batches, by name."""
    full = stored((path.read_bytes() for path in sources), folder / "1024")
    small = stored((png_of(row["image"]) for row in full), folder / "256", COPIES)
    seen, whole = cache(full, SIDE, folder / "cache-224"), cache(full, WHOLE, folder / "cache-256")
    made = {"Transformers, 1024-pixel PNG": loaded(full.with_transform(by_pillow(transformers_example())))}
    for name, statistics in {"ImageNet": IMAGENET, "alike": ALIKE}.items():
        made[f"no augmentation, {name}"] = ours(seen, SIDE, statistics)
        made[f"rotate, scale, shift, flip, {name}"] = ours(whole, WHOLE, statistics, PLAIN)
        made[f"RandAugment, crop, flip, {name}"] = ours(whole, WHOLE, statistics, MEDMAE)
    usual, lean = by_pillow(albumented(IMAGENET, 3)), by_opencv(albumented(ALIKE, 1))
    undecoded = small.cast_column("image", datasets.Image(decode=False))
    made["albumentations, 256-pixel PNG"] = loaded(small.with_transform(usual))
    made["albumentations, lean, one channel"] = loaded(undecoded.with_transform(lean))
    made["timm RandAugment, 256-pixel PNG"] = loaded(small.with_transform(by_pillow(timm_transform())))
    return made


COMPARISONS = (
    ("no augmentation, ImageNet", "Transformers, 1024-pixel PNG", 100),
    ("no augmentation, alike", "Transformers, 1024-pixel PNG", 100),
    ("rotate, scale, shift, flip, ImageNet", "Transformers, 1024-pixel PNG", 50),
    ("rotate, scale, shift, flip, alike", "Transformers, 1024-pixel PNG", 50),
    ("rotate, scale, shift, flip, ImageNet", "albumentations, 256-pixel PNG", 5),
    ("rotate, scale, shift, flip, alike", "albumentations, 256-pixel PNG", 5),
    ("rotate, scale, shift, flip, alike", "albumentations, lean, one channel", 5),
    ("RandAugment, crop, flip, ImageNet", "timm RandAugment, 256-pixel PNG", None),
    ("RandAugment, crop, flip, alike", "timm RandAugment, 256-pixel PNG", None),
)


def stored(pngs, folder, copies=1):
    """PNG files as a dataset with `image`, memory-mapped, the whole of it several times."""
    rows = [{"image": {"bytes": png, "path": None}} for png in pngs]
    dataset = datasets.Dataset.from_list(rows, datasets.Features({"image": datasets.Image()}))
    return written(dataset, folder, copies)


def written(dataset, folder, copies):
    datasets.concatenate_datasets([dataset] * copies).save_to_disk(folder)
    return datasets.load_from_disk(folder)


def png_of(image):
    png = io.BytesIO()
    Image.fromarray(shrink_image(image, WHOLE)).save(png, "PNG")
    return png.getvalue()


def cache(dataset, size, folder):
    return written(pixels.shrink(dataset, size), folder, COPIES)


def ours(rows, size, statistics, settings=None):
    """finetune.py's path, without augmentation where there are no settings."""
    split = batches.Batches(rows, np.zeros((len(rows), 14), np.float32), size)
    for batch in batches.training_loader(split, batches.Order(len(rows), BATCH, epochs=10**6, seed=0)):
        if settings is None:
            yield augment.normalise(batch["pixels"], SIDE, *statistics)
            continue
        changes = augment.draw(batch["draw"].numpy(), 0, 0, settings.augmentation, visible=SIDE / size)
        yield augment.augment(batch["pixels"], changes, SIDE, *statistics)


# What stands beside it


def loaded(dataset):
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, drop_last=True, collate_fn=stacked)
    while True:
        yield from loader


def stacked(examples):
    return torch.stack([example["pixel_values"] for example in examples])


def by_pillow(transform):
    return lambda rows: {"pixel_values": [transform(image.convert("RGB")) for image in rows["image"]]}


def by_opencv(transform):
    """A PNG's bytes decoded as one grey channel, which the model sees three times."""

    def grey(image):
        return cv2.imdecode(np.frombuffer(image["bytes"], np.uint8), cv2.IMREAD_GRAYSCALE)[:, :, None]

    return lambda rows: {"pixel_values": [transform(grey(image)).expand(3, -1, -1) for image in rows["image"]]}


def transformers_example():
    return Compose([RandomResizedCrop(SIDE), RandomHorizontalFlip(), ToTensor(), Normalize(*IMAGENET)])


def albumented(statistics, channels):
    mean, std = (values[:channels] for values in statistics)
    steps = albumentations.Compose(
        [
            albumentations.Affine(
                rotate=(-PLAIN.rotate, PLAIN.rotate),
                scale=(1 - PLAIN.scale, 1 + PLAIN.scale),
                translate_percent=(-PLAIN.shift, PLAIN.shift),
                p=1,
            ),
            albumentations.HorizontalFlip(p=PLAIN.flip),
            albumentations.CenterCrop(SIDE, SIDE),
            albumentations.RandomBrightnessContrast(PLAIN.contrast / 2, PLAIN.contrast, p=1),
            albumentations.Normalize(mean, std),
            ToTensorV2(),
        ]
    )
    return lambda image: steps(image=np.asarray(image))["image"]


def timm_transform():
    return create_transform(
        SIDE,
        is_training=True,
        auto_augment=f"rand-m{MEDMAE.randaugment}-mstd0.5-inc1",
        scale=(MEDMAE.crop, 1),
        hflip=MEDMAE.flip,
        interpolation="bicubic",
        mean=IMAGENET[0],
        std=IMAGENET[1],
    )


# The clock


def all_rates(feeds, turns, seconds):
    """Images/s of each feed in each turn."""
    for name, feed in feeds.items():
        first = next(feed)
        if first.shape != (BATCH, 3, SIDE, SIDE) or first.dtype != torch.float32:
            raise ValueError(f"{name} gives {first.dtype} of {tuple(first.shape)}: what is measured must be alike")
    turns = [{name: rate(feed, seconds) for name, feed in feeds.items()} for _ in range(turns)]
    return {name: [turn[name] for turn in turns] for name in feeds}


def rate(feed, seconds):
    images, start = 0, time.perf_counter()
    for batch in feed:
        images += len(batch)
        passed = time.perf_counter() - start
        if passed > seconds:
            return images / passed


if __name__ == "__main__":
    main()
