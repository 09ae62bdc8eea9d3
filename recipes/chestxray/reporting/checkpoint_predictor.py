"""A checkpoint that predicts files by the evaluation's own functions."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from transformers import CLIPImageProcessor

from chestxray.models import classifiers
from chestxray.models.inference import Views, average_views, view_logits
from chestxray.reporting.predict_chunks import FileReading
from chestxray.scoring.test_time_views import side_to_shrink_to, views
from chestxray.training.prediction_settings import prediction_settings


@dataclass(frozen=True)
class CheckpointPredictor:
    """A checkpoint on its device, with the input that its evaluation gives it.

    Attributes:
        averaged: the function that cuts the views whose probabilities are averaged; batch_size: images per pass.
    """

    model: torch.nn.Module
    processor: CLIPImageProcessor
    findings: list[str]
    reading: FileReading
    averaged: Views
    device: torch.device
    batch_size: int

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k) float32, by the evaluation's own functions."""
        parts = [np.empty((0, len(self.findings)), np.float32)]
        for start in range(0, len(pixels), self.batch_size):
            batch = torch.from_numpy(pixels[start : start + self.batch_size])[:, None].to(self.device)
            parts.append(average_views(view_logits(self.model, batch, self.processor, self.averaged).cpu().numpy()))
        return np.concatenate(parts)


def load_predictor(
    checkpoint: str | Path, accelerator: Accelerator, *, tta: str, voi: str, force: bool, batch_size: int
) -> CheckpointPredictor:
    """Load a checkpoint to predict with it as score.py does.

    Args:
        tta: one of `test_time_views.VIEWS`.

    Raises:
        FileNotFoundError, ValueError: the folder is no checkpoint, or a damaged one.
    """
    settings = prediction_settings(checkpoint)
    model, processor, findings = classifiers.load_classifier(checkpoint)
    whole, side = classifiers.sides(processor)
    reading = FileReading(side_to_shrink_to(whole, side, tta), settings.equalize, voi, force)
    # Without DDP, whose processes would wait for each other in each pass
    model = accelerator.prepare_model(model, evaluation_mode=True).eval()
    cut = partial(views, side=side, tta=tta)
    return CheckpointPredictor(model, processor, findings, reading, cut, accelerator.device, batch_size)
