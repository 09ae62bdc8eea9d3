"""Gradients of a step, in as many parts as the device's memory needs."""

import math
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from chestxray.models.batch_norm import has_batch_norm

PartLoss = Callable[[slice], torch.Tensor]


class Gradients:
    """Computes the gradients of a process's share of each step's batch, in one part or in several.

    The gradient is of the sum of the losses over all parts, divided by `count`. So the number of parts and of processes
    changes a gradient only by rounding. If a part does not fit into the device's memory, the share begins again in
    parts of half the size, and later shares are divided in the same way. (Batch norm and mixup see only one part: with
    them its size matters.)

    Args:
        model: as `accelerator.prepare` leaves it.
        size: images in a part at first.
        within: see `work_within_parts`.
    """

    def __init__(self, model: torch.nn.Module, accelerator: Accelerator, size: int, within: str = ""):
        self.model, self.accelerator, self.size, self.within = model, accelerator, size, within
        self.several, self.sharded = accelerator.num_processes > 1, accelerator.distributed_type == DistributedType.FSDP
        # The first two steps are tried out: in the first one the optimiser has not taken its memory yet.
        self.trials = 2 * (self.several and not self.sharded)

    def compute(self, loss: PartLoss, rows: int, count: int, seed: int, most: int | None = None) -> torch.Tensor:
        """The loss of the share, a scalar tensor. The gradients are left in the model.

        Args:
            loss: from a slice of the share's rows to their summed loss.
            rows: how many the share has.
            count: what the loss is divided by.
            seed: of dropout and the like, so that a part that begins again draws the same numbers.
            most: rows of the largest share. Every process has as many parts as the largest share, because all
                processes fetch sharded weights in each part.

        Raises:
            RuntimeError: a single image does not fit. Under FSDP: a part does not fit, because one process cannot begin
                again alone.
        """
        most = most or rows
        while True:
            buffers = [buffer.clone() for buffer in self.model.buffers()] if self.several or self.size > 1 else []
            try:
                if self.trials:  # one process must not fail in a step that the others wait for
                    self._add_parts(loss, rows, count, seed, most, synchronise=False)
                    self._begin_again(buffers)
                    self.trials -= 1
                return self._add_parts(loss, rows, count, seed, most)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._refuse_smallest(error)
            # outside of `except`, where the error still holds the part's memory
            self._begin_again(buffers)
            self._halve(rows)

    def _add_parts(self, loss, rows, count, seed, most, synchronise=True):
        """The loss of all parts; each one's gradients are added to the model's."""
        torch.manual_seed(seed)
        total = torch.zeros((), device=self.accelerator.device)
        for first in range(0, most, self.size):
            last = first + self.size >= most
            with nullcontext() if last and synchronise else self.accelerator.no_sync(self.model):
                if first < rows:
                    part = loss(slice(first, min(first + self.size, rows))) / count
                else:  # the other processes have one part more
                    part = 0 * loss(slice(0, 1))
                # DDP takes the mean over the processes; the sum is wanted
                self.accelerator.backward(part * self.accelerator.num_processes)
            total += part.detach()
        return total

    def _begin_again(self, buffers):
        self.model.zero_grad(set_to_none=True)
        for buffer, old in zip(self.model.buffers(), buffers, strict=False):
            buffer.copy_(old)

    def _refuse_smallest(self, error):
        """Raise RuntimeError if smaller parts cannot help."""
        if self.sharded or self.size == 1:
            raise RuntimeError(
                f"{self.size} images do not fit into memory; give a smaller --device-batch-size, a smaller "
                "--image-size or --gradient-checkpointing"
            ) from error

    def _halve(self, rows):
        clear_device_cache(garbage_collection=True)
        self.size = math.ceil(min(self.size, rows) / 2)
        effect = f" {self.within} at these alone." if self.within else ""
        print(f"Out of memory: going on with {self.size} images at a time, accumulated to the same batch.{effect}")


def work_within_parts(model: torch.nn.Module, mixup: float) -> str:
    """What looks at the other images of a part: "Batch norm looks", "Batch norm and mixup look"; "" if nothing does."""
    there = [name for name, is_there in (("batch norm", has_batch_norm(model)), ("mixup", mixup)) if is_there]
    return f"{' and '.join(there)} look{'s' * (len(there) == 1)}".capitalize() if there else ""


def is_out_of_memory(error):
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def step_seed(seed: int, step: int, process: int) -> int:
    """A seed for torch's generator that is a process's own in a step."""
    return int(np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)[0] >> np.uint64(1))
