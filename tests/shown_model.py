"""A small model that shows findings and heatmaps, without a training: random weights, and a calibration made up."""

import numpy as np
from transformers import CLIPImageProcessor

from chestxray.models.weights import digest_weights
from chestxray.scoring import calibration_file
from chestxray.scoring.calibration_file import PERCENTS, ModelCalibration
from chestxray.scoring.thresholds import RULES
from heatmap_models import FINDINGS, SIDE, make_model

WHOLE = 72  # the model sees the middle SIDE pixels
STATISTICS = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}


def write_checkpoint(folder, family="convnext"):
    """A checkpoint with a calibration.json, in which every image is called Mass and Edema, and none Hernia."""
    folder.mkdir(parents=True)
    make_model(family, folder.parent).save_pretrained(folder)
    sides = {"size": {"height": WHOLE, "width": WHOLE}, "crop_size": {"height": SIDE, "width": SIDE}}
    CLIPImageProcessor(**sides, **STATISTICS).save_pretrained(folder)
    calibration_file.save(made_up(digest_weights(folder)), folder)
    return folder


def made_up(sha256):
    """Mass has the higher percentile, Hernia has no calibration but a threshold."""
    limits = np.array([-90.0, -90.0, 90.0])
    return ModelCalibration(
        findings=FINDINGS,
        sha256=sha256,
        tta="none",
        datasets=["Synthetic archive"],
        synthetic=True,
        n_images=100,
        rule="youden",
        sensitivity=0.9,
        platt=np.array([[0.1, -1.0], [0.1, -2.0], [np.nan, np.nan]]),
        limits=dict.fromkeys(RULES, limits),
        quantiles=np.stack([PERCENTS - 150, PERCENTS - 60, PERCENTS - 50]),
    )


def write_onnx(checkpoint, path):
    """The checkpoint as export.py writes it."""
    from chestxray.exporting import export_run

    export_run.export(export_run.ExportOptions(checkpoint=str(checkpoint), output=str(path)))
    return path
