"""From a checkpoint to an ONNX file that agrees with it, and to a static page around it."""

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from transformers import CLIPImageProcessor, PreTrainedModel

from chestxray.data.opening import OpenDataset
from chestxray.exporting import (
    agreement,
    browser_runtime,
    compared_images,
    onnx_file,
    onnx_graph,
    onnx_int8,
    static_page,
)
from chestxray.exporting.compared_images import ComparedImages
from chestxray.exporting.export_options import ENDING, ExportOptions
from chestxray.exporting.int8_auroc import mean_auroc
from chestxray.exporting.onnx_file import ABOUT, FORMAT, OnnxModel
from chestxray.files import whole_file
from chestxray.models.classifiers import load_classifier, sides
from chestxray.models.heatmap_places import measure_on_sample
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.weights import digest_weights
from chestxray.places import last_part
from chestxray.scoring import calibration_file, feature_statistics
from chestxray.scoring.feature_statistics import FeatureStatistics
from chestxray.scoring.plain_values import to_plain_values
from chestxray.training.prediction_settings import prediction_settings
from chestxray.training.settings import Settings

NAME = f"model{ENDING}"
PACKAGES = ("torch", "transformers", "timm", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        data: the ONNX file's content; about: as `onnx_file.OnnxModel.about`; outputs: of the graph.
        notes: what is left out and why, one sentence each.
        path: of the file; page: {name of a file of the page: bytes}, empty without a page.
    """

    data: bytes
    about: dict[str, Any]
    outputs: list[str]
    notes: list[str]
    path: Path
    page: dict[str, int]


def export(options: ExportOptions) -> Exported:
    """Write the ONNX file, after it was compared with the checkpoint; with `page` the page around it.

    Raises:
        FileNotFoundError, ValueError: the folder is no checkpoint, or a damaged one; the dataset or onnxruntime-web is
            not there; the model cannot be exported or, as `agreement.Disagreement`, gives other numbers. Nothing is
            written.
    """
    path = output_path(options.output, options.page)
    runtime = browser_runtime.collect(options.onnxruntime_web) if options.page else {}
    made = make_file(options, path)
    if not options.page:
        with whole_file(path, alone=True) as part:  # overwrites what a killed run left
            part.write_bytes(made.data)
        return made
    page = static_page.write_page(path.parent, made.data, last_part(options.checkpoint), runtime)
    return replace(made, page=page)


def make_file(options: ExportOptions, path: Path) -> Exported:
    """The exported model, compared with the checkpoint, before it is written. Raises as `export`."""
    settings = prediction_settings(options.checkpoint)
    opened = compared_images.open_validation(options.checkpoint, settings, options.dataset)
    model, processor, findings = load_classifier(options.checkpoint)
    statistics, no_distance = feature_statistics.find_or_reason(options.checkpoint, "none")
    layers = onnx_graph.exact_layers(model)
    places = measure_on_sample(Heatmapper(model), processor, settings.equalize) if layers else None
    graph = onnx_graph.build_graph(model, processor, layers, statistics)
    about = describe(options.checkpoint, findings, processor, settings, statistics)
    about["places"] = places
    about["synthetic"] = opened.synthetic if opened else None
    calibration, no_calibration = calibration_text(options.checkpoint, about["sha256"], findings)
    write_metadata(graph, about, calibration)
    exported = onnx_file.load(graph.SerializeToString())
    images = compared_images.choose_images(opened, exported.size, settings.equalize)
    about["check"] = check(exported, model, processor, images, statistics)
    if options.int8:
        graph, about["int8"] = reduce_weights(graph, exported, opened, images, settings, options.batch_size)
    write_metadata(graph, about, calibration)
    reasons = {"calibration": no_calibration, "the distance to the training images": no_distance}
    notes = [f"Without {what}: {reason}" for what, reason in reasons.items() if reason]
    return Exported(graph.SerializeToString(), about, exported.output_names(), notes, path, page={})


def output_path(output: str, page: bool = False) -> Path:
    """The file to write. Raises ValueError if a folder has its name, or a file that of the folder, or for a page."""
    if page and output.endswith(ENDING):
        raise ValueError(f"{output} is a file, and a page is a folder: leave out --page, or give a folder")
    path = Path(output) if output.endswith(ENDING) else Path(output, NAME)
    if path.is_dir() or path.parent.is_file():
        raise ValueError(f"{path} cannot be written: a folder, or a file, is in its place")
    return path


def describe(
    checkpoint: str,
    findings: list[str],
    processor: CLIPImageProcessor,
    settings: Settings,
    statistics: FeatureStatistics | None,
) -> dict:
    """What a reader of the file must know; see `onnx_file.OnnxModel.about`."""
    whole, side = sides(processor)
    return {
        "format": FORMAT,
        "findings": list(findings),
        "size": whole,
        "crop": side,
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
        "equalize": bool(settings.equalize),
        "sha256": digest_weights(checkpoint),
        "opset": onnx_graph.OPSET,
        "versions": {name: version(name) for name in PACKAGES},
        "check": None,
        "int8": None,
        "places": None,
        "synthetic": None,
        "statistics": {"n_train": statistics.n_train, "rate": statistics.rate} if statistics else None,
    }


def calibration_text(checkpoint: str, sha256: str, findings: list[str]) -> tuple[str | None, str]:
    """(the content of calibration.json, "") or (None, why it is left out). Raises ValueError if it is damaged."""
    path, advice = Path(checkpoint) / calibration_file.NAME, f"Run: python recipes/score.py {checkpoint}"
    if not path.exists():
        return None, f"{checkpoint} has no {calibration_file.NAME}. {advice}"
    found = calibration_file.read(path)
    if found.sha256 != sha256 or found.findings != list(findings):
        return None, f"{path} is of other weights. {advice}"
    if found.tta != "none":
        return None, f"{path} is of several views ({found.tta}), and the graph has one. {advice} --tta none"
    return calibration_file.as_text(found), ""


def write_metadata(graph: Any, about: dict, calibration: str | None) -> None:
    """Put what a reader must know into an onnx.ModelProto, instead of what is there."""
    texts = {ABOUT: json.dumps(to_plain_values(about))}
    if calibration:
        texts[calibration_file.NAME] = calibration
    graph.ClearField("metadata_props")
    for key, value in texts.items():
        graph.metadata_props.add(key=key, value=value)


def check(
    exported: OnnxModel,
    model: PreTrainedModel,
    processor: CLIPImageProcessor,
    images: ComparedImages,
    statistics: FeatureStatistics | None,
) -> dict[str, Any]:
    """{"images": what they are, "batches", "largest_difference": {output: number}}. Raises Disagreement."""
    found = agreement.largest_differences(exported, model, processor, images.pixels, statistics)
    agreement.refuse_disagreement(found)
    return {"images": images.origin, "batches": list(agreement.BATCHES), "largest_difference": found}


def reduce_weights(
    graph: Any,
    exported: OnnxModel,
    opened: OpenDataset | None,
    images: ComparedImages,
    settings: Settings,
    batch_size: int,
) -> tuple[Any, dict[str, Any]]:
    """(the graph with weights in int8, what that costs): the AUROC on validation before and after, if there is one.

    Raises:
        ValueError: as `onnx_int8.quantise_weights`, or a logit is no finite number.
    """
    reduced = onnx_int8.quantise_weights(graph, len(exported.findings))
    small = onnx_file.load(reduced.SerializeToString())
    logits, before = small.logits(images.pixels), exported.logits(images.pixels)
    if not np.isfinite(logits).all():
        raise ValueError("with weights in int8 the model gives no finite number: leave --int8 out")
    cost: dict[str, Any] = {"largest_difference": float(np.abs(logits - before).max()), "auroc": None}
    if opened:
        cost["auroc"] = mean_auroc({"before": exported, "after": small}, opened, settings, batch_size)
        cost["images"] = f"{len(opened.splits['validation'])} validation images of {opened.name}"
    return reduced, cost
