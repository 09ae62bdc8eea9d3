"""The files of a finished run, without its results; and whether a new run would be the same one."""

from pathlib import Path

import torch

from chestxray.data import exposure
from chestxray.models.adapting import merge_heads
from chestxray.models.classifiers import save_classifier
from chestxray.training.run import Run
from chestxray.training.settings_files import write_settings


def save_model(run: Run, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write a checkpoint that Transformers loads, its settings, and which images it has seen.

    weights: see `Run.weights`. Three classes per finding become one output.
    """
    model = run.classifier or run.accelerator.unwrap_model(run.model, keep_torch_compile=False)
    if run.settings.classes > 1:
        model, weights = merge_heads(model.config, weights, run.data.findings)
    save_classifier(model, weights, folder)
    run.processor.save_pretrained(folder)
    write_settings(run.settings, folder)
    exposure.write(run.data.datasets, run.data.digests, folder, run.settings.base)


def refuse_other_data(output: Path, digests: list[dict]) -> bool:
    """Raise ValueError if a finished run had other images or labels than these. digests: see `RunData`.

    Returns:
        Whether the images could be compared. Images in the cache cannot be compared with images that are not.
    """
    seen = exposure.read(output)
    if seen and not all(map(exposure.same_data, digests, seen.digests)):
        raise ValueError(f"{output} holds a finished run on other images or labels. Give another --output-dir.")
    return seen is not None and all(map(exposure.is_checked, digests, seen.digests))
