"""What a training loop needs around its steps: device, precision, images as the model sees them, and watchfulness."""

import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    InitProcessGroupKwargs,
    ProjectConfiguration,
)
from transformers import PreTrainedModel

from chestxray.images import augment
from chestxray.images.splits import Split
from chestxray.models import classifiers
from chestxray.training import losses
from chestxray.training.settings import Settings

CPU_BATCH = 32  # images per pass: more of them are no faster on a CPU, and cost memory
GPU_EVALUATION_BATCH = 128  # without gradients, small beside what training holds


@dataclass
class Run:
    """One fine-tune: what every part of it needs to know."""

    settings: Settings
    accelerator: Accelerator
    findings: list
    processor: object
    model: PreTrainedModel  # as `accelerator.prepare` leaves it
    train: Split  # of all datasets
    positive_weights: torch.Tensor | None = field(init=False)

    def __post_init__(self):
        self.positive_weights = None
        if self.settings.positive_weights:
            self.positive_weights = losses.weights_of(self.train.targets).to(self.accelerator.device)

    @property
    def on_gpu(self):
        return self.accelerator.device.type == "cuda"

    @property
    def workers(self):
        return 2 * self.on_gpu if self.settings.workers is None else self.settings.workers

    @property
    def evaluation_batch(self):
        """Images per process and pass."""
        return self.settings.device_batch_size or (GPU_EVALUATION_BATCH if self.on_gpu else CPU_BATCH)

    def loss_of(self, batch, epoch):
        """A function of (first, end) to the summed loss of these rows of a batch, augmented as this epoch has it."""
        pixels = batch["pixels"].to(self.accelerator.device, non_blocking=True)
        targets = batch["targets"].to(self.accelerator.device, non_blocking=True)

        def loss_of_rows(first, end):
            images = self.augmented(pixels[first:end], batch["draw"][first:end], epoch)
            wanted = targets[first:end]
            if self.settings.mixup:
                images, wanted = losses.mixed(images, wanted, self.settings.mixup)
            if self.settings.classes > 1:
                return losses.of_classes(self.outputs(images).unflatten(1, (len(self.findings), 3)), wanted)
            return losses.loss_of(self.logits(images), wanted, self.settings, self.positive_weights)

        return loss_of_rows

    def augmented(self, pixels, draw, epoch):
        """(n, 1, s, s) uint8 as (n, 3, side, side) float32; draw: see `batches.Batches`."""
        whole, side = classifiers.sides(self.processor)
        drawn = augment.draw(draw.numpy(), epoch, self.settings.seed, self.settings, shown=side / whole)
        return augment.augment(pixels, drawn, side, self.processor.image_mean, self.processor.image_std)

    def shown(self, pixels):
        """The same without augmentation."""
        _, side = classifiers.sides(self.processor)
        return augment.normalise(pixels, side, self.processor.image_mean, self.processor.image_std)

    def logits(self, images):
        """(n, findings) float32."""
        outputs = self.outputs(images)
        if self.settings.classes == 1:
            return outputs
        negative, positive, _ = outputs.unflatten(1, (len(self.findings), 3)).unbind(2)
        return positive - negative

    def outputs(self, images):
        if self.settings.channels_last or (self.settings.channels_last is None and self.on_gpu):
            images = images.contiguous(memory_format=torch.channels_last)
        return self.model(pixel_values=images).logits.float()


def start(settings):
    """Accelerate as the settings, the launcher and the device have it."""
    return Accelerator(
        mixed_precision=settings.mixed_precision or precision(),
        dynamo_backend="inductor" if settings.compile else None,
        log_with=settings.trackers or None,
        project_config=ProjectConfiguration(settings.output_dir, logging_dir=str(Path(settings.output_dir) / "logs")),
        # the other processes wait while the first one decodes the archive, which can take hours
        # DDP's own way of sharing buffers waits for ever where a process begins a step again; see share_buffers
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(days=1)),
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ],
    )


def precision():
    """What the launcher asks for; otherwise bf16 on a GPU that has it. ("no" is what it says when it is not asked.)"""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked == "no" and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bf16"
    return asked


def fit_to_device(model, settings, device):
    """Memory layout, recomputed activations and the GPU's fast float32 products, as settings and device have it."""
    torch.set_float32_matmul_precision("high")
    if settings.gradient_checkpointing and hasattr(model, "timm_model"):
        model.timm_model.set_grad_checkpointing(True)
    elif settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if settings.channels_last or (settings.channels_last is None and device.type == "cuda"):
        model.to(memory_format=torch.channels_last)


def share_buffers(model, accelerator):
    """Give every process the first one's buffers, batch norm's statistics, as DDP does in each step."""
    if accelerator.num_processes > 1 and accelerator.distributed_type != DistributedType.FSDP:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def seed_of(*numbers):
    """A seed for torch's generator, from whole numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def finite(loss, step, rate, names):
    """A step's loss as a float. Raises FloatingPointError, with the names of its images, where it is not finite."""
    value = loss.item()
    if not np.isfinite(value):
        raise FloatingPointError(
            f"the loss of step {step:,} is {value} at a learning rate of {rate:.3g}. Its images: {', '.join(names())}. "
            "The last checkpoint is as it was; start again with a lower --learning-rate or with --clip 1."
        )
    return value


class Stopwatch:
    """How long a loop has waited for its data, and how long it has run, seconds since the last `lap`."""

    def __init__(self):
        self.began, self.waited = time.perf_counter(), 0.0

    def waiting(self, iterable):
        """The same items; the time spent in getting them counts as waiting."""
        iterator = iter(iterable)
        while True:
            asked = time.perf_counter()
            item = next(iterator, None)
            self.waited += time.perf_counter() - asked
            if item is None:
                return
            yield item

    def lap(self):
        """(seconds, share of them spent waiting), and begin anew."""
        seconds = time.perf_counter() - self.began
        share = self.waited / seconds
        self.began, self.waited = time.perf_counter(), 0.0
        return seconds, share
