"""Results of a fine-tune: JSON to compute with, a table to read and a picture to look at."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestxray.files import write
from chestxray.reporting.tables import Table, between, figure
from chestxray.scoring.scorecard import SYNTHETIC

UNOFFICIAL = "These are not the 25,596 images of NIH's official test list: do not compare with published scores"
NEXT = "For scores on radiographs, give the folder of NIH's archive: --dataset FOLDER --model convnext-tiny"
SPLITS = ("validation", "test")


# Files


def write_results(results: Mapping, path: Path) -> None:
    """Write flat JSON. What is undefined is null, because JSON has no NaN."""
    undefined = {name: None for name, value in results.items() if isinstance(value, float) and math.isnan(value)}
    write(path, json.dumps({**results, **undefined}, indent=2) + "\n")


def write_epochs(scores: Sequence[Mapping], path: Path) -> None:
    """One row per epoch as CSV: loss, rate, validation AUROC, images/s, share of the time waiting for data."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, scores[0] if scores else ["epoch"])
        writer.writeheader()
        writer.writerows(scores)


# What results hold


def is_defined(value: float | None) -> bool:
    """Whether a figure exists; where it does not, it is NaN in memory and null in the file."""
    return value is not None and not math.isnan(value)


def dataset_results(results: Mapping) -> list[tuple[str, Mapping]]:
    """(name, results) of each dataset; the figures of several have the dataset's name before them."""
    if len(results["datasets"]) == 1:
        return [(results["datasets"][0], results)]
    return [(name, {key.removeprefix(f"{name}/"): results[key] for key in results}) for name in results["datasets"]]


def scored_splits(results: Mapping) -> list[str]:
    return [split for split in SPLITS if f"{split}_auroc" in results]


def findings(results: Mapping) -> list[str]:
    prefix = f"{scored_splits(results)[-1]}_auroc/"
    return [name.removeprefix(prefix) for name in results if name.startswith(prefix)]


# Table


def results_text(results: Mapping) -> str:
    """For a terminal: AUROC per finding, its 95% interval over patients and positives, on validation and on test."""
    texts = [(name, dataset_text(part)) for name, part in dataset_results(results)]
    return "\n\n".join(f"{name}\n{text}" if len(texts) > 1 else text for name, text in texts)


def dataset_text(results: Mapping) -> str:
    splits = scored_splits(results)
    header = ["", *(text for split in splits for text in (f"{split} AUROC", "95% interval", "positives"))]
    rows = [[finding or "mean", *finding_cells(results, finding)] for finding in (*findings(results), None)]
    return "\n".join([Table(header, rows, last_is_mean=True).text(), *notes(results)])


def finding_cells(results: Mapping, finding: str | None) -> Iterator[str]:
    """One row's figures; of the mean where `finding` is None."""
    suffix = f"/{finding}" if finding else ""
    for split in scored_splits(results):
        auroc, low, high = (results[f"{split}_{name}{suffix}"] for name in ("auroc", "auroc_low", "auroc_high"))
        yield figure(auroc)
        yield between(low, high)
        yield f"{results[f'{split}_positives{suffix}']:,}" if finding else ""


def notes(results: Mapping) -> list[str]:
    """What a reader of the table must know, one sentence each."""
    found = [
        f"The mean on {split} is over {results[f'{split}_n_findings']} of {len(findings(results))} findings. {split} "
        f"has only positives or only negatives of: {', '.join(results[f'{split}_undefined'])}."
        for split in scored_splits(results)
        if results[f"{split}_undefined"]
    ]
    if results["synthetic"]:
        return [*found, SYNTHETIC, NEXT]
    if results["official_test"] is False and "test_n_images" in results:
        found.append(f"{UNOFFICIAL} ({results['test_n_images']:,} images here).")
    return found


# Picture


def plot_results(results: Mapping, path: Path) -> None:
    """AUROC per finding with its interval, on test or else on validation, as a PNG; one panel per dataset."""
    parts = dataset_results(results)
    height = 1.2 + 0.3 * max(len(findings(part)) for _, part in parts)
    picture = Figure(figsize=(7 * len(parts), height), layout="constrained")
    for axes, (name, part) in zip(picture.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        draw_panel(axes, part, name if len(parts) > 1 else "")
    picture.savefig(path, dpi=150)


def draw_panel(axes: Axes, results: Mapping, title: str) -> None:
    split = scored_splits(results)[-1]
    names = [name for name in findings(results) if is_defined(results[f"{split}_auroc/{name}"])]
    names.sort(key=lambda name: results[f"{split}_auroc/{name}"])
    # An AUROC of 0 or 1 has no interval: its dot is drawn, its line is not.
    middle, low, high = (
        np.array([results[f"{split}_{key}/{name}"] for name in names], dtype=float)
        for key in ("auroc", "auroc_low", "auroc_high")
    )
    axes.hlines(names, low, high, color="tab:blue", alpha=0.4, linewidth=4)
    axes.plot(middle, names, "o", color="tab:blue")
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.axvline(results[f"{split}_auroc"], color="tab:orange")
    axes.set_xlabel(f"{split} AUROC with 95% interval over patients; mean {results[f'{split}_auroc']:.3f}")
    axes.set_xlim(np.nanmin([0.47, *middle, *low]) - 0.02, 1.01)
    axes.set_title("\n".join(filter(None, [title, SYNTHETIC if results["synthetic"] else ""])), fontsize=9)
