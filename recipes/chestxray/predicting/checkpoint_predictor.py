"""A checkpoint that predicts files by the evaluation's own functions."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.files import digest
from chestxray.models import classifiers
from chestxray.models.described import DescribingClassifier
from chestxray.models.heatmap_places import measure_on_sample
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.inference import Views, average_views, model_input, view_logits
from chestxray.models.weights import digest_weights
from chestxray.predicting.file_chunks import DISTANCE
from chestxray.predicting.file_predictor import FileReading
from chestxray.scoring import feature_statistics
from chestxray.scoring.boxes_of_maps import Places
from chestxray.scoring.feature_statistics import FeatureStatistics
from chestxray.scoring.test_time_views import middle, side_to_shrink_to, views
from chestxray.training.prediction_settings import prediction_settings


@dataclass(frozen=True)
class CheckpointPredictor:
    """A checkpoint on its device, with the input that its evaluation gives it; see `FilePredictor`.

    Attributes:
        averaged: the function that cuts the views whose probabilities are averaged; batch_size: images per pass.
        statistics: of the training images; with them `model` is a `described.DescribingClassifier`.
        mapper: of the same model, by the method of its architecture; None if it has no heatmaps, or none are asked for.
        places: where the rows and columns of its maps look, see `heatmap_places`; None without a mapper.
    """

    model: torch.nn.Module
    processor: CLIPImageProcessor
    findings: list[str]
    reading: FileReading
    averaged: Views
    device: torch.device
    batch_size: int
    statistics: FeatureStatistics | None = None
    mapper: Heatmapper | None = None
    places: Places | None = None

    @property
    def columns(self) -> list[str]:
        return [*self.findings, *([DISTANCE] if self.statistics else [])]

    @property
    def has_maps(self) -> bool:
        return self.mapper is not None

    @property
    def view(self) -> int:
        return classifiers.sides(self.processor)[1]

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8, n > 0, to (n, k) float32 logits, by the evaluation's own functions, and the distance
        if there are statistics: (n, k + 1)."""
        return np.concatenate([self._numbers_of_batch(batch) for batch in self._batches(pixels)])

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8, n > 0, to heatmaps of the middle view, (n, k, h, w) float32."""
        assert self.mapper, "`has_maps` says whether there are any"
        inputs = (model_input(batch, self.processor, channels_last=False) for batch in self._batches(pixels))
        return np.concatenate([self.mapper.compute(batch)[1].cpu().numpy() for batch in inputs])

    def _batches(self, pixels):
        for start in range(0, len(pixels), self.batch_size):
            yield torch.from_numpy(pixels[start : start + self.batch_size])[:, None].to(self.device)

    def _numbers_of_batch(self, batch):
        k = len(self.findings)
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
    heatmaps: bool = False,
) -> CheckpointPredictor:
    """Load a checkpoint to predict with it as score.py does.

    Args:
        tta: one of `test_time_views.VIEWS`.
        statistics: of its training images, for these views; None where there are none.
        heatmaps: whether it gives heatmaps too, if its architecture has some.

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
    mapper = find_mapper(model) if heatmaps else None
    return CheckpointPredictor(
        model=prepared,
        processor=processor,
        findings=findings,
        reading=reading,
        averaged=cut,
        device=accelerator.device,
        batch_size=batch_size,
        statistics=statistics,
        mapper=mapper,
        places=measure_on_sample(mapper, processor, settings.equalize) if mapper else None,
    )


def find_mapper(model: PreTrainedModel) -> Heatmapper | None:
    """What gives a model's heatmaps, None if its architecture has none."""
    try:
        return Heatmapper(model)
    except ValueError:
        return None


def describe_job(
    checkpoint: str | Path, tta: str, reading: FileReading, statistics: FeatureStatistics | None = None
) -> dict:
    """What the numbers of a file depend on, as a JSON object; see `file_chunks.claim`."""
    compared_with = digest(feature_statistics.as_bytes(statistics)) if statistics else None
    return {"sha256": digest_weights(checkpoint), "tta": tta, "statistics": compared_with, **vars(reading)}
