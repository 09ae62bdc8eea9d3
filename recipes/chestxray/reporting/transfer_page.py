"""The page and the picture of models scored at other hospitals."""

import io
from itertools import product

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from chestxray.places import place, public_name
from chestxray.reporting import pages
from chestxray.reporting.figure_style import style
from chestxray.reporting.tables import Table, between, figure
from chestxray.scoring import scorecard
from chestxray.scoring.transfer import COUNTS, Model, Target, Transfer, is_home

SHADES = "cividis"  # Nuñez et al. 2018, doi 10.1371/journal.pone.0199239: the same to all kinds of colour vision
MARK = "*"


# Words


def markdown(result: Transfer) -> str:
    """transfer.md; its picture is what `draw` gives, as transfer.png beside it."""
    return pages.markdown(
        "transfer.md",
        **means_values(result),
        **images_values(result),
        notes=warnings(result),
        tables={
            "means": means_table(result),
            "findings": findings_table(result),
            "origins": origins_table(result),
        },
    )


def screen_text(result: Transfer) -> str:
    """What must be known, and the table of means, for a terminal."""
    lines = [*warnings(result), explain_means(result), explain_images(result), means_table(result).text()]
    return "\n".join(lines)


def warnings(result: Transfer) -> list[str]:
    """What must not be overlooked, one sentence each."""
    found = synthetic_warning(result)
    if lost := [name for name in result.findings if name not in result.averaged]:
        named = "; ".join(f"{finding} on {', '.join(one_class_datasets(result, finding))}" for finding in lost)
        found.append(f"{named}: in no mean, because {result.split} has only positives or only negatives there.")
    for target in result.targets:
        found += [f"{target.name}: {note}" for note in result.about[target.name].get("notes") or []]
    return found + [
        f"{model.name} was trained {'with' if model.trained_equalized else 'without'} histogram equalisation and is "
        f"scored {'with' if model.equalized else 'without'}."
        for model in result.models
        if model.trained_equalized not in (None, model.equalized)
    ]


def synthetic_warning(result: Transfer) -> list[str]:
    """A list of one sentence, empty where every image is a radiograph."""
    drawn = [target.name for target in result.targets if result.about[target.name].get("synthetic")]
    if len(drawn) == len(result.targets):
        return [scorecard.SYNTHETIC]
    return [f"Synthetic images: scores on {', '.join(drawn)} say nothing about radiographs."] if drawn else []


def one_class_datasets(result: Transfer, finding: str) -> list[str]:
    """The names of the datasets that lack positives or negatives of a finding."""
    first = result.models[0].name
    return [
        target.name
        for target in result.targets
        if not all(result.cells[first, target.name]["findings"][finding][key] for key in COUNTS)
    ]


def explain_means(result: Transfer) -> str:
    """The findings of the means, and the meaning of the brackets and the mark, as plain text."""
    return pages.sentences("transfer_means.jinja", **means_values(result))


def means_values(result: Transfer) -> dict:
    """What templates/transfer_means.jinja names."""
    return {"split": result.split, "findings": result.findings, "averaged": result.averaged, "mark": MARK}


def explain_images(result: Transfer) -> str:
    """Which views are scored, what was done to histograms, and whose labels of MIMIC-CXR are used, as plain text."""
    return pages.sentences("transfer_images.jinja", **images_values(result))


def images_values(result: Transfer) -> dict:
    """What templates/transfer_images.jinja names."""
    return {
        "views": result.views,
        "equalized": [model.name for model in result.models if model.equalized],
        "unchanged": [model.name for model in result.models if not model.equalized],
        "labelers": {target.name: target.labeler for target in result.targets if target.labeler},
    }


def means_table(result: Transfer) -> Table:
    """A row per model, a column per dataset."""
    rows = [
        [model.name, home_names(model, result), *(mean_text(result, model, target) for target in result.targets)]
        for model in result.models
    ]
    return Table(["model", "trained on", *(target.name for target in result.targets)], rows)


