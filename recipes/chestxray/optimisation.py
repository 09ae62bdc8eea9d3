"""Which rate a weight learns at in a step, and what a step does when it does not fit into memory."""

import math
import re
from contextlib import nullcontext

import torch
from accelerate.utils import DistributedType
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from timm.models import group_parameters

# a block is the innermost numbered module of these names: vit.layers.3, convnext.encoder.stages.2.layers.5
BLOCK = re.compile(r"^(.*?\b(?:layers?|stages|blocks?)\.\d+(?:\.(?:layers?|blocks?)\.\d+)?)\.")
UNDECAYED = re.compile(r"position_embedding|pos_embed|relative_position|[a-z]+_tokens?$")


# The rate


def rate(step, steps, warmup, settings):
    """The rate of a step, 0 to `steps` - 1, by which it is a function of nothing else.

    It rises in a line over `warmup` steps; then it stays, or falls along half a cosine to `final_rate` of the peak.
    """
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    fallen = (1 - math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2
    return settings.learning_rate * (1 - fallen * (1 - settings.final_rate))


def parameter_groups(model, settings):
    """Parameters for the optimiser, with the `share` of the rate and the weight decay of each group.

    Layer-wise decay (Clark et al. 2020, ELECTRA, section 3.1; Bao et al. 2021, BEiT): the head learns at the full
    rate, each block below at `layer_decay` of the one above, what comes before the first block slowest.
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    layer = layers(model, named)
    top = max(layer.values())
    groups = {}
    for name, weight in named.items():
        share = settings.layer_decay ** (top - layer[name])
        decay = settings.weight_decay * decays(name, weight)
        group = groups.setdefault((share, decay), {"params": [], "share": share, "weight_decay": decay})
        group["params"].append(weight)
    return list(groups.values())


def layers(model, names):
    """The depth of each parameter: 0 before the first block, then 1 per block, one more after the last."""
    if hasattr(model, "timm_model"):
        inner = group_parameters(model.timm_model, model.timm_model.group_matcher(coarse=False), reverse=True)
        return {name: inner[name.removeprefix("timm_model.")] for name in names}
    blocks, depth = {}, {}
    for name in names:
        if block := BLOCK.match(name):
            depth[name] = blocks.setdefault(block[1], len(blocks) + 1)
        else:
            depth[name] = None if blocks else 0
    return {name: len(blocks) + 1 if number is None else number for name, number in depth.items()}


def decays(name, weight):
    """Whether weight decay applies: not to one-dimensional ones (norms, biases), position embeddings and tokens."""
    return weight.ndim > 1 and not UNDECAYED.search(name)


# The step


class Gradients:
    """Gradients of a process's share of a step's batch, in as many parts as memory needs.

    The sum of the losses over the parts, divided by `count`, is differentiated, so that neither the number of parts nor
    that of processes changes a gradient but by rounding. Where a part does not fit into the device's memory, the share
    is begun again in parts of half the size, and all later ones with it. (Batch norm sees the parts: with it, their
    size matters.)

    Args:
        loss: of a part, from its first row and the one after its last: the sum over its images.
        size: images in a part at first.
    """

    def __init__(self, model, accelerator, size):
        self.model, self.accelerator, self.size = model, accelerator, size
        self.several, self.sharded = accelerator.num_processes > 1, accelerator.distributed_type == DistributedType.FSDP
        # the first two steps: in the first one the optimiser has not taken its memory yet
        self.unproven = 2 * (self.several and not self.sharded)

    def compute(self, loss, rows, count, seed, most=None):
        """The loss of the share, a scalar tensor; gradients are left in the model.

        Args:
            loss: function of (first, end) to the summed loss of those rows.
            rows: number of rows in the share; most: in the largest share, by which every process has as many parts;
                sharded weights are fetched in each. count: what the loss is divided by.
            seed: of dropout and the like, so that a part begun again draws the same.

        Raises:
            RuntimeError: a single image does not fit, or under FSDP a part does not, where processes cannot begin
                again alone.
        """
        while True:
            kept = [buffer.clone() for buffer in self.model.buffers()] if self.several or self.size > 1 else []
            try:
                if self.unproven:  # a process may not fail within a step that the others wait for
                    self._parts(loss, rows, count, seed, most or rows, synchronise=False)
                    self._forget(kept)
                    self.unproven -= 1
                return self._parts(loss, rows, count, seed, most or rows)
            except RuntimeError as error:
                if not should_reduce_batch_size(error) and not isinstance(error, torch.OutOfMemoryError):
                    raise
                if self.sharded or self.size == 1:
                    raise RuntimeError(
                        f"{self.size} images do not fit into memory; give a smaller --device-batch-size, a smaller "
                        "--image-size or --gradient-checkpointing"
                    ) from error
            self._forget(kept)
            clear_device_cache(garbage_collection=True)
            self.size = math.ceil(min(self.size, rows) / 2)
            print(f"Out of memory: going on with {self.size} images at a time, accumulated to the same batch.")

    def _parts(self, loss, rows, count, seed, most, synchronise=True):
        torch.manual_seed(seed)
        total = torch.zeros((), device=self.accelerator.device)
        for first in range(0, most, self.size):
            last = first + self.size >= most
            with nullcontext() if last and synchronise else self.accelerator.no_sync(self.model):
                part = loss(first, min(first + self.size, rows)) / count if first < rows else 0 * loss(0, 1)
                # DDP takes the mean over the processes, the sum is wanted
                self.accelerator.backward(part * self.accelerator.num_processes)
            total += part.detach()
        return total

    def _forget(self, kept):
        self.model.zero_grad(set_to_none=True)
        for buffer, old in zip(self.model.buffers(), kept, strict=False):
            buffer.copy_(old)
