"""An ONNX file in the form of export.py's, made without PyTorch: a convolution, its maps, their means as logits."""

import json

import numpy as np
import onnx
from onnx import helper, numpy_helper

from chestxray.exporting.onnx_file import ABOUT, DISTANCE, FORMAT, INPUT, LOGITS, MAPS, PROBABILITIES
from chestxray.scoring import calibration_file
from chestxray.scoring.calibration_file import ModelCalibration

FINDINGS = ["Cardiomegaly", "Effusion", "Mass", "Pleural_Thickening"]
SIZE, STRIDE = 48, 8
SHA256 = "0" * 64


def onnx_bytes(calibrated=True, with_distance=True, with_maps=True, equalize=False, synthetic=True):
    """The file's content. A picture with a mean grey above 191 is beyond the distance of 1."""
    outputs = [LOGITS, PROBABILITIES, *([MAPS] if with_maps else []), *([DISTANCE] if with_distance else [])]
    graph = helper.make_graph(nodes(), "small", [tensor(INPUT, onnx.TensorProto.UINT8, ["n", 1, SIZE, SIZE])], [
        tensor(name, onnx.TensorProto.FLOAT, None) for name in outputs
    ], initializers())  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    texts = {ABOUT: json.dumps(about(with_distance, equalize, synthetic))}
    if calibrated:
        texts[calibration_file.NAME] = calibration_file.as_text(calibration(synthetic))
    helper.set_model_props(model, texts)
    return model.SerializeToString()


def tensor(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def nodes():
    return [
        helper.make_node("Cast", [INPUT], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "weight", "bias"], [MAPS], strides=[STRIDE, STRIDE]),
        helper.make_node("ReduceMean", [MAPS, "places"], [LOGITS], keepdims=0),
        helper.make_node("Sigmoid", [LOGITS], [PROBABILITIES]),
        helper.make_node("ReduceMean", ["floats", "pixels_axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "limit"], [DISTANCE]),
    ]


def initializers():
    """Weights for which a change of all pixels by one grey moves a probability by more than 1e-3."""
    weight = np.random.default_rng(0).normal(0, 0.004, (len(FINDINGS), 1, STRIDE, STRIDE)).astype(np.float32)
    values = {
        "weight": weight,
        "bias": -120 * weight.sum((1, 2, 3)) + np.float32([0.5, -0.5, -1, -2]),
        "places": np.int64([2, 3]),
        "pixels_axes": np.int64([1, 2, 3]),
        "limit": np.float32([191]),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def about(with_distance, equalize, synthetic):
    return {
        "format": FORMAT,
        "findings": FINDINGS,
        "size": SIZE,
        "crop": SIZE - 8,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "equalize": equalize,
        "sha256": SHA256,
        "int8": None,
        "synthetic": synthetic,
        "statistics": {"n_train": 200, "rate": 0.01} if with_distance else None,
    }


def calibration(synthetic):
    """One finding is not calibrated, and another one has no threshold."""
    k = len(FINDINGS)
    return ModelCalibration(
        findings=FINDINGS,
        sha256=SHA256,
        tta="none",
        datasets=["Small"],
        synthetic=synthetic,
        n_images=100,
        rule="youden",
        sensitivity=0.9,
        platt=np.array([[0.8, -0.4], [1.3, 0.2], [np.nan, np.nan], [0.9, -1]]),
        limits={rule: np.array([-0.6, 0.3, -0.2, np.nan]) for rule in calibration_file.thresholds.RULES},
        quantiles=np.tile(np.round(np.linspace(-3, 3, 101) ** 3 / 9, 4), (k, 1)),
    )
