"""One fine-tune: all that its steps, its evaluation and its end have in common."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from accelerate import Accelerator
from transformers import CLIPImageProcessor

from chestxray.images import augment
from chestxray.images.augment import Changes
from chestxray.images.batches import Order
from chestxray.models.processors import sides
from chestxray.places import public_settings
from chestxray.training import losses, optimisation
from chestxray.training.averaging import Average
from chestxray.training.box_loss import BoxLoss
from chestxray.training.checkpoints import Checkpoints, checkpoints_folder, whole_weights
from chestxray.training.device import CPU_BATCH, evaluation_batch, reading_workers
from chestxray.training.gradients import Gradients, work_within_parts
from chestxray.training.run_data import RunData
from chestxray.training.settings import Settings


@dataclass
class Run:
    """One fine-tune.

    Attributes:
        data: with the images.
        model, optimizer: as `accelerator.prepare` leaves them.
        classifier: the whole model, if `model` is the head of a frozen body.
        box_loss: of the training images' boxes, None without box_weight.
        channels_last: memory layout of weights and images.
        train: the training images of all datasets.
        order: the rows of every step.
        schedule: the rate of every step.
        loss: from (outputs, targets) to the summed loss.
        gradients: of a step, computed in parts that fit into memory.
        average: the moving average of the weights.
        checkpoints: in the settings' `output_dir`.
    """

    settings: Settings
    accelerator: Accelerator
    data: RunData
    processor: CLIPImageProcessor
    model: torch.nn.Module
    optimizer: Any
    classifier: Any = None
    box_loss: BoxLoss | None = None
    channels_last: bool = False

    def __post_init__(self):
        self.train = self.data.training_split(self.settings.dataset_weights)
        settings = self.settings
        self.order = self._order()
        self.schedule = self._schedule()
        self.loss = losses.choose_loss(settings.loss, settings.classes, settings.label_smoothing, self._weights())
        self.largest_share = math.ceil(self.order.batch_size / self.accelerator.num_processes)  # of a step's rows
        whole_share = self.on_gpu or settings.freeze  # of images a CPU takes fewer, of features it need not
        fits = settings.device_batch_size or (self.largest_share if whole_share else CPU_BATCH)
        self.gradients = Gradients(self.model, self.accelerator, fits, work_within_parts(self.model, settings.mixup))
        self.average = Average(self.model, settings.ema)
        folder = checkpoints_folder(settings.output_dir)
        self.checkpoints = Checkpoints(folder, self.accelerator, self.model, self.optimizer, self.average)

    def _order(self):
        settings = self.settings
        return Order(
            len(self.train),
            settings.batch_size,
            settings.epochs,
            settings.seed,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
            weights=self.train.weights,
        )

    def _schedule(self):
        settings, steps = self.settings, len(self.order)
        warmup = optimisation.warmup_steps(settings.warmup_epochs, settings.epochs, self.order.per_epoch)
        return optimisation.Schedule(settings.learning_rate, steps, warmup, settings.schedule, settings.final_rate)

    def _weights(self):
        """(k,) factors of the positives' losses, or None."""
        if not self.settings.positive_weights:
            return None
        return losses.balancing_weights(self.train.targets).to(self.accelerator.device)

    def start_trackers(self) -> None:
        """Give the settings to the trackers. Others may read them there, so they have no path and no token."""
        settings = public_settings(asdict(self.settings))
        self.accelerator.init_trackers("chestxray", {name: str(value) for name, value in settings.items()})

    def weights(self) -> dict[str, Any]:
        """The weights of the whole classifier by its own names; see `whole_weights`. Every process must call it."""
        return whole_weights(self.model if self.classifier is None else self.classifier)

    @property
    def on_gpu(self) -> bool:
        return self.accelerator.device.type == "cuda"

    @property
    def workers(self) -> int:
        """Processes that read batches."""
        return reading_workers(self.settings.workers, self.accelerator.device)

    @property
    def device_batch_size(self) -> int:
        """Images of a step that one device takes at once, as it is now: the setting, or what fits."""
        return min(self.gradients.size, self.largest_share)

    def parts_note(self) -> str:
        """One line if the parts of a step change what is learnt, "" otherwise."""
        whole, part, within = self.order.batch_size, self.device_batch_size, self.gradients.within
        if not within or part == whole:
            return ""
        return (
            f"A step of {whole} images is computed {part} at a time. {within} at these alone, so --device-batch-size "
            "and the number of processes change what is learnt."
        )

    @property
    def evaluation_batch(self) -> int:
        """Images per process and pass."""
        return evaluation_batch(self.settings.device_batch_size, self.accelerator.device)

    def augment(self, pixels: torch.Tensor, draw: torch.Tensor, epoch: int) -> torch.Tensor:
        """Pixels (n, 1, size, size) uint8 as the model sees them in an epoch, (n, 3, side, side) float32.

        draw: (n,) int64, see `batches.Batches`.

        The features of a frozen body, (n, width) float32, stay as they are.
        """
        if self.settings.freeze:
            return pixels
        _, side = sides(self.processor)
        changes = self.draw_changes(draw, epoch)
        images = augment.augment(pixels, changes, side, self.processor.image_mean, self.processor.image_std)
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def draw_changes(self, draw: torch.Tensor, epoch: int) -> Changes:
        """How `augment` changes these images in an epoch: always the same."""
        whole, side = sides(self.processor)
        return augment.draw(draw.numpy(), epoch, self.settings.seed, self.settings.augmentation, side / whole)

    def record_maps(self) -> AbstractContextManager:
        """Within, a forward pass leaves what `BoxLoss.compute` needs; without box_weight, nothing."""
        return self.box_loss.record() if self.box_loss else nullcontext()
