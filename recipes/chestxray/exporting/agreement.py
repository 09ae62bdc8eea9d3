"""An exported model beside its checkpoint: the same images, the same numbers."""

import numpy as np
import torch
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.exporting.onnx_file import OnnxModel
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.inference import model_input, view_logits

TOLERANCE = 1e-4  # of a logit, and of a map as a share of its largest value or of 1
BATCHES = (1, 3)  # images per pass: some exports hold only for the batch size that was traced


class Disagreement(ValueError):
    """An exported model gives other numbers than its checkpoint."""


def largest_differences(
    exported: OnnxModel, model: PreTrainedModel, processor: CLIPImageProcessor, pixels: np.ndarray
) -> dict[str, float]:
    """{output: the largest absolute difference to PyTorch}; that of the maps as a share of the largest value or of 1.

    Args:
        model: the checkpoint's, on the CPU. pixels: (n, size, size) uint8, n at least 3.

    Raises:
        Disagreement: the outputs have other shapes, or a batch of one size is refused.
    """
    wanted = torch_outputs(model, processor, pixels, maps="maps" in exported.output_names())
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
    scale = max(1.0, float(np.abs(wanted).max())) if name == "maps" else 1.0
    return float(np.abs(given - wanted).max()) / scale


def torch_outputs(model, processor, pixels, maps):
    """{output: array} by the evaluation's own functions."""
    batch = torch.from_numpy(pixels)[:, None]
    logits = view_logits(model, batch, processor)[:, 0]
    wanted = {"logits": logits.numpy(), "probabilities": logits.sigmoid().numpy()}
    if maps:
        images = model_input(batch, processor, channels_last=False)
        wanted["maps"] = Heatmapper(model, "cam").compute(images)[1].numpy()
    return wanted


def refuse_disagreement(differences: dict[str, float]) -> None:
    """Raise Disagreement if an output is farther from PyTorch's than TOLERANCE, or no number."""
    for name, value in differences.items():
        if not value <= TOLERANCE:
            raise Disagreement(
                f"the exported model disagrees with the checkpoint: its {name} differ by {value:.2g}, {TOLERANCE:g} is "
                "allowed. Nothing is written. Try another version of PyTorch or of onnxruntime"
            )
