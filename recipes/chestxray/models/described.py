"""A classifier that also tells what it saw: behind the logits come the features of its head, and a small copy.

The copy shows where a picture is bright and where it is dark. Features alone do not: a model that learns from changed
greys gives an inverted radiograph nearly the same ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from chestxray.models.frozen_body import check_head, head_name
from chestxray.models.heatmap_layers import temporary_hooks

# Side of the small copy, pixels: nobody can be known from it. Of 4, 8 and 16, 8 told inverted and turned radiographs
# best from others, on validation images of ../shared/real/128 (tests/benchmarks/bench_unlike.py)
COPY = 8
FLAT = 1e-3  # added to the spread of the greys, as the model sees them: an image of one grey has none


class DescribingClassifier(torch.nn.Module):
    """Its `logits` are the model's own k logits, then the d features that its last layer gets, then COPY² greys.

    The model's own are computed as without it, bit for bit.
    """

    def __init__(self, model: PreTrainedModel):
        """Raise ValueError as `frozen_body.head_name`."""
        super().__init__()
        self.model = model
        self._features: Any = None
        model.get_submodule(head_name(model)).register_forward_pre_hook(self._keep)

    def _keep(self, layer, inputs):
        self._features = one_vector(inputs[0])

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        """pixel_values: (n, 3, side, side) float32, three times the same greys."""
        logits = self.model(pixel_values=pixel_values).logits
        parts = [logits.float(), self._features.float(), small_copy(pixel_values)]
        return ImageClassifierOutput(logits=torch.cat(parts, dim=1))


@contextmanager
def record_inputs(layer: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Within, each forward pass appends what a layer gets, a vector per image: the features, if it is the head."""
    found: list[torch.Tensor] = []
    with temporary_hooks(layer.register_forward_pre_hook(lambda module, inputs: found.append(one_vector(inputs[0])))):
        yield found


def one_vector(features: torch.Tensor) -> torch.Tensor:
    """(n, c): of a map (n, c, h, w), which a `PeakHead` gets, the mean over the positions."""
    return features.mean((2, 3)) if features.ndim == 4 else features


def small_copy(pixel_values: torch.Tensor) -> torch.Tensor:
    """(n, 3, side, side) to (n, COPY²) float32, with mean 0 and spread 1 in each image: exposure does not count."""
    return standardise_greys(torch.nn.functional.adaptive_avg_pool2d(pixel_values[:, :1].float(), COPY).flatten(1))


def standardise_greys(greys: torch.Tensor) -> torch.Tensor:
    """(n, COPY²) greys with mean 0 and spread 1 in each image."""
    centred = greys - greys.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + FLAT)


def describing(model: PreTrainedModel, side: int) -> DescribingClassifier | None:
    """The same classifier, which also describes what it saw; None if it does not end with one linear layer.

    side: of the images, pixels.
    """
    try:
        check_head(model, head_name(model), side, takes_map=True)
    except ValueError:
        return None
    return DescribingClassifier(model)
