"""The outputs that a model has not learnt yet start at what is known without an image: how common each finding is."""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from chestxray.models.adapting import head_weights, names_of
from chestxray.models.classifiers import kept_outputs
from chestxray.training.losses import balancing_weights, constant_outputs
from chestxray.training.run_data import RunData
from chestxray.training.settings import Settings


def start_head(
    model: PreTrainedModel, data: RunData, settings: Settings, tell: Callable[[str], object] = print
) -> None:
    """Let the new outputs of a model start at the log odds of their findings' prevalence in train.

    The other outputs go on as they were. `tell` is called with those that had another name of the same meaning.

    From a bias of 0 every finding starts at a probability of 1/2. The first steps then teach the whole body, with large
    gradients, that findings are rare. Lin et al. 2017, section 4.1, start rare classes in the same way
    (https://arxiv.org/abs/1708.02002).

    Raises:
        ValueError: as `RunData.training_split`.
    """
    targets = data.training_split(settings.dataset_weights).targets
    weights = balancing_weights(targets) if settings.positive_weights else None
    logits = constant_outputs(targets, settings.classes, settings.label_smoothing, weights)
    names, kept = names_of(model.config), kept_outputs(model, settings.source, settings.pretrained)
    if renamed := [f"{names[row]} from {old}" for row, old in kept.items() if names[row] != old]:
        tell(f"Outputs that go on from one of the same meaning: {', '.join(renamed)}")
    start_outputs(model, [row for row in range(len(names)) if row not in kept], logits)


@torch.no_grad()
def start_outputs(model: PreTrainedModel, rows: Sequence[int], logits: torch.Tensor) -> None:
    """Let these rows of the head give about these logits, whatever the image shows. logits: of all outputs, float32.

    The weights start as in PyTorch's own `Linear`, between ±1 / √width. timm's ±1 / √outputs are wide for 14 outputs.
    """
    rows = list(rows)
    for name in sorted(head_weights(model.config)) if rows else ():
        weight = model.get_parameter(name)
        if weight.ndim == 1:
            weight[rows] = logits[rows].to(weight)
        else:
            weight[rows] = torch.nn.init.kaiming_uniform_(weight[rows], a=5**0.5)