def mean_text(result: Transfer, model: Model, target: Target) -> str:
    """One cell: "0.812 (0.790 to 0.834)*"."""
    cell = result.cells[model.name, target.name]
    interval = "" if np.isnan(cell["auroc"]) else f" ({between(cell['auroc_low'], cell['auroc_high'])})"
    return f"{figure(cell['auroc'])}{interval}{MARK if is_home(model, target) else ''}"


def home_names(model: Model, result: Transfer) -> str:
    """The datasets that a model was trained on, by their names in the table where they are in it."""
    known = {place(target.source): target.name for target in result.targets}
    return " + ".join(known.get(place(source), public_name(source)) for source in model.trained_on) or "not stated"


def findings_table(result: Transfer) -> Table:
    """A row for each finding, model and dataset."""
    rows = []
    for finding, model, target in product(result.findings, result.models, result.targets):
        row = result.cells[model.name, target.name]["findings"][finding]
        known = f"{row['positives']:,} of {row['positives'] + row['negatives']:,}"
        dataset = f"{target.name}{MARK if is_home(model, target) else ''}"
        area = [figure(row["auroc"]), between(row["auroc_low"], row["auroc_high"])]
        rows.append([finding, model.name, dataset, *area, known])
    return Table(["finding", "model", "dataset", "AUROC", "95% interval", "positives"], rows)


def origins_table(result: Transfer) -> Table:
    """How many images and patients of each dataset were scored, and with which weights."""
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


def draw(result: Transfer) -> bytes:
    """The heat map of the means as a PNG, transparent; the datasets a model was trained on are framed."""
    with matplotlib.rc_context(style(9)):
        size = (3.2 + 1.9 * len(result.targets), 1.9 + 0.75 * len(result.models))  # inches
        picture, written = Figure(figsize=size, layout="constrained"), io.BytesIO()
        axes = picture.add_subplot()
        image = draw_cells(axes, result)
        axes.set_xlabel("scored on; framed: trained on its train split")
        title = f"Mean over {len(result.averaged)} of {len(result.findings)} shared findings"
        axes.set_title("\n".join([title, *synthetic_warning(result)]))
        bar = picture.colorbar(image, label=f"mean AUROC on {result.split}", extend="min")
        bar.outline.set_visible(False)
        picture.savefig(written, format="png", dpi=150, metadata={"Software": None})
    return written.getvalue()


def draw_cells(axes: Axes, result: Transfer) -> AxesImage:
    """Colour every cell, write its figures into it and name rows and columns."""
    values = [[result.cells[model.name, target.name]["auroc"] for target in result.targets] for model in result.models]
    image = axes.imshow(values, cmap=SHADES, vmin=0.5, vmax=1, aspect="auto")
    for row, model in enumerate(result.models):
        for column, target in enumerate(result.targets):
            annotate(axes, (column, row), image, result.cells[model.name, target.name], is_home(model, target))
    axes.set_xticks(range(len(result.targets)), [target.name for target in result.targets])
    rows = [f"{model.name}\ntrained on {home_names(model, result)}" for model in result.models]
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def annotate(axes: Axes, centre: tuple[int, int], image: AxesImage, cell: dict, framed: bool) -> None:
    """Write a cell's figures, in black or in white: the one that is easier to read on the cell's colour."""
    if np.isnan(cell["auroc"]):
        axes.text(*centre, "–", ha="center", va="center")
        return
    red, green, blue, _ = image.to_rgba(cell["auroc"])
    ink = "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4 else "white"  # luminance, ITU-R BT.709
    words = f"{figure(cell['auroc'])}\n{between(cell['auroc_low'], cell['auroc_high'])}"
    axes.text(*centre, words, ha="center", va="center", color=ink)
    if framed:
        corner = (centre[0] - 0.47, centre[1] - 0.45)
        axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=ink, linewidth=2))
