"""Weights in int8, a scale for each output channel. Activations, and the head, stay float32."""

from typing import Any

import numpy as np

from chestxray.exporting.distance_layer import WHITENER

LEVELS = 127  # symmetric: -127 to 127, so that 0 is 0
SMALLEST = 1024  # numbers of a weight that is worth it
SUFFIX = "_int8"


def quantise_weights(model: Any, outputs: int) -> Any:
    """A copy of an onnx.ModelProto whose large weights of convolutions and linear layers are int8.

    A Cast and a Mul make float32 of each: ONNX Runtime does so once, when it loads the file. With a DequantizeLinear
    before a MatMul its results were 0.6% off (onnxruntime 1.31).

    A matrix with one row or column for each output is the head's, in one form or another, and stays as it is. So do the
    matrices of the distance, which adds up large numbers of both signs.

    Args:
        outputs: k, how many findings the head has.

    Raises:
        ValueError: the model has no such weight.
    """
    import onnx
    from onnx import helper, numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    found = channel_axes(graph)
    kept, nodes = [], []
    for tensor in graph.initializer:
        is_weight = tensor.name in found and not tensor.name.endswith(WHITENER)
        values = numpy_helper.to_array(tensor) if is_weight else None
        if values is None or values.dtype != np.float32 or values.size < SMALLEST or is_head(values, outputs):
            kept.append(tensor)
            continue
        axis = found[tensor.name]
        codes, scales = quantise(values, axis)
        stored = (tensor.name + SUFFIX, tensor.name + "_scale")
        kept += [numpy_helper.from_array(part, name) for part, name in zip((codes, scales), stored, strict=True)]
        floats = tensor.name + "_float"
        nodes.append(helper.make_node("Cast", stored[:1], [floats], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [floats, stored[1]], [tensor.name]))
    if not nodes:
        raise ValueError(f"it has no weight of {SMALLEST:,} numbers or more outside of its head: leave --int8 out")
    ordered = [*nodes, *graph.node]
    for field, content in (("initializer", kept), ("node", ordered)):
        content = [type(item).FromString(item.SerializeToString()) for item in content]
        graph.ClearField(field)
        getattr(graph, field).extend(content)
    onnx.checker.check_model(copy)
    return copy


def channel_axes(graph: Any) -> dict[str, int]:
    """{initializer: axis of its output channels} of those that nothing but convolutions and linear layers read."""
    axes: dict[str, int] = {}
    others: set[str] = set()
    for node in graph.node:
        for place, name in enumerate(node.input):
            if place == 1 and node.op_type in ("Conv", "Gemm", "MatMul"):
                if axes.setdefault(name, axis_of(node)) == axis_of(node):
                    continue
            others.add(name)
    shapes = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    chosen = {name: axis for name, axis in axes.items() if name in shapes and name not in others}
    return {name: axis % shapes[name] for name, axis in chosen.items() if shapes[name] >= 2}


def axis_of(node):
    """The axis of the output channels in a node's weight."""
    if node.op_type == "Gemm":
        return 0 if any(item.name == "transB" and item.i for item in node.attribute) else 1
    return 0 if node.op_type == "Conv" else -1


def is_head(values: np.ndarray, outputs: int) -> bool:
    """Whether a weight is a matrix with one row or column for each output."""
    shape = [side for side in values.shape if side > 1]
    return len(shape) <= 2 and outputs in values.shape


def quantise(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(int8 codes, float32 scales of one for each channel, with as many axes): a value is its code times its scale.

    >>> codes, scales = quantise(np.float32([[1, -2], [0, 0]]), axis=0)
    >>> codes.tolist(), scales.round(5).tolist()
    ([[64, -127], [0, 0]], [[0.01575000025331974], [1.0]])
    """
    rest = tuple(other for other in range(values.ndim) if other != axis)
    largest = np.abs(values).max(rest, keepdims=True)
    scales = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
    return np.rint(values / scales).clip(-LEVELS, LEVELS).astype(np.int8), scales
