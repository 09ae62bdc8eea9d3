"""int8 holds each number to half a step of its channel; the head and what is small stay as they are."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from chestxray.exporting import onnx_int8


def two_layers(head=14, width=64):
    """(n, 32) through a large layer to `width`, and from there to the head's outputs."""
    rng = np.random.default_rng(0)
    arrays = {"large": rng.normal(size=(32, width)), "head": rng.normal(size=(width, head))}
    arrays["large"][:, 1] = 0
    arrays["large"][:, 2] *= 1000
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "large"], ["y"]), helper.make_node("MatMul", ["y", "head"], ["z"])],
            "two",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", head])],
            [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def test_the_head_stays_and_a_large_weight_is_int8_channel_by_channel():
    graph = onnx_int8.quantise_weights(two_layers(head=20, width=64), outputs=20)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    assert {name: array.dtype.name for name, array in stored.items()} == {
        "large_int8": "int8",
        "large_scale": "float32",
        "head": "float32",
    }
    before = numpy_helper.to_array(two_layers().graph.initializer[0])
    after = stored["large_int8"] * stored["large_scale"]
    assert (np.abs(after - before) <= stored["large_scale"] * 0.5001).all() and not after[:, 1].any()
    x = np.random.default_rng(1).normal(size=(2, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, x @ after @ stored["head"], rtol=1e-3, atol=1e-2)


def test_the_original_stays_as_it_is():
    graph = two_layers()
    before = graph.SerializeToString()
    onnx_int8.quantise_weights(graph, outputs=14)
    assert graph.SerializeToString() == before and isinstance(graph, onnx.ModelProto)


def test_a_model_of_small_weights_is_refused():
    with pytest.raises(ValueError, match="no weight of 1,024 numbers"):
        onnx_int8.quantise_weights(two_layers(width=4), outputs=14)
