"""A checkpoint that predicts files by the evaluation's own functions."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from transformers import CLIPImageProcessor

from chestxray.files import digest
from chestxray.models import classifiers
from chestxray.models.described import DescribingClassifier
from chestxray.models.inference import Views, average_views, view_logits
from chestxray.models.weights import digest_weights
from chestxray.predicting.file_chunks import DISTANCE, FileReading
from chestxray.scoring import feature_statistics
from chestxray.scoring.feature_statistics import FeatureStatistics
from chestxray.scoring.test_time_views import middle, side_to_shrink_to, views
from chestxray.training.prediction_settings import prediction_settings


@dataclass(frozen=True)
class CheckpointPredictor:
    """A checkpoint on its device, with the input that its evaluation gives it; see `file_chunks.FilePredictor`.

    Attributes:
        averaged: the function that cuts the views whose probabilities are averaged; batch_size: images per pass.
        statistics: of the training images; with them `model` is a `described.DescribingClassifier`.
    """

    model: torch.nn.Module
    processor: CLIPImageProcessor
    findings: list[str]
    reading: FileReading
    averaged: Views
    device: torch.device
    batch_size: int
    statistics: FeatureStatistics | None = None

    @property
    def columns(self) -> list[str]:
        return [*self.findings, *([DISTANCE] if self.statistics else [])]

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8, n > 0, to (n, k) float32 logits, by the evaluation's own functions, and the distance
        if there are statistics: (n, k + 1)."""
        starts = range(0, len(pixels), self.batch_size)
        return np.concatenate([self._numbers_of_batch(pixels[start : start + self.batch_size]) for start in starts])

    def _numbers_of_batch(self, pixels):
        batch, k = torch.from_numpy(pixels)[:, None].to(self.device), len(self.findings)
        found = view_logits(self.model, batch, self.processor, self.averaged).cpu().numpy()  # (n, views, k + …)
        logits = average_views(found[..., :k])
        if self.statistics is None:
            return logits
        distances = self.statistics.distances(found[:, middle(found.shape[1]), k:])
        return np.column_stack([logits, distances.astype(np.float32)])


def load_predictor(
    checkpoint: str | Path,
    accelerator: Accelerator,
    *,
    tta: str,
    voi: str,
    force: bool,
    batch_size: int,
    statistics: FeatureStatistics | None = None,
) -> CheckpointPredictor:
    """Load a checkpoint to predict with it as score.py does.

    Args:
        tta: one of `test_time_views.VIEWS`.
        statistics: of its training images, for these views; None where there are none.

    Raises:
        FileNotFoundError, ValueError: the folder is no checkpoint, or a damaged one.
    """
    settings = prediction_settings(checkpoint)
    model, processor, findings = classifiers.load_classifier(checkpoint)
    whole, side = classifiers.sides(processor)
    reading = FileReading(side_to_shrink_to(whole, side, tta), settings.equalize, voi, force)
    # Without DDP, whose processes would wait for each other in each pass
    whole_model = DescribingClassifier(model) if statistics else model
    prepared = accelerator.prepare_model(whole_model, evaluation_mode=True).eval()
    cut = partial(views, side=side, tta=tta)
    return CheckpointPredictor(prepared, processor, findings, reading, cut, accelerator.device, batch_size, statistics)


def describe_job(
    checkpoint: str | Path, tta: str, reading: FileReading, statistics: FeatureStatistics | None = None
) -> dict:
    """What the numbers of a file depend on, as a JSON object; see `file_chunks.claim`."""
    compared_with = digest(feature_statistics.as_bytes(statistics)) if statistics else None
    return {"sha256": digest_weights(checkpoint), "tta": tta, "statistics": compared_with, **vars(reading)}
