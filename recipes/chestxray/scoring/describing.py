"""From a checkpoint and its datasets to the statistics of its features, by all processes together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import CLIPImageProcessor

from chestxray.data import sources
from chestxray.data.opening import OpenDataset
from chestxray.images.splits import Split
from chestxray.models import classifiers
from chestxray.models.described import COPY, describing
from chestxray.models.inference import predict_logits
from chestxray.models.weights import digest_weights
from chestxray.scoring import feature_statistics
from chestxray.scoring.feature_statistics import FEWEST, RATE, FeatureStatistics, Reference
from chestxray.scoring.test_time_views import side_to_shrink_to

if TYPE_CHECKING:
    from chestxray.training.settings import Settings

# Of each split and dataset, chosen by a hash of their patients. A mean and a shrunk covariance need no more, and so the
# cost does not grow with the dataset. The share of 4,096 images beyond a limit of 1% has a standard error of 0.16%.
MOST = 4096
SPLITS = ("train", "validation", "test")
REASONS = f"it needs a model with one linear layer at its end, {FEWEST} training images, and validation"


@dataclass(frozen=True)
class Describer:
    """A checkpoint that describes images, on all processes.

    Attributes:
        model: a `described.DescribingClassifier` as Accelerate leaves it.
        n_logits: how many numbers come before the description. size: the side to which images are shrunk.
        batch_size: images per process and pass.
    """

    model: torch.nn.Module
    processor: CLIPImageProcessor
    accelerator: Accelerator
    n_logits: int
    size: int
    equalize: bool
    batch_size: int

    def describe(self, rows: Dataset) -> np.ndarray:
        """The middle of each image as `DescribingClassifier` describes it, (n, d + COPY²) float32."""
        nothing = np.zeros((len(rows), 0), np.float32)
        split = Split(rows, nothing, [""] * len(rows), self.size, self.equalize)
        numbers = predict_logits(self.model, split, self.processor, self.accelerator, self.batch_size)
        return numbers[:, self.n_logits :]


def describe_training(
    accelerator: Accelerator,
    checkpoint: str | Path,
    datasets: Sequence[OpenDataset],
    settings: "Settings",
    *,
    tta: str = "none",
    batch_size: int = 64,
) -> FeatureStatistics | None:
    """The statistics of a checkpoint's training images, with the limit of validation and the false alarms on test.

    Every process must call it.

    Args:
        datasets: those that it was trained on.
        settings: see `dataset_predictions.predict`. batch_size: images per step, all processes together.
        tta: see `FeatureStatistics.tta`.

    Returns:
        None for the reasons that REASONS names.
    """
    chosen = [(one.name, choose_rows(one)) for one in datasets]
    counts = {split: sum(len(rows[split]) for _, rows in chosen if split in rows) for split in SPLITS}
    if counts["train"] < FEWEST or not counts["validation"]:
        return None
    describer = load_describer(accelerator, checkpoint, settings.equalize, tta, batch_size)
    if describer is None:
        return None
    found: dict[str, list[tuple[str, np.ndarray]]] = {split: [] for split in SPLITS}
    for name, split, rows in tqdm(
        list(each_split(chosen)), desc="Describing", unit="split", disable=not accelerator.is_main_process
    ):
        found[split].append((name, describer.describe(rows)))
    train, validated = (np.concatenate([numbers for _, numbers in found[split]]) for split in ("train", "validation"))
    references = feature_statistics.fit(train, validated, COPY * COPY, RATE)
    return FeatureStatistics(
        sha256=digest_weights(checkpoint),
        tta=tta,
        n_train=len(train),
        n_validation=len(validated),
        rate=RATE,
        false_alarms=false_alarms(references, found["test"]),
        references=references,
    )


def load_describer(
    accelerator: Accelerator, checkpoint: str | Path, equalize: bool, tta: str, batch_size: int
) -> Describer | None:
    """A checkpoint that describes images; None if it does not end with one linear layer."""
    model, processor, findings = classifiers.load_classifier(checkpoint)
    whole, side = classifiers.sides(processor)
    describer = describing(model, side)
    if describer is None:
        return None
    return Describer(
        model=accelerator.prepare_model(describer, evaluation_mode=True),
        processor=processor,
        accelerator=accelerator,
        n_logits=len(findings),
        size=side_to_shrink_to(whole, side, tta),
        equalize=equalize,
        batch_size=-(-batch_size // accelerator.num_processes),
    )


def choose_rows(dataset: OpenDataset) -> dict[str, Dataset]:
    """{split: at most MOST of its images}, without splits that are not there."""
    there = {split: dataset.splits[split] for split in SPLITS if split in dataset.splits}
    return {split: sources.keep_images(rows, min(MOST, len(rows))) for split, rows in there.items()}


def each_split(chosen: Sequence[tuple[str, dict[str, Dataset]]]) -> Iterator[tuple[str, str, Dataset]]:
    """(name of a dataset, split, rows)."""
    for name, rows_of in chosen:
        for split, rows in rows_of.items():
            yield name, split, rows


def false_alarms(
    references: dict[str, Reference], described: Sequence[tuple[str, np.ndarray]]
) -> dict[str, tuple[float, int]]:
    """{dataset: (share of its test images beyond the limit, how many images)}."""
    return {
        name: (float((feature_statistics.distances(references, numbers) > 1).mean()), len(numbers))
        for name, numbers in described
    }
