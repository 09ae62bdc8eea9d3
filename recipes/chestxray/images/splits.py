"""The data for training and scoring: the rows of a split, their targets and their patients."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from datasets import Dataset, DatasetDict, concatenate_datasets
from torch.utils.data import DataLoader

from chestxray.data import labels, sources
from chestxray.data.datasets_internals import column
from chestxray.files import digest
from chestxray.images import batches, pixels
from chestxray.images.batches import Batches, Order
from chestxray.images.cached_pixels import CachedPixels
from chestxray.machine import cores


@dataclass
class Split:
    """One split of one dataset, or of several as one.

    Attributes:
        rows: with `image_file_path`, and `pixels` as bytes or, without the cache, `image`.
        targets: (rows, findings) float32, 0 to 1, NaN where unknown.
        patients: one string per row.
        size: side of the pixels.
        equalize: whether images that are not shrunk yet are to be equalised.
        weights: (rows,) how often each row is drawn, or None.
    """

    rows: Dataset
    targets: np.ndarray
    patients: list[str]
    size: int
    equalize: bool = False
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Batches:
        return Batches(self.rows, self.targets, self.size, self.equalize)

    def training_loader(self, order: Order, workers: int = 0, pin_memory: bool = False) -> DataLoader:
        """See `batches.training_loader`."""
        return batches.training_loader(self.batches(), order, workers, pin_memory)

    def evaluation_loader(self, size: int, process: int = 0, processes: int = 1, workers: int = 0) -> DataLoader:
        """See `batches.evaluation_loader`."""
        return batches.evaluation_loader(self.batches(), size, process, processes, workers)

    def digests(self) -> dict[str, str]:
        """Digests of the rows and of the images: a split of other data has other digests.

        `rows` is over paths, patients and targets. With the cache, `pixels SIDE` is over its bytes. Without the cache,
        `files` is over the images as they are stored. Streamed images have no digest.
        """
        paths = column(self.rows, "image_file_path").to_pylist()
        names = ("\n".join(texts) for texts in (paths, self.patients))
        return {
            "rows": digest(*names, np.ascontiguousarray(self.targets).tobytes()),
            **image_digests(self.rows, self.size, self.equalize),
        }

    def names(self, index: Iterable[int]) -> list[str]:
        """`image_file_path` of the rows at these positions."""
        return self.rows.select_columns("image_file_path")[list(index)]["image_file_path"]


def make_splits(
    dataset: DatasetDict,
    findings: Sequence[str],
    size: int,
    policy: labels.Policy,
    *,
    seed: int = 0,
    equalize: bool = False,
    cache: bool = True,
    num_proc: int | None = None,
    tell: Callable[[str], object] = print,
) -> dict[str, Split]:
    """The splits of a dataset by name. Each image that is not in the cache yet is decoded and shrunk.

    Args:
        size: side to which images are shrunk, pixels.
        policy: what uncertain labels count as; seed: of those that are drawn.
        cache: keep the pixels. Without it images are decoded whenever they are read.
        num_proc: processes that decode images; None is one per core.
        tell: is called with the size of a new cache.
    """
    chosen = {name: dataset[name] for name in sources.SPLITS if name in dataset}
    if cache:
        pixels.check_room(list(chosen.values()), size, equalize, tell)
    splits = {}
    for name, rows in chosen.items():
        targets = labels.targets(rows, findings, policy, training=name == "train", seed=seed)
        patients = sources.patients(rows)
        if cache:
            rows = pixels.shrink(rows, size, equalize, num_proc or cores())
        splits[name] = Split(rows, targets, patients, size, equalize)
    return splits


def concatenate_splits(parts: Sequence[Split], weights: Sequence[float] | None = None) -> Split:
    """Several splits as one. weights: how often images of each are drawn; None draws all images alike."""
    if len(parts) == 1 and not weights:
        return parts[0]
    columns = ["image_file_path", "pixels" if "pixels" in parts[0].rows.column_names else "image"]
    return Split(
        concatenate_datasets([part.rows.select_columns(columns) for part in parts]),
        np.concatenate([part.targets for part in parts]),
        [patient for part in parts for patient in part.patients],
        parts[0].size,
        parts[0].equalize,
        row_weights(parts, weights) if weights else None,
    )


def row_weights(parts, weights):
    """Each dataset's weight, spread evenly over its rows: (rows of all,) float64."""
    return np.concatenate([np.full(len(part), w / len(part)) for part, w in zip(parts, weights, strict=True)])


def refuse_unlabelled(split: Split, findings: Sequence[str]) -> None:
    """Raise ValueError for a finding that no image of a split has a label for: it could not be learnt."""
    known = (~np.isnan(split.targets)).any(0)
    if unlabelled := [name for name, is_known in zip(findings, known, strict=True) if not is_known]:
        raise ValueError(
            f"no training image is labelled for {', '.join(unlabelled)}: choose other --findings, or another policy "
            "for uncertain labels"
        )


# Digests


def compute_digests(parts: Sequence[Mapping[str, Split]], accelerator: Accelerator) -> list[dict[str, dict[str, str]]]:
    """`Split.digests` of every split of every dataset. The first process computes them for all."""
    computed = None
    if accelerator.is_main_process:
        computed = [{name: split.digests() for name, split in part.items()} for part in parts]
    return broadcast_object_list([computed])[0]


def image_digests(rows, size, equalize):
    """{what: digest} of the images of a split; {} if it has none."""
    images = xxhash.xxh3_128()  # 5.6 GB for NIH at 224 pixels: a cryptographic digest would take longer than the disk
    if "pixels" in rows.column_names:
        cached = CachedPixels(rows, size * size)
        for first in range(0, len(rows), 256):
            images.update(cached.read(range(first, min(first + 256, len(rows)))))
        return {f"pixels {size}{' equalized' if equalize else ''}": images.hexdigest()}
    if "image" in rows.column_names:
        for row in pixels.keep_encoded(rows.select_columns("image")):
            images.update(row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes())
        return {"files": images.hexdigest()}
    return {}
