"""Models of some hospitals at others: every model's AUROC on every dataset, over the findings that all of them know."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chestxray.data import predictions
from chestxray.data.labels import canonical
from chestxray.places import last_part, place, public_name
from chestxray.reporting import pages
from chestxray.reporting.figure_style import style
from chestxray.reporting.tables import Table, between, figure
from chestxray.scoring import scorecard
from chestxray.training.settings import Settings
from multilabel_auroc.multilabel_auroc import auroc_report

QUANTITIES = ("auroc", "auroc_low", "auroc_high")
COUNTS = ("positives", "negatives")
SHADES = "cividis"  # Nuñez et al. 2018, doi 10.1371/journal.pone.0199239: the same to all kinds of colour vision
MARK = "*"


@dataclass(frozen=True)
class Model:
    """One row.

    Attributes:
        name: in tables and files; checkpoint: its folder.
        trained_on: the datasets of its settings.yaml, [] without; trained_equalized: whether their histograms were
            equalised, None without.
        settings: a `Settings` with which its predictions are made.
    """

    name: str
    checkpoint: str
    trained_on: list
    trained_equalized: bool | None
    settings: Settings


@dataclass(frozen=True)
class Target:
    """One column: `name` in tables and files, the folder or Hub id, and of MIMIC-CXR whose labels (or None)."""

    name: str
    source: str
    labeler: str | None = None


@dataclass(frozen=True)
class Transfer:
    """Every model on every dataset.

    Attributes:
        findings: canonical names of what all models have and all datasets label; averaged: those of them that have
            positives and negatives in every dataset's split, so that all means are over the same findings.
        cells: {(model's name, dataset's name): `cell`}.
        about: {dataset's name: the `about` of its predictions}.
    """

    split: str
    views: str
    models: list
    targets: list
    findings: list
    averaged: list
    cells: dict
    about: dict


# Numbers


def shared(known):
    """The canonical findings that are in all of `known`, {who: list of findings}, in the order of the first.

    Raises ValueError where there are none; the message says who knows which.
    """
    canonicals = [list(map(canonical, findings)) for findings in known.values()]
    common = [finding for finding in canonicals[0] if all(finding in others for others in canonicals)]
    if not common:
        lists = "; ".join(f"{who}: {', '.join(findings)}" for who, findings in known.items())
        raise ValueError(
            f"no finding is known to all of these models and datasets, so nothing can be compared. {lists}"
        )
    return common


def make(models, targets, files, findings, split, views):
    """A `Transfer`.

    Args:
        files: {(model's name, dataset's name): a predictions file that holds `split`}.
        findings: see `shared`.

    Raises:
        FileNotFoundError, ValueError: as `predictions.read` and `Predictions.of`.
    """
    tables = {pair: only(predictions.read(file).of(split), findings) for pair, file in files.items()}
    both = np.all([[len(set(labels[~np.isnan(labels)])) == 2 for labels in t.targets.T] for t in tables.values()], 0)
    averaged = [finding for finding, defined in zip(findings, both, strict=True) if defined]
    cells = {pair: cell(table, averaged) for pair, table in tables.items()}
    about = {name: table.about for (_, name), table in tables.items()}
    return Transfer(split, views, models, targets, findings, averaged, cells, about)


def only(table, findings):
    """Predictions of some findings, in their order and by their canonical names."""
    names = [canonical(name) for name in table.findings]
    columns = [names.index(finding) for finding in findings]
    return replace(table, logits=table.logits[:, columns], targets=table.targets[:, columns], findings=findings)


def cell(table, averaged):
    """AUROC of one model on one dataset: the mean over `averaged`, NaN if that is empty, and each finding's."""
    whole = report(table)
    mean = report(only(table, averaged)) if averaged else dict.fromkeys(QUANTITIES, float("nan"))
    each = {name: {key: whole[f"{key}/{name}"] for key in (*QUANTITIES, *COUNTS)} for name in table.findings}
    about = {
        "n_images": whole["n_images"],
        "n_patients": whole["n_groups"],
        "sha256": table.about["models"][0]["sha256"],
    }
    return {key: mean[key] for key in QUANTITIES} | about | {"findings": each}


def report(table):
    return auroc_report(table.logits, table.targets, table.rows["patient"], label_names=table.findings)


def is_home(model, target):
    """Whether a model was trained on a dataset: the same folder, however it is spelt, or the same Hub id."""
    return place(target.source) in map(place, model.trained_on)


def names(sources):
    """What to call folders or Hub ids: the last part of each path, and as many before it as tell them apart.

    Raises ValueError where one is given twice.

    >>> names(["runs/a/best", "runs/b/best"])
    ['a-best', 'b-best']
    """
    if twice := [source for number, source in enumerate(sources) if place(source) in map(place, sources[:number])]:
        raise ValueError(f"{twice[0]} is given twice")
    parts, depth = [Path(source).absolute().parts for source in sources], 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["-".join(part[-depth:]) for part in parts]


def as_json(result):
    """A dict of plain Python values; what is undefined is None, for NaN is not JSON."""
    return scorecard.plain(
        {
            "split": result.split,
            "views": result.views,
            "findings": result.findings,
            "averaged": result.averaged,
            "models": [
                {
                    "name": model.name,
                    "checkpoint": last_part(model.checkpoint),
                    "trained_on": [public_name(source) for source in model.trained_on],
                    "trained_equalized": model.trained_equalized,
                    "equalized": model.settings.equalize,
                }
                for model in result.models
            ],
            "datasets": [
                {**vars(target), "source": public_name(target.source)}
                | {key: result.about[target.name].get(key) for key in ("dataset", "synthetic")}
                for target in result.targets
            ],
            "cells": [
                {"model": model.name, "dataset": target.name, "trained_on": is_home(model, target)}
                | result.cells[model.name, target.name]
                for model in result.models
                for target in result.targets
            ],
        }
    )


# Words


def page(result):
    """transfer.md; its picture is what `draw` gives, as transfer.png beside it."""
    return pages.markdown(
        "transfer.md",
        split=result.split,
        notes=warnings(result),
        means_note=how_averaged(result),
        images_note=how_pictured(result),
        tables={"means": means(result), "findings": single_findings(result), "origins": made(result)},
    )


def warnings(result):
    """What must not be overlooked, one sentence each."""
    found = synthetic(result)
    if lost := [name for name in result.findings if name not in result.averaged]:
        found.append(f"In no mean, as {result.split} has one class only: {'; '.join(one_class(result, lost))}.")
    for target in result.targets:
        found += [f"{target.name}: {note}" for note in result.about[target.name].get("notes") or []]
    return found + [
        f"{model.name} was trained {'with' if model.trained_equalized else 'without'} histogram equalisation and is "
        f"scored {'with' if model.settings.equalize else 'without'}."
        for model in result.models
        if model.trained_equalized not in (None, model.settings.equalize)
    ]


def synthetic(result):
    """A list of one sentence, empty where every image is a radiograph."""
    drawn = [target.name for target in result.targets if result.about[target.name].get("synthetic")]
    if len(drawn) == len(result.targets):
        return [scorecard.SYNTHETIC]
    return [f"Synthetic images: scores on {', '.join(drawn)} say nothing of radiographs."] * bool(drawn)


def one_class(result, lost):
    """Each finding with the datasets that lack positives or negatives of it: "Fracture on chexpert, mimic"."""
    first = result.models[0].name
    for finding in lost:
        where = [
            target.name
            for target in result.targets
            if not all(result.cells[first, target.name]["findings"][finding][key] for key in COUNTS)
        ]
        yield f"{finding} on {', '.join(where)}"


def how_averaged(result):
    part = f"{len(result.averaged)} of " * (result.averaged != result.findings)
    return (
        f"Mean AUROC on {result.split} over {part}the {len(result.findings)} findings that all the models have and all "
        f"the datasets label: {', '.join(result.averaged) or 'none'}. In brackets the 95% interval, with the patient "
        f"as the unit (Obuchowski 1997). {MARK} marks a dataset on whose train split the model was trained."
    )


def how_pictured(result):
    """Views and histograms, and whose labels of MIMIC-CXR."""
    shown = "Frontal images only, where a dataset tells." if result.views == "frontal" else "Images of all views."
    labels = "".join(f" Labels of {target.name}: {target.labeler}." for target in result.targets if target.labeler)
    return f"{shown} Histograms: {'; '.join(histograms(result))}.{labels}"


def histograms(result):
    """What was done to the images' histograms, for the models where it was."""
    for done, words in (
        (True, "every image's equalised"),
        (False, "as each dataset comes (MIMIC-CXR-JPG's are equalised, NIH's and CheXpert's are not)"),
    ):
        of = [model.name for model in result.models if model.settings.equalize is done]
        if of:
            yield words + f", for {', '.join(of)}" * (len(of) < len(result.models))


def means(result):
    rows = [
        [model.name, trained_on(model, result), *(mean(result, model, target) for target in result.targets)]
        for model in result.models
    ]
    return Table(["model", "trained on", *(target.name for target in result.targets)], rows)


def mean(result, model, target):
    found = result.cells[model.name, target.name]
    interval = f" ({between(found['auroc_low'], found['auroc_high'])})" * (not np.isnan(found["auroc"]))
    return f"{figure(found['auroc'])}{interval}{MARK if is_home(model, target) else ''}"


def trained_on(model, result):
    known = {place(target.source): target.name for target in result.targets}
    return " + ".join(known.get(place(source), public_name(source)) for source in model.trained_on) or "not stated"


def single_findings(result):
    rows = []
    for finding in result.findings:
        for model in result.models:
            for target in result.targets:
                row = result.cells[model.name, target.name]["findings"][finding]
                known = f"{row['positives']:,} of {row['positives'] + row['negatives']:,}"
                there = f"{target.name}{MARK if is_home(model, target) else ''}"
                area = [figure(row["auroc"]), between(row["auroc_low"], row["auroc_high"])]
                rows.append([finding, model.name, there, *area, known])
    return Table(["finding", "model", "dataset", "AUROC", "95% interval", "positives"], rows)


def made(result):
    rows = []
    for target in result.targets:
        counts = result.cells[result.models[0].name, target.name]
        size = f"{counts['n_images']:,} images of {counts['n_patients']:,} patients"
        rows.append([f"dataset {target.name}", f"{result.about[target.name].get('dataset')}, {size}"])
    for model in result.models:
        digest = result.cells[model.name, result.targets[0].name]["sha256"]
        rows.append([f"model {model.name}", f"SHA-256 of the weights {digest[:16]}"])
    return Table(["what", "which"], rows)


# Picture


def draw(result):
    """The heat map of the means as PNG bytes, transparent; the datasets a model was trained on are framed."""
    with matplotlib.rc_context(style(9)):
        size = (3.2 + 1.9 * len(result.targets), 1.9 + 0.75 * len(result.models))
        whole, written = Figure(figsize=size, layout="constrained"), io.BytesIO()
        axes = whole.add_subplot()
        image = draw_cells(axes, result)
        axes.set_xlabel("scored on; framed: trained on its train split")
        axes.set_title(
            "\n".join(
                [f"Mean over {len(result.averaged)} of {len(result.findings)} shared findings", *synthetic(result)]
            )
        )
        whole.colorbar(image, label=f"mean AUROC on {result.split}", extend="min").outline.set_visible(False)
        whole.savefig(written, format="png", dpi=150, metadata={"Software": None})
    return written.getvalue()


def draw_cells(axes, result):
    values = [[result.cells[model.name, target.name]["auroc"] for target in result.targets] for model in result.models]
    image = axes.imshow(values, cmap=SHADES, vmin=0.5, vmax=1, aspect="auto")
    for row, model in enumerate(result.models):
        for column, target in enumerate(result.targets):
            annotate(axes, (column, row), image, result.cells[model.name, target.name], is_home(model, target))
    axes.set_xticks(range(len(result.targets)), [target.name for target in result.targets])
    rows = [f"{model.name}\ntrained on {trained_on(model, result)}" for model in result.models]
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def annotate(axes, place, image, found, framed):
    """A cell's figures, black or white, whichever is seen better on its colour."""
    if np.isnan(found["auroc"]):
        axes.text(*place, "–", ha="center", va="center")
        return
    red, green, blue, _ = image.to_rgba(found["auroc"])
    ink = "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4 else "white"  # luminance, ITU-R BT.709
    words = f"{figure(found['auroc'])}\n{between(found['auroc_low'], found['auroc_high'])}"
    axes.text(*place, words, ha="center", va="center", color=ink)
    if framed:
        corner = (place[0] - 0.47, place[1] - 0.45)
        axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=ink, linewidth=2))
