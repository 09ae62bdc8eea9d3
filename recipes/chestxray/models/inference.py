"""A model's logits for every image of a split: by all processes together, each image once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import CLIPImageProcessor

from chestxray.data.predictions import mean_logit
from chestxray.images import augment
from chestxray.images.splits import Split
from chestxray.models.processors import sides

Views = Callable[[torch.Tensor], Sequence[torch.Tensor]]


@torch.inference_mode()
def predict_logits(
    model: torch.nn.Module,
    split: Split,
    processor: CLIPImageProcessor | None,
    accelerator: Accelerator,
    batch_size: int,
    *,
    views: Views | None = None,
    workers: int = 0,
    channels_last: bool = False,
    progress: Callable[[], Any] | None = None,
) -> np.ndarray:
    """Logits of a split in the order of its rows, (n, k) float32, on every process. The model is left in `eval` mode.

    Args:
        model: as `accelerator.prepare` leaves it. Every process must call this function.
        processor: the model's; None if the split has features in place of images, which the model takes as they are.
        batch_size: images per process and pass.
        views: from pixels (m, 1, s, s) uint8 to the views of each image, each (m, 1, side, side). The logit is that of
            the mean probability over the views. None is one view, the middle.
        workers: processes that read batches.
        channels_last: memory layout of the model's input.
        progress: is called after each pass.

    Raises:
        RuntimeError: an image is missing. That would be a bug of this library.
    """
    model.eval()
    device, parts = accelerator.device, []
    for batch in split.evaluation_loader(batch_size, accelerator.process_index, accelerator.num_processes, workers):
        pixels = batch["pixels"].to(device)  # (m, 1, size, size) uint8
        logits = view_logits(model, pixels, processor, views, channels_last)
        parts.append(accelerator.gather((batch["index"].to(device), logits)))
        if progress:
            progress()
    index, gathered = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))  # (m,), (m, views, k)
    ordered = each_image_once(index, gathered, len(split))
    return average_views(ordered) if views else ordered[:, 0]


@torch.inference_mode()
def view_logits(
    model: torch.nn.Module,
    pixels: torch.Tensor,
    processor: CLIPImageProcessor | None,
    views: Views | None = None,
    channels_last: bool = False,
) -> torch.Tensor:
    """The logits of one batch, (m, views, k) float32; pixels: (m, 1, size, size) uint8. See `predict_logits`."""
    logits = [
        model(pixel_values=model_input(view, processor, channels_last)).logits.float()  # (m, k)
        for view in (views(pixels) if views else [pixels])
    ]
    return torch.stack(logits, dim=1)


def model_input(pixels: torch.Tensor, processor: CLIPImageProcessor | None, channels_last: bool) -> torch.Tensor:
    """(n, 1, s, s) uint8 as the model sees them in evaluation, (n, 3, side, side) float32; features as they are."""
    if processor is None:
        return pixels
    _, side = sides(processor)
    images = augment.normalise(pixels, side, processor.image_mean, processor.image_std)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def each_image_once(index: np.ndarray, logits: np.ndarray, count: int) -> np.ndarray:
    """The logits of rows 0 to `count` - 1, in order. Some rows come twice, so that all processes have equally many."""
    found, first = np.unique(index, return_index=True)
    if len(found) != count:
        raise RuntimeError(f"{count} images went in and {len(found)} different ones came out")
    return logits[first]


def average_views(logits: np.ndarray) -> np.ndarray:
    """(n, views, k) logits as (n, k) float32, the logit of the mean probability; NaN and infinity stay."""
    with np.errstate(invalid="ignore"):  # what is not finite is for the caller to refuse, by the image's name
        return mean_logit(logits, axis=1).astype(np.float32)
