"""timm's networks of convolutions, changed so that their map says where a finding is.

- `stages`: the first stages of the body alone. A cell of the last map of a whole network sees the whole image, so its
  evidence can come from anywhere. A cell of an earlier map sees a part. Bags of local features classify almost as well
  (Brendel and Bethge 2019, arXiv 1904.00760).
- `global_pool` of "lse": see `peak_pooling`.

Both stand in `model_args` of config.json. timm and Transformers do not know them and refuse such a checkpoint.
"""

import copy
from typing import Any

import timm
from accelerate import init_empty_weights
from torch import nn
from transformers import PretrainedConfig, TimmWrapperConfig, TimmWrapperForImageClassification

from chestxray.models.peak_pooling import PeakHead

LSE = "lse"


class LocalModel(TimmWrapperForImageClassification):
    """A timm model with fewer stages, with a `PeakHead`, or with both. Its weights keep timm's names."""

    def __init__(self, config: TimmWrapperConfig):
        plain = copy.deepcopy(config)
        plain.model_args = timms_own(config.model_args)
        super().__init__(plain)
        self.config = config
        n_whole = len(getattr(self.timm_model, "blocks", ()))
        change(self.timm_model, **ours(config.model_args))
        n_kept = len(getattr(self.timm_model, "blocks", ()))
        # Transformers would list each weight of the stages that are left out
        self._keys_to_ignore_on_load_unexpected = {rf"blocks\.{stage}\." for stage in range(n_kept, n_whole)}


def is_local(config: PretrainedConfig) -> bool:
    """Whether a configuration is that of a `LocalModel`."""
    return isinstance(config, TimmWrapperConfig) and bool(ours(config.model_args))


def ours(model_args: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments of `change` among those of a configuration."""
    return {name: value for name, value in (model_args or {}).items() if name == "stages" or value == LSE}


def timms_own(model_args: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments that timm knows among those of a configuration."""
    return {name: value for name, value in (model_args or {}).items() if name not in ours(model_args)}


def refuse_unfit(architecture: str, options: dict[str, Any]) -> None:
    """Raise ValueError unless a timm model can be changed in this way. options: of `change`."""
    with init_empty_weights():
        change(timm.create_model(architecture), **options)


def change(model: Any, stages: int | None = None, global_pool: str | None = None) -> None:
    """Keep the first stages of a timm model, and let it pool by log-mean-exp if `global_pool` is LSE.

    Raises:
        ValueError: the model has other parts.
    """
    if stages:
        keep_stages(model, stages)
    if global_pool:
        pool_peaks(model)


def keep_stages(model: Any, stages: int) -> None:
    """Take the other stages away. The layer behind them starts anew, for another number of channels."""
    blocks, last = getattr(model, "blocks", None), getattr(model, "conv_head", None)
    if not isinstance(blocks, nn.Sequential) or not isinstance(last, nn.Conv2d) or not isinstance(model.bn2, nn.Module):
        raise ValueError(
            f"stages is {stages}, which only timm's EfficientNets have, and this model is a {kind(model)}: choose one "
            "of them, or leave --stages out"
        )
    if stages >= len(blocks):
        raise ValueError(f"stages is {stages}, and this model has {len(blocks)}: give fewer, or leave stages out")
    channels = output_channels(blocks[stages])
    model.blocks = blocks[:stages]
    model.conv_head = nn.Conv2d(channels, last.out_channels, kernel_size=1, bias=last.bias is not None)


def output_channels(stage: nn.Module) -> int:
    """How many channels a stage gets, which are as many as the stage before it gives."""
    return next(layer for layer in stage.modules() if isinstance(layer, nn.Conv2d)).in_channels


def pool_peaks(model: Any) -> None:
    """Put a `PeakHead` in the place of the pooling layer and the linear layer behind it."""
    name = str((getattr(model, "pretrained_cfg", None) or {}).get("classifier"))
    old = getattr(model, name, None)
    if not isinstance(getattr(model, "global_pool", None), nn.Module) or not isinstance(old, nn.Linear):
        raise ValueError(
            f"pooling is {LSE}, and timm's {kind(model)} has no pooling layer with one linear layer behind it: choose "
            "an EfficientNet, a ResNet or a DenseNet of timm, or leave pooling out"
        )
    head = PeakHead(old.in_features, old.out_features, device=old.weight.device, dtype=old.weight.dtype)
    head.load_state_dict(old.state_dict(), assign=True)
    model.global_pool = nn.Identity()
    setattr(model, name, head)


def kind(model: Any) -> str:
    return type(model).__name__
