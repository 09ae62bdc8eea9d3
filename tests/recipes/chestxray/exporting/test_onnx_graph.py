"""Each family that the presets use becomes a graph with the same numbers as in PyTorch."""

import numpy as np
import pytest
from transformers import CLIPImageProcessor

from chestxray.exporting import agreement, distance_layer, export_run, onnx_file, onnx_graph, onnx_int8
from chestxray.models.described import COPY, describing
from chestxray.models.frozen_body import head_name
from chestxray.scoring import feature_statistics
from heatmap_models import FINDINGS, SIDE, TIMM_VIT, VIT, make_model, timm

WHOLE = SIDE + 8
FEW_BLOCKS = {  # a second block of the same kind would make the graph larger, and not another one
    "vit": {"num_hidden_layers": 1},
    "swin": {"depths": [1, 2]},  # without and with shifted windows
    "dinov2": {"num_hidden_layers": 1},
    "siglip": {"vision_config": {**VIT, "num_hidden_layers": 1}},
    "timm-vit": timm("vit_tiny_patch16_224", **{**TIMM_VIT, "depth": 1}),
}
FAMILIES = {  # whether the class activation map is exact
    "convnext": True,
    "vit": False,
    "swin": True,
    "resnet": True,
    "dinov2": True,
    "siglip": True,
    "timm-efficientnet": True,
    "timm-densenet": True,
    "timm-vit": False,
}


def make_processor():
    return CLIPImageProcessor(
        size={"height": WHOLE, "width": WHOLE},
        do_center_crop=True,
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.4, 0.5, 0.6],
        image_std=[0.2, 0.25, 0.3],
    )


def pixels(count=5):
    return np.random.default_rng(0).integers(0, 256, (count, WHOLE, WHOLE), np.uint8)


def load(graph):
    about = {"format": 1, "findings": FINDINGS, "size": WHOLE, "equalize": False, "sha256": ""}
    export_run.write_metadata(graph, about, None)
    return onnx_file.load(graph.SerializeToString())


def random_statistics(model):
    """Statistics of invented images; None for a model that does not end with one linear layer."""
    if not describing(model, SIDE):
        return None
    width = model.get_submodule(head_name(model)).in_features + COPY * COPY
    described = np.random.default_rng(1).normal(0, 1, (90, width)).astype(np.float32)
    references = feature_statistics.fit(described[:60], described[60:], COPY * COPY)
    return feature_statistics.FeatureStatistics("", "none", 60, 30, 0.01, {}, references)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gives_the_numbers_of_pytorch_in_every_batch(family, tmp_path):
    model, processor = make_model(family, tmp_path, **FEW_BLOCKS.get(family, {})), make_processor()
    layers = onnx_graph.exact_layers(model)
    assert bool(layers) == FAMILIES[family]
    statistics = random_statistics(model)
    graph = onnx_graph.build_graph(model, processor, layers, statistics)
    found = agreement.largest_differences(load(graph), model, processor, pixels(), statistics)
    missing = {onnx_file.MAPS: not layers, onnx_file.DISTANCE: not statistics}
    assert list(found) == [name for name in onnx_file.OUTPUTS if not missing.get(name)]
    assert max(found.values()) < 2e-5
    reduced_graph = onnx_int8.quantise_weights(graph, len(FINDINGS))
    reduced = load(reduced_graph)
    kept = [one.name for one in reduced_graph.graph.initializer if one.name.endswith(distance_layer.WHITENER)]
    assert len(kept) == (2 if statistics else 0), "the matrices of the distance stay as they are"
    logits, before = reduced.logits(pixels()), load(graph).logits(pixels())
    assert np.abs(logits - before).max() < 0.1 * max(1, np.abs(before).max())


def test_another_model_and_a_fixed_batch_are_disagreements(tmp_path):
    model, processor = make_model("resnet", tmp_path), make_processor()
    graph = onnx_graph.build_graph(model, processor, None)
    other = make_model("resnet", tmp_path)
    other.classifier[1].bias.data += 0.01
    found = agreement.largest_differences(load(graph), other, processor, pixels())
    with pytest.raises(agreement.Disagreement, match="in its logits, by 0.01; 0.0001 is allowed"):
        agreement.refuse_disagreement(found)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(agreement.Disagreement, match="does not take 3 images at once"):
        agreement.largest_differences(load(graph), model, processor, pixels())


def test_a_model_of_more_than_two_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "LARGEST", 1000)
    with pytest.raises(ValueError, match="an ONNX file holds 2 GB"):
        onnx_graph.build_graph(make_model("resnet", tmp_path), make_processor(), None)
