"""How well a checkpoint tells test radiographs from other pictures: AUROC of each kind, and how many are flagged.

    python tests/benchmarks/bench_unlike.py CHECKPOINT [--photographs FOLDER] [--images 400] [--seed 0] [--threads 2]

CHECKPOINT is a folder of finetune.py. Nothing is written into it. Mean, covariance and limit come from its own training
and validation images, as score.py makes them. The test images are then compared with the same images inverted and
turned, with crops of photographs, and with noise of several kinds. The photographs are the three that scikit-learn and
matplotlib bring along, and those in a folder, such as scikit-image's skimage/data. Goal: at least 0.95 for each kind.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

from chestxray.data import sources
from chestxray.images.grey import shrink_image
from chestxray.images.pixels import keep_encoded, shrink_row
from chestxray.predicting import checkpoint_predictor
from chestxray.reporting.predictor import Predictor
from chestxray.reporting.score_options import ScoreOptions
from chestxray.scoring import describing

DISTANCE = -1  # the column of `FilePredictor.numbers`


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    predictor = Predictor(ScoreOptions(models=[arguments.checkpoint]))
    settings = predictor.settings_of(arguments.checkpoint)
    datasets = [predictor.open(source, [arguments.checkpoint]) for source in settings.dataset]
    start = time.perf_counter()
    statistics = describing.describe_training(predictor.accelerator, arguments.checkpoint, datasets, settings)
    seconds = time.perf_counter() - start
    print(f"{statistics.n_train:,} training and {statistics.n_validation:,} validation images, {seconds:.0f} s")
    for name, (share, count) in statistics.false_alarms.items():
        print(f"{name}: {share:.2%} of {count:,} test images are flagged ({statistics.rate:.0%} asked for)")
    files = checkpoint_predictor.load_predictor(
        arguments.checkpoint,
        predictor.accelerator,
        tta="none",
        voi="table",
        force=False,
        batch_size=64,
        statistics=statistics,
    )
    chests = read_chests(datasets, files.reading.size, arguments.images)
    photos, rng = photographs(arguments.photographs), np.random.default_rng(arguments.seed)
    compare(files, chests, pictures(chests, photos, arguments.images, rng))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--photographs", type=Path, help="a folder of more of them, PNG or JPEG")
    parser.add_argument("--images", type=int, default=400, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def compare(files, chests, kinds):
    """Print a row for each kind. chests: (n, size, size) uint8."""
    near = files.numbers(chests)[:, DISTANCE]
    print(f"{len(near)} test radiographs: median distance {np.median(near):.2f}, {(near > 1).mean():.1%} flagged")
    print(f"{'kind':<22}{'pictures':>9}{'AUROC':>8}{'flagged':>9}")
    for kind, found in kinds.items():
        far = files.numbers(np.stack(found))[:, DISTANCE]
        auroc = roc_auc_score(np.r_[np.zeros(len(near)), np.ones(len(far))], np.r_[near, far])
        print(f"{kind:<22}{len(far):>9}{auroc:>8.4f}{(far > 1).mean():>9.1%}", flush=True)


def read_chests(datasets, size, count):
    """Test images by the hash of their patients, (n, size, size) uint8."""
    found = []
    for dataset in datasets:
        rows = dataset.splits["test"]
        found += [shrink_row(row, size) for row in keep_encoded(sources.keep_images(rows, min(count, len(rows))))]
    return np.stack(found)


def pictures(chests, photos, count, rng):
    """{kind: pictures as the model gets them}."""
    size = chests.shape[-1]
    return {
        "inverted": list(255 - chests),
        "turned left": [np.ascontiguousarray(np.rot90(chest)) for chest in chests],
        "turned right": [np.ascontiguousarray(np.rot90(chest, 3)) for chest in chests],
        "upside down": [np.ascontiguousarray(chest[::-1, ::-1]) for chest in chests],
        "photographs": crops(photos, size, count, rng),
        "photographs, whole": [shrink_image(Image.fromarray(photo), size) for photo in photos],
        "noise": [noise(size, rng) for _ in range(count)],
    }


def photographs(folder):
    """Greys and colours, uint8."""
    hopper = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    more = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg")) if folder else []
    return [*load_sample_images().images, *(np.asarray(Image.open(path).convert("RGB")) for path in (hopper, *more))]


def crops(photos, size, count, rng):
    """Squares of a third to the whole of a photograph's shorter side."""
    found = []
    for number in range(count):
        photo = photos[number % len(photos)]
        side = int(min(photo.shape[:2]) * rng.uniform(1 / 3, 1))
        top, left = (rng.integers(0, whole - side + 1) for whole in photo.shape[:2])
        found.append(shrink_image(Image.fromarray(photo[top : top + side, left : left + side]), size))
    return found


def noise(size, rng):
    """Grey noise with grains of 1, 4 or 16 pixels."""
    grain = rng.choice([1, 4, 16])
    cells = rng.integers(0, 256, (-(-size // grain),) * 2, dtype=np.uint8)
    return np.kron(cells, np.ones((grain, grain), np.uint8))[:size, :size]


if __name__ == "__main__":
    main()
