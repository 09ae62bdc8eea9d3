"""A classifier as an ONNX graph: from grey pixels to logits, probabilities, exact maps and the distance."""

import contextlib
import io
import logging
import warnings
from typing import Any

import torch
from torch import nn
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.exporting.distance_layer import DistanceLayer
from chestxray.exporting.onnx_file import DISTANCE, INPUT, INSTALL, LOGITS, MAPS, OUTPUTS, PROBABILITIES
from chestxray.models.described import record_inputs
from chestxray.models.frozen_body import head_name
from chestxray.models.heatmap_cam import activation_maps, record_activations
from chestxray.models.heatmap_layers import Layers, find_layers
from chestxray.models.processors import sides
from chestxray.scoring.feature_statistics import FeatureStatistics

OPSET = 18  # ONNX Runtime's, for the CPU and for browsers, has known it since 2023
LARGEST = 2_000_000_000  # bytes: a protobuf message ends at 2 GiB
TRACED = 3  # images of the example: a batch of one would fix the batch at one (pytorch#157621)


class PixelClassifier(nn.Module):
    """A classifier with the input of its evaluation inside; see `augment.normalise`.

    Args:
        layers: with these it gives the maps of `heatmap_cam`.
        statistics: of the training images; with these it gives the distance to them.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        model: PreTrainedModel,
        processor: CLIPImageProcessor,
        layers: Layers | None,
        statistics: FeatureStatistics | None,
    ):
        super().__init__()
        self.model, self.layers = model, layers
        self.whole, self.side = sides(processor)
        self.distance = DistanceLayer(statistics.references, self.side) if statistics else None
        # Not in `forward`: it builds another model, of which nothing belongs into the graph
        self.head = head_name(model) if statistics else None
        self.register_buffer("mean", torch.tensor(processor.image_mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(processor.image_std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, 1, whole, whole) uint8 to what `output_names` lists: logits (n, k), probabilities (n, k), maps
        (n, k, h, w), distance (n,)."""
        edge = (self.whole - self.side) // 2
        middle = pixels[..., edge : edge + self.side, edge : edge + self.side]
        images = (middle.float() / 255 - self.mean) / self.std
        with contextlib.ExitStack() as stack:
            if self.layers:
                activations = stack.enter_context(record_activations(self.model, self.layers))
            if self.head:
                features = stack.enter_context(record_inputs(self.model.get_submodule(self.head)))
            logits = self.model(pixel_values=images).logits
        found = {LOGITS: logits, PROBABILITIES: logits.sigmoid()}
        if self.layers:
            found[MAPS] = activation_maps(self.model, self.layers, activations)
        if self.distance is not None:
            found[DISTANCE] = self.distance(features[0], images)
        return tuple(found.values())

    def output_names(self) -> list[str]:
        """The first two of OUTPUTS, and MAPS and DISTANCE where there are any."""
        missing = {MAPS: self.layers is None, DISTANCE: self.distance is None}
        return [name for name in OUTPUTS if not missing.get(name)]


def exact_layers(model: PreTrainedModel) -> Layers | None:
    """The layers of a model whose class activation map is exact, or None."""
    try:
        layers = find_layers(model)
    except ValueError:  # it has no map at all
        return None
    return layers if layers.exact else None


def build_graph(
    model: PreTrainedModel,
    processor: CLIPImageProcessor,
    layers: Layers | None,
    statistics: FeatureStatistics | None = None,
) -> Any:
    """An onnx.ModelProto with dynamic batch, its weights inside, and nothing in it that tells of this machine.

    Args:
        model: on the CPU, in `eval` mode. layers: of `exact_layers`. statistics: of its training images.

    Raises:
        ValueError: the model is too large for one file, or PyTorch cannot export it.
    """
    check_size(model)
    classifier = PixelClassifier(model, processor, layers, statistics).eval()
    size = classifier.whole
    example = torch.randint(0, 256, (TRACED, 1, size, size), generator=torch.Generator().manual_seed(0))
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                classifier,
                (example.to(torch.uint8),),
                input_names=[INPUT],
                output_names=classifier.output_names(),
                dynamic_shapes=({0: torch.export.Dim("n", min=1, max=1 << 16)},),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ModuleNotFoundError as error:
        raise ValueError(f"an export needs {INSTALL} ({error})") from None
    except Exception as error:  # of many kinds, with pages of text
        raise ValueError(f"PyTorch {torch.__version__} cannot export this model: {first_line(error)}") from error
    assert program is not None, "dynamo returns a program"
    graph = program.model_proto
    remove_traces(graph)
    return graph


def check_size(model: nn.Module) -> None:
    """Raise ValueError if the weights do not fit into one file."""
    total = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    if total > LARGEST:
        raise ValueError(f"its weights are {total / 1e9:.1f} GB, and an ONNX file holds 2 GB: choose a smaller model")


@contextlib.contextmanager
def quiet():
    """Within, the exporter's own progress and advice are not shown."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def first_line(error: BaseException) -> str:
    """What lies at the root of an error, in one line."""
    while error.__cause__:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__


def remove_traces(graph: Any) -> None:
    """Remove the stack traces and file names of this machine, which the exporter leaves at each node."""
    parts = [graph, graph.graph, *graph.functions, *graph.graph.node, *graph.graph.value_info]
    parts += [*graph.graph.initializer, *graph.graph.input, *graph.graph.output]
    parts += [node for function in graph.functions for node in function.node]
    for part in parts:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
