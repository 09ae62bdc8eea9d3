"""Results as JSON to compute with, a table to read and a picture to look at."""

import csv
import json
import math

import numpy as np

from chestxray.reporting.tables import Table, between, figure

SYNTHETIC = "Synthetic images: these scores say nothing of radiographs."
UNOFFICIAL = "These are not the 25,596 images of NIH's official test list: do not compare with published scores"
NEXT = "For scores that do, give the folder of NIH's archive: --dataset FOLDER --model convnext-tiny"
SPLITS = ("validation", "test")


def write(results, path):
    """Flat JSON; what is undefined is null, for NaN is not JSON."""
    undefined = {name: None for name, value in results.items() if isinstance(value, float) and math.isnan(value)}
    path.write_text(json.dumps(results | undefined, indent=2) + "\n")


def write_epochs(scores, path):
    """One row per epoch as CSV: loss, rate, validation AUROC, images/s, share of the time waiting for data."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, scores[0] if scores else ["epoch"])
        writer.writeheader()
        writer.writerows(scores)


def is_defined(value):
    """Whether a figure exists; it is NaN in memory and null in the file where it does not."""
    return value is not None and not math.isnan(value)


def parts(results):
    """(name, results) of each dataset; one alone has its figures without its name before them."""
    if len(results["datasets"]) == 1:
        return [(results["datasets"][0], results)]
    return [(name, {key.removeprefix(f"{name}/"): results[key] for key in results}) for name in results["datasets"]]


def splits(results):
    return [split for split in SPLITS if f"{split}_auroc" in results]


def findings(results):
    prefix = f"{splits(results)[-1]}_auroc/"
    return [name.removeprefix(prefix) for name in results if name.startswith(prefix)]


def table(results):
    """AUROC per finding with its 95% interval over patients, and positives, on validation and on test."""
    several = len(results["datasets"]) > 1
    return "\n\n".join(f"{name}\n{table_of(part)}" if several else table_of(part) for name, part in parts(results))


def table_of(results):
    header = ["", *(text for split in splits(results) for text in (f"{split} AUROC", "95% interval", "positives"))]
    rows = [[finding or "mean", *cells(results, finding)] for finding in (*findings(results), None)]
    notes = [
        f"The mean on {split} is over {results[f'{split}_n_findings']} of {len(findings(results))} findings; "
        f"with one class only: {', '.join(results[f'{split}_undefined'])}."
        for split in splits(results)
        if results[f"{split}_undefined"]
    ]
    if results["synthetic"]:
        notes += [SYNTHETIC, NEXT]
    elif results["official_test"] is False and "test_n_images" in results:
        notes.append(f"{UNOFFICIAL} ({results['test_n_images']:,} images here).")
    return "\n".join([Table(header, rows, last_is_mean=True).text(), *notes])


def cells(results, finding):
    """One row's figures; of the mean where `finding` is None."""
    suffix = f"/{finding}" if finding else ""
    for split in splits(results):
        auroc, low, high = (results[f"{split}_{name}{suffix}"] for name in ("auroc", "auroc_low", "auroc_high"))
        yield figure(auroc)
        yield between(low, high)
        yield f"{results[f'{split}_positives{suffix}']:,}" if finding else ""


def plot(results, path):
    """AUROC per finding with its interval, on test or else on validation, as a picture; one panel per dataset."""
    from matplotlib.figure import Figure

    shown = parts(results)
    height = 1.2 + 0.3 * max(len(findings(part)) for _, part in shown)
    whole = Figure(figsize=(7 * len(shown), height), layout="constrained")
    for axes, (name, part) in zip(whole.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        panel(axes, part, name if len(shown) > 1 else "")
    whole.savefig(path, dpi=150)


def panel(axes, results, title):
    split = splits(results)[-1]
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
