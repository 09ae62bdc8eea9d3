"""Results as JSON to compute with, a table to read and a picture to look at."""

import json
import math

from chestxray.tables import Table, between, figure

SYNTHETIC = "Synthetic images: these scores say nothing of radiographs."
UNOFFICIAL = "These are not the 25,596 images of NIH's official test list: do not compare with published scores"
NEXT = "For scores that do, give the folder of NIH's archive: --dataset FOLDER --model convnext-tiny"
SPLITS = ("validation", "test")


def write(results, path):
    """Flat JSON; what is undefined is null, for NaN is not JSON."""
    undefined = {name: None for name, value in results.items() if isinstance(value, float) and math.isnan(value)}
    path.write_text(json.dumps(results | undefined, indent=2) + "\n")


def is_defined(value):
    """Whether a figure exists; it is NaN in memory and null in the file where it does not."""
    return value is not None and not math.isnan(value)


def findings(results):
    return [name.partition("/")[2] for name in results if name.startswith("test_auroc/")]


def table(results):
    """AUROC per finding with its 95% interval over patients, and positives, on validation and on test."""
    header = ["", *(text for split in SPLITS for text in (f"{split} AUROC", "95% interval", "positives"))]
    rows = [[finding or "mean", *cells(results, finding)] for finding in (*findings(results), None)]
    notes = [
        f"The mean on {split} is over {results[f'{split}_n_findings']} of {len(findings(results))} findings; "
        f"with one class only: {', '.join(results[f'{split}_undefined'])}."
        for split in SPLITS
        if results[f"{split}_undefined"]
    ]
    if results["synthetic"]:
        notes += [SYNTHETIC, NEXT]
    elif not results["official_test"]:
        notes.append(f"{UNOFFICIAL} ({results['test_n_images']:,} images here).")
    return "\n".join([Table(header, rows, last_is_mean=True).text(), *notes])


def cells(results, finding):
    """One row's figures; of the mean where `finding` is None."""
    suffix = f"/{finding}" if finding else ""
    for split in SPLITS:
        auroc, low, high = (results[f"{split}_{name}{suffix}"] for name in ("auroc", "auroc_low", "auroc_high"))
        yield figure(auroc)
        yield between(low, high)
        yield f"{results[f'{split}_positives{suffix}']:,}" if finding else ""


def plot(results, path):
    """AUROC per finding on test with its interval, as a picture."""
    from matplotlib.figure import Figure

    names = [name for name in findings(results) if is_defined(results[f"test_auroc_low/{name}"])]
    names.sort(key=lambda name: results[f"test_auroc/{name}"])
    middle, low, high = (
        [results[f"test_{key}/{name}"] for name in names] for key in ("auroc", "auroc_low", "auroc_high")
    )
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.hlines(names, low, high, color="tab:blue", alpha=0.4, linewidth=4)
    axes.plot(middle, names, "o", color="tab:blue")
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.axvline(results["test_auroc"], color="tab:orange")
    axes.set_xlabel(f"test AUROC with 95% interval over patients; mean {results['test_auroc']:.3f}")
    axes.set_xlim(min(0.45, *low) if low else 0, 1.005)
    axes.set_title(SYNTHETIC if results["synthetic"] else "", fontsize=9)
    figure.savefig(path, dpi=150)
