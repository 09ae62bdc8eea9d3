"""Which rate a weight learns at in a step, and what a step does when it does not fit into memory."""

import math
import re
from contextlib import nullcontext

import torch
from accelerate.utils import DistributedType
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from timm.models import group_parameters

# encoder.layers.3 of ViT, encoder.stages.2.layers.5 of ConvNeXt, encoder.layers.2.blocks.5 of Swin: a block, before
# which the name of its stage may stand
NAMES = r"(?:layers?|stages?|blocks?)"
BLOCK = re.compile(rf"(?P<block>(?P<stage>.*?\b{NAMES}\.\d+)(?:\.(?:{NAMES}\.)?\d+)?)\.")
MATCH_PREV = (99999,)  # timm's sign that a pattern's parameters join the group before
MATRICES = torch.nn.Linear, torch.nn.modules.conv._ConvNd, torch.nn.MultiheadAttention, torch.nn.RNNBase
POSITIONS = re.compile(r"cpb_mlp|position_bias_mlp|pos_block|pos_embed")


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


def warmup_steps(settings, per_epoch):
    """How many steps the rate rises over: at most half of the run, so that it always falls after its peak."""
    return min(round(settings.warmup_epochs * per_epoch), settings.epochs * per_epoch // 2)


def parameter_groups(model, settings):
    """Parameters for the optimiser, with the `share` of the rate and the weight decay of each group.

    Layer-wise decay (Clark et al. 2020, ELECTRA, section 3.1; Bao et al. 2021, BEiT): the head learns at the full
    rate, each level below, see `levels`, at `layer_decay` of the one above, what comes before the first block slowest.

    Raises ValueError where the model has no blocks to count.
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    level = dict.fromkeys(named, 0)
    if settings.layer_decay < 1:
        level = levels(model, named, settings.layer_decay_blocks)
    top = max(level.values())
    groups = {}
    for name, weight in named.items():
        share = settings.layer_decay ** (top - level[name])
        decay = settings.weight_decay * decays(model, name)
        group = groups.setdefault((share, decay), {"params": [], "share": share, "weight_decay": decay})
        group["params"].append(weight)
    return list(groups.values())


def levels(model, names, blocks=1):
    """The level of each parameter: 0 before the first block, then 1, 2 … per block, the highest after the last one.

    What lies between two blocks, as a downsampling layer does, belongs to the later one. A last norm has the head's
    level. So it is in BEiT (microsoft/unilm, beit/optim_factory.py@2312c6f), MAE (facebookresearch/mae,
    util/lr_decay.py@be47fef) and ConvNeXt V2 (facebookresearch/ConvNeXt-V2, optim_factory.py@2553895).

    Args:
        names: of the parameters that learn, in the model's order.
        blocks: how many neighbouring blocks share a level: 1, or 3 as in the "group" of ConvNeXt V2.

    Raises ValueError where no block is found.
    """
    timm_model = getattr(model, "timm_model", None)
    level = timm_levels(timm_model, names) if hasattr(timm_model, "group_matcher") else levels_by_name(names)
    top = max(level.values())
    if top < 2:
        kind = type(timm_model if timm_model is not None else model).__name__
        raise ValueError(f"layer_decay is less than 1, but {kind} has no numbered blocks to count: leave it at 1")
    highest = math.ceil((top - 1) / blocks) + 1
    return {name: highest if own == top else math.ceil(own / blocks) for name, own in level.items()}


def timm_levels(timm_model, names):
    """Those of timm's `group_matcher`, but a last norm is not the last block's."""
    matcher = timm_model.group_matcher(coarse=False)
    if isinstance(matcher, dict):
        matcher = {part: patterns_of_blocks(patterns) for part, patterns in matcher.items()}
    level = group_parameters(timm_model, matcher, reverse=True)
    return {name: level[name.removeprefix("timm_model.")] for name in names}


def patterns_of_blocks(patterns):
    """Without those that give the last block what comes after it: they match no number."""
    if not isinstance(patterns, (list, tuple)):
        return patterns
    return [(pattern, after) for pattern, after in patterns if after != MATCH_PREV or re.compile(pattern).groups]


def levels_by_name(names):
    """Those of a model of transformers, whose names come in the order in which the image passes the modules."""
    found = {name: match for name in names if (match := BLOCK.match(name))}
    stages = {match["stage"] for match in found.values() if match["block"] != match["stage"]}
    number, level = {}, {}
    for name in names:
        block = found[name]["block"] if name in found else None
        if block and block not in stages:
            level[name] = number.setdefault(block, len(number) + 1)
        else:
            level[name] = len(number) + 1 if number else 0
    return level


def decays(model, name):
    """Whether weight decay applies: to the matrices of linear, convolution and recurrent layers alone.

    It applies neither to norms, biases, layer scales and temperatures nor to tokens and embeddings of positions,
    whatever their shapes, as the models' authors have it: see `no_weight_decay` of timm's models,
    `no_weight_decay_keywords` of Swin V2 (microsoft/Swin-Transformer, models/swin_transformer_v2.py@055c506) and
    "gamma" and "beta" of ConvNeXt V2's response norm (`get_parameter_groups` in its optim_factory.py@2553895).
    """
    owner, weight = model.get_submodule(name.rpartition(".")[0]), model.get_parameter(name)
    return isinstance(owner, MATRICES) and weight.ndim > 1 and not POSITIONS.search(name)


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
