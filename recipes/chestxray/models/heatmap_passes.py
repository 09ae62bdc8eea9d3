"""Heatmaps and logits of every image of a split: by all processes together, each image once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.images.splits import Split
from chestxray.models.adapting import new_model
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.inference import average_views, each_image_once, model_input

SEED = 0  # of random weights


def compute_heatmaps(
    mapper: Heatmapper,
    split: Split,
    processor: CLIPImageProcessor,
    accelerator: Accelerator,
    batch_size: int,
    progress: Callable[[int], Any],
    columns: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, k) and maps (n, k, h, w) in the order of the split's rows, float32, on every process.

    Args:
        mapper: of a model on the accelerator's device. Every process must call this function.
        processor: the model's.
        batch_size: images per process and pass.
        progress: is called after each pass with the number of images that are done.
        columns: None, or the places of the map's columns, 0 to 1. With them a map is the mean of the image's own and of
            its mirror image's, turned back, and a logit is that of the mean probability.

    Raises:
        RuntimeError: an image is missing. That would be a bug of this library.
    """
    device, parts, done = accelerator.device, [], 0
    for batch in split.evaluation_loader(batch_size, accelerator.process_index, accelerator.num_processes):
        with accelerator.autocast():
            images = model_input(batch["pixels"].to(device), processor, channels_last=False)
            logits, maps = compute_views(mapper, images, columns)
        gathered = accelerator.gather((batch["index"].to(device), logits.contiguous(), maps.contiguous()))
        parts.append([part.cpu().numpy() for part in gathered])
        seen = min(len(split), done + len(parts[-1][0]))
        progress(seen - done)
        done = seen
    index, *found = (np.concatenate(part) for part in zip(*parts, strict=True))
    ordered_logits, ordered_maps = (each_image_once(index, part, len(split)) for part in found)
    return average_views(ordered_logits) if columns else ordered_logits[:, 0], ordered_maps


def compute_views(
    mapper: Heatmapper, images: torch.Tensor, columns: Sequence[float] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (m, views, k), maps (m, k, h, w)) of one batch; see `compute_heatmaps`."""
    logits, maps = mapper.compute(images)
    if columns is None:
        return logits[:, None], maps
    mirrored_logits, mirrored_maps = mapper.compute(images.flip(-1), mirrored=True)
    turned = mirrored_maps.flip(-1) @ columns_of_mirror(columns).to(maps)
    return torch.stack([logits, mirrored_logits], dim=1), (maps + turned) / 2


def columns_of_mirror(columns: Sequence[float]) -> torch.Tensor:
    """(w, w) weights that turn the columns of a mirror image's map, in the image's order, into those of its own map.

    A network whose columns do not look at the middles of equal cells sees other places in a mirror image. So its map is
    read at the places of the own columns, linear between two columns and constant beyond the outermost ones.

    >>> columns_of_mirror([0.25, 0.75])
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    own = np.asarray(columns, np.float64)
    numbers = np.arange(len(own))
    found = np.interp(own, (1 - own)[::-1], numbers)
    return torch.from_numpy(np.maximum(0, 1 - np.abs(numbers[:, None] - found)))


def with_random_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A new model of the same configuration, with the random weights and statistics that it begins with.

    The seed is always the same, and PyTorch's own random state stays as it is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return new_model(model.config).eval()
