"""The learning rate and the weight decay of each weight in each step."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from timm.models import group_parameters

# encoder.layers.3 of ViT, encoder.stages.2.layers.5 of ConvNeXt, encoder.layers.2.blocks.5 of Swin: the name of a
# block, which may begin with the name of its stage
NAMES = r"(?:layers?|stages?|blocks?)"
BLOCK = re.compile(rf"(?P<block>(?P<stage>.*?\b{NAMES}\.\d+)(?:\.(?:{NAMES}\.)?\d+)?)\.")
MATCH_PREV = (99999,)  # timm's sign that a pattern's parameters join the group before
MATRICES = torch.nn.Linear, torch.nn.modules.conv._ConvNd, torch.nn.MultiheadAttention, torch.nn.RNNBase
POSITIONS = re.compile(r"cpb_mlp|position_bias_mlp|pos_block|pos_embed")


# The rate of a step


@dataclass(frozen=True)
class Schedule:
    """The rate of each step, a function of the step's number alone.

    Attributes:
        peak: the rate after warm-up.
        steps: of the whole run.
        warmup: steps over which the rate rises to the peak, in a line.
        shape: then it stays ("constant"), or falls along half a cosine ("cosine").
        final: share of the peak at which the cosine ends.
    """

    peak: float
    steps: int
    warmup: int
    shape: str = "cosine"
    final: float = 0.0

    def rate(self, step: int) -> float:
        """The rate of a step, 0 to `steps` - 1."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if self.shape == "constant":
            return self.peak
        fallen = (1 - math.cos(math.pi * (step - self.warmup) / max(1, self.steps - self.warmup))) / 2
        return self.peak * (1 - fallen * (1 - self.final))


def warmup_steps(warmup_epochs: float, epochs: int, per_epoch: int) -> int:
    """How many steps the rate rises over: at most half of the run, so that it always falls after its peak."""
    return min(round(warmup_epochs * per_epoch), epochs * per_epoch // 2)


# The share of the rate for each weight


def parameter_groups(
    model: torch.nn.Module, weight_decay: float = 0.0, layer_decay: float = 1.0, blocks: int = 1
) -> list[dict]:
    """Parameters for the optimiser, with the `share` of the rate and the weight decay of each group.

    Layer-wise decay (Clark et al. 2020, ELECTRA, section 3.1; Bao et al. 2021, BEiT): the head learns at the full
    rate, and each level at `layer_decay` times the rate of the level above it; see `levels`.

    Args:
        blocks: how many neighbouring blocks share a level.

    Raises:
        ValueError: `layer_decay` is less than 1 and the model has no blocks to count.
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    level = levels(model, named, blocks) if layer_decay < 1 else dict.fromkeys(named, 0)
    top = max(level.values())
    groups: dict[tuple, dict] = {}
    for name, weight in named.items():
        share = layer_decay ** (top - level[name])
        decay = weight_decay * has_weight_decay(model, name)
        group = groups.setdefault((share, decay), {"params": [], "share": share, "weight_decay": decay})
        group["params"].append(weight)
    return list(groups.values())


def levels(model: torch.nn.Module, names: Iterable[str], blocks: int = 1) -> dict[str, int]:
    """The level of each parameter: 0 before the first block, then 1, 2, … per block, the highest after the last one.

    What lies between two blocks, such as a downsampling layer, belongs to the later one. A last norm has the head's
    level. BEiT (microsoft/unilm, beit/optim_factory.py@2312c6f), MAE (facebookresearch/mae, util/lr_decay.py@be47fef)
    and ConvNeXt V2 (facebookresearch/ConvNeXt-V2, optim_factory.py@2553895) do the same.

    Args:
        names: of the parameters that learn, in the model's order.
        blocks: how many neighbouring blocks share a level: 1, or 3 as in the "group" of ConvNeXt V2.

    Raises:
        ValueError: no block is found.
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
    """The levels of timm's `group_matcher`, but a last norm does not belong to the last block."""
    matcher = timm_model.group_matcher(coarse=False)
    if isinstance(matcher, dict):
        matcher = {part: patterns_of_blocks(patterns) for part, patterns in matcher.items()}
    level = group_parameters(timm_model, matcher, reverse=True)
    return {name: level[name.removeprefix("timm_model.")] for name in names}


def patterns_of_blocks(patterns):
    """The patterns, but not the ones that add a last norm to the last block: these match no number."""
    if not isinstance(patterns, (list, tuple)):
        return patterns
    return [(pattern, after) for pattern, after in patterns if after != MATCH_PREV or re.compile(pattern).groups]


def levels_by_name(names):
    """The levels of a transformers model. Its names come in the order in which the image passes the modules."""
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


def has_weight_decay(model, name):
    """Whether a weight decays: only the matrices of linear, convolution and recurrent layers do.

    Norms, biases, layer scales, temperatures, tokens and position embeddings of any shape do not. The models' authors
    do the same: see `no_weight_decay` of timm's models, `no_weight_decay_keywords` of Swin V2
    (microsoft/Swin-Transformer, models/swin_transformer_v2.py@055c506) and "gamma" and "beta" of ConvNeXt V2's response
    norm (`get_parameter_groups` in its optim_factory.py@2553895).
    """
    owner, weight = model.get_submodule(name.rpartition(".")[0]), model.get_parameter(name)
    return isinstance(owner, MATRICES) and weight.ndim > 1 and not POSITIONS.search(name)
