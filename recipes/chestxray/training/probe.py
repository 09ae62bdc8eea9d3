"""A linear probe: the body is frozen, and only the head learns, on the features of every image."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from transformers import CLIPImageProcessor, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from chestxray.files import digest
from chestxray.models.frozen_body import check_head, head_name, without_head
from chestxray.models.processors import sides
from chestxray.training import device
from chestxray.training.features import FeatureCache
from chestxray.training.run_data import RunData
from chestxray.training.settings import Settings


class Head(torch.nn.Module):
    """The last layer of a classifier as a model of its own. The layer stays a part of the classifier too."""

    def __init__(self, layer: torch.nn.Linear):
        super().__init__()
        self.layer = layer

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        """pixel_values: the body's features, (n, width) float32."""
        return ImageClassifierOutput(logits=self.layer(pixel_values))


def freeze_body(
    model: PreTrainedModel,
    data: RunData,
    processor: CLIPImageProcessor,
    settings: Settings,
    accelerator: Accelerator,
    channels_last: bool = False,
) -> Head:
    """The head of a model, ready to learn. `data` has features in place of images then, from `features/` of the run.

    Every process must call it. channels_last: memory layout of the images.

    Raises:
        ValueError: the model does not end with one linear layer, the job shares weights out (FSDP), or a file of
            features is damaged.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        raise ValueError("freeze trains one linear layer, which FSDP cannot share out: launch it with eight-gpus.yaml")
    name = head_name(model)
    layer: Any = model.get_submodule(name)
    check_head(model, name, sides(processor)[1])
    if settings.base is None:
        accelerator.print("The frozen body has random weights: its features are those of no training.")
    with without_head(model, name):
        cache = FeatureCache(
            Path(settings.output_dir or "") / "features",
            accelerator.prepare_model(model, evaluation_mode=True),
            digest_body(model, processor, accelerator.mixed_precision),
            processor,
            accelerator,
            device.evaluation_batch(settings.device_batch_size, accelerator.device),
            device.reading_workers(settings.workers, accelerator.device),
            channels_last,
        )
        data.parts = cache.splits(data.parts, data.digests)
    return Head(layer)


def digest_body(model: Any, processor: CLIPImageProcessor, precision: str) -> str:
    """A digest of all that features depend on besides the images. Another number of processes only rounds otherwise."""
    weights = (
        part
        for name, weight in model.state_dict().items()
        for part in (name, str(weight.dtype), weight.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    )
    return digest(model.config.to_json_string(), processor.to_json_string(), precision, *weights)
