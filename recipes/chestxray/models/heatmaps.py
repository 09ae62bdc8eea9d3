"""Heatmaps: where in an image a classifier sees each finding."""

from collections.abc import Callable
from functools import partial

import torch
from transformers import PreTrainedModel

from chestxray.models.heatmap_attention import attention_maps, has_attention
from chestxray.models.heatmap_cam import activation_maps, record_activations
from chestxray.models.heatmap_gradients import gradient_maps, mean_gradient, plus_plus
from chestxray.models.heatmap_layers import Layers, evaluation_mode, find_layers, kind
from chestxray.models.heatmap_methods import METHODS, PATH
from chestxray.models.heatmap_path import path_grid, path_maps

Compute = Callable[..., tuple[torch.Tensor, torch.Tensor]]  # of model, layers, pixels


def choose_method(model: PreTrainedModel) -> str:
    """The method for a model, by its architecture.

    - `cam`, the class activation map, if one linear layer follows a mean over positions, or is a `PeakHead`. It is
      exact: the mean of a map, or its log-mean-exp, is the logit.
    - `attention`, attention weighted by its gradient, if the logits read a class token alone.
    - `grad-cam` otherwise.

    Raises:
        ValueError: the model has no spatial map.
    """
    return method_for(model, find_layers(model))


class Heatmapper:
    """A classifier that gives a map for each finding beside its logits.

    The model stays as it is: its weights, mode, hooks and attention are the same after each call.

    Args:
        model: as `load_classifier` gives it.
        method: one of METHODS; None is `choose_method`'s.
        rollout: whether `attention` follows the attention through all layers, or takes the last one's.
        start: (1, 3, s, s), the normalised image at which `integrated-gradients` begin; see `path_maps`.

    Raises:
        ValueError: the model has no spatial map, or it cannot have this method.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        method: str | None = None,
        rollout: bool = True,
        start: torch.Tensor | None = None,
    ):
        self.model, self.layers, self.start = model, find_layers(model), start
        if method:
            check_method(model, self.layers, method)
        self.method = method or method_for(model, self.layers)
        functions: dict[str, Compute] = {
            "cam": cam,
            "grad-cam": partial(gradient_maps, weigh=mean_gradient),
            "grad-cam++": partial(gradient_maps, weigh=plus_plus),
            "attention": partial(attention_maps, rollout=rollout),
            PATH: path_maps,
        }
        self._compute = functions[self.method]

    def grid(self, side: int) -> tuple[int, int]:
        """(height, width) of the maps of images with this side in pixels. It runs one image."""
        if self.method == PATH:
            return path_grid(side)
        weight = next(self.model.parameters())
        with evaluation_mode(self.model), torch.no_grad():
            with record_activations(self.model, self.layers) as found:
                self.model(pixel_values=torch.zeros(1, 3, side, side).to(weight))
        height, width = self.layers.positions(found.features).shape[2:]
        return height, width

    def compute(self, pixels: torch.Tensor, mirrored: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits (n, k) float32, maps (n, k, h, w) float32) of images on the model's device, without gradients.

        A map is signed evidence, neither scaled nor clipped, row = y and column = x of the image that the model sees.

        - `cam`: in units of the logit; the mean over the positions, or their log-mean-exp, is the logit.
        - `grad-cam`, `grad-cam++`: the weighted sum of the channels, before the rectifier of the papers.
        - `attention`: relevance, never below 0; the logits may differ from the plain ones by rounding.
        - `integrated-gradients`: in units of the logit; the mean is nearly the logit less that of the first image.

        Args:
            pixels: (n, 3, s, s) float32, normalised as `inference.model_input` does.
            mirrored: these are mirror images, so `start` is mirrored too.
        """
        more = {}
        if self.method == PATH and self.start is not None:
            more["start"] = self.start.flip(-1) if mirrored else self.start
        with evaluation_mode(self.model), torch.inference_mode(False), torch.enable_grad():
            logits, maps = self._compute(self.model, self.layers, pixels, **more)
        return logits.float(), maps.float()


@torch.no_grad()
def cam(model, layers, pixels):
    """(logits, class activation maps) of one forward pass."""
    with record_activations(model, layers) as found:
        logits = model(pixel_values=pixels).logits
    return logits, activation_maps(model, layers, found)


def method_for(model, layers):
    """See `choose_method`."""
    if layers.exact:
        return "cam"
    reads_class_token = layers.readout and layers.gradients != layers.features
    return "attention" if reads_class_token and has_attention(model, layers) else "grad-cam"


def check_method(model: PreTrainedModel, layers: Layers, method: str) -> None:
    """Raise ValueError if a model cannot have a method."""
    if method not in METHODS:
        raise ValueError(f"the method {method} is none of {', '.join(METHODS)}")
    if method == "cam" and not layers.exact:
        raise ValueError(
            f"cam needs one linear layer at the end, behind a mean over positions or with pooling lse, and "
            f"{kind(model)} ends in another way: choose {method_for(model, layers)}"
        )
    if method == "attention" and not has_attention(model, layers):
        raise ValueError(
            f"attention needs layers of attention between all patches, and {kind(model)} has none: "
            f"choose {method_for(model, layers)}"
        )
