"""An exported model beside its checkpoint: the same images, the same numbers."""

import numpy as np
import torch
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.exporting.onnx_file import DISTANCE, MAPS, OnnxModel
from chestxray.models.described import DescribingClassifier
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.inference import model_input, view_logits
from chestxray.scoring.feature_statistics import FeatureStatistics

TOLERANCE = 1e-4  # of a logit; of a map as a share of its largest value or of 1; of a distance as a share of it or of 1
BATCHES = (1, 3)  # images per pass: some exports hold only for the batch size that was traced


class Disagreement(ValueError):
    """An exported model gives other numbers than its checkpoint."""


def largest_differences(
    exported: OnnxModel,
    model: PreTrainedModel,
    processor: CLIPImageProcessor,
    pixels: np.ndarray,
    statistics: FeatureStatistics | None = None,
) -> dict[str, float]:
    """{output: the largest absolute difference to PyTorch}; that of maps and distances as a share, see TOLERANCE.

    Args:
        model: the checkpoint's, on the CPU. pixels: (n, size, size) uint8, n at least 3.
        statistics: those in the exported model, where it gives distances.

    Raises:
        Disagreement: the outputs have other shapes, or a batch of one size is refused.
    """
    wanted = torch_outputs(model, processor, pixels, MAPS in exported.output_names(), statistics)
    found: dict[str, float] = {}
    for size in BATCHES:
        parts = outputs_in_batches(exported, pixels, size)
        for name, values in wanted.items():
            given = np.concatenate([part[name] for part in parts])
            found[name] = float(np.maximum(found.get(name, 0.0), difference(name, given, values, size)))  # keeps NaN
    return found


def outputs_in_batches(exported, pixels, size):
    """[{output: array}] of batches of `size` images. Raises Disagreement if ONNX Runtime refuses one."""
    try:
        return [exported.outputs(part) for part in np.split(pixels, range(size, len(pixels), size))]
    except Exception as error:  # onnxruntime's own kinds
        reason = " ".join(str(error).split())
        raise Disagreement(f"the exported model does not take {size} images at once: {reason:.200}") from error


def difference(name, given, wanted, batch):
    """See `largest_differences`."""
    if given.shape != wanted.shape:
        raise Disagreement(f"in batches of {batch} the {name} are {given.shape}, not {wanted.shape} as in PyTorch")
    largest = {MAPS: np.abs(wanted).max(), DISTANCE: np.abs(wanted)}.get(name, 1.0)
    return float((np.abs(given - wanted) / np.maximum(1.0, largest)).max())


def torch_outputs(model, processor, pixels, maps, statistics):
    """{output: array} by the evaluation's own functions."""
    batch = torch.from_numpy(pixels)[:, None]
    logits = view_logits(model, batch, processor)[:, 0]
    wanted = {"logits": logits.numpy(), "probabilities": logits.sigmoid().numpy()}
    if maps:
        images = model_input(batch, processor, channels_last=False)
        wanted[MAPS] = Heatmapper(model, "cam").compute(images)[1].numpy()
    if statistics:
        described = view_logits(DescribingClassifier(model), batch, processor)[:, 0, logits.shape[1] :]
        wanted[DISTANCE] = statistics.distances(described.numpy())
    return wanted


def refuse_disagreement(differences: dict[str, float]) -> None:
    """Raise Disagreement if an output is farther from PyTorch's than TOLERANCE, or no number."""
    for name, value in differences.items():
        if not value <= TOLERANCE:
            raise Disagreement(
                f"the exported model disagrees with the checkpoint in its {name}, by {value:.2g}; {TOLERANCE:g} is "
                "allowed. Nothing is written. Try another version of PyTorch or of onnxruntime"
            )
