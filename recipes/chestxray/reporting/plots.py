"""A scorecard's pictures, as SVG: no background, and colours that can be read on light and on dark pages."""

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit
from sklearn.metrics import precision_recall_curve, roc_curve

from chestxray.reporting.figure_style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, style
from chestxray.reporting.tables import figure as value
from chestxray.scoring import calibration, scorecard
from chestxray.scoring.anchors import ANCHORS
from chestxray.scoring.subgroups import ATTRIBUTES, FEW

LOOKS = tuple(product("osD^v", (BLUE, ORANGE, GREEN, PURPLE, RED)))  # of an attribute's subgroups, in their order
SPREAD = 0.22  # how far a subgroup's dot may be from its finding's line; lines are 1 apart
MEAN_PLACE = -1.3  # the height of the mean, below the findings at 0, 1, 2, ...
COLUMNS = 5  # of the small panels, one per finding
POINTS = 400  # of a curve; nobody could see more at this size


@dataclass
class Picture:
    """One figure of the report."""

    name: str  # of its file
    title: str
    alternative: str  # text for readers who do not see the picture
    svg: bytes


def picture(name: str, title: str, alternative: str, figure: Figure) -> Picture:
    """The figure as SVG, with the same bytes at every run."""
    svg = io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(name, title, alternative, svg.getvalue())


def draw(card: scorecard.Scorecard) -> list[Picture]:
    """The pictures of a scorecard, in the order of the page.

    Without validation there are no pictures of calibration and of missed positives.
    """
    with matplotlib.rc_context(style(9)):
        pictures = [intervals(card), *curves(card), by_subgroup(card, "subgroups", "auroc", "AUROC")]
        if card.has_validation:
            pictures += [reliability(card), by_subgroup(card, "missed", "missed", "Missed positives")]
    return pictures


def intervals(card: scorecard.Scorecard) -> Picture:
    mean, split = card.findings.loc["mean", "auroc"], card.about["split"]
    return picture(
        "intervals",
        "AUROC with its 95% interval over patients",
        f"For each finding its AUROC on {split} and the interval; their mean is {mean:.3f}.",
        draw_intervals(card),
    )


def curves(card: scorecard.Scorecard) -> Iterator[Picture]:
    split, title, alternative = card.about["split"], "", ""
    if card.has_validation:
        title, alternative = "; the point is the threshold", ", with the threshold's point"
    yield picture(
        "roc",
        f"ROC curves with their AUROC{title}",
        f"One panel per finding: sensitivity over 1 - specificity on {split}{alternative}.",
        draw_curves(card, draw_roc, "auroc", "1 - specificity", "sensitivity"),
    )
    yield picture(
        "precision-recall",
        f"Precision and recall with average precision{title}; the dotted line is the share of positives",
        f"One panel per finding: precision over recall on {split}{alternative}.",
        draw_curves(card, draw_precision_recall, "average_precision", "recall", "precision"),
    )


def reliability(card: scorecard.Scorecard) -> Picture:
    measures = card.calibration.loc["mean"]
    return picture(
        "reliability",
        "Reliability before and after Platt scaling, with the ECE after",
        f"One panel per finding: share of positives over predicted probability in {calibration.BINS} bins. The "
        f"mean calibration error is {value(measures['ece_before'])} before and {value(measures['ece_after'])} after.",
        draw_reliability(card),
    )


def by_subgroup(card: scorecard.Scorecard, name: str, measure: str, words: str) -> Picture:
    split = card.about["split"]
    return picture(
        name,
        f"{words} by subgroup",
        f"{words} of each finding on {split}, by sex, age, view and images per patient where known.",
        draw_subgroups(card, measure, f"{words} on {split}"),
    )


def mark_synthetic(figure: Figure, card: scorecard.Scorecard) -> None:
    if card.about.get("synthetic"):
        figure.suptitle(scorecard.SYNTHETIC, fontsize=9, color=INK)


# Intervals


def draw_intervals(card: scorecard.Scorecard) -> Figure:
    table, mean = card.findings.drop("mean").dropna(subset="auroc").sort_values("auroc"), card.findings.loc["mean"]
    figure = Figure(figsize=(7.5, 1.4 + 0.27 * (len(table) + 1)), layout="constrained")
    axes = figure.add_subplot()
    draw_interval(axes, mean, MEAN_PLACE, ORANGE)
    for place, (_, row) in enumerate(table.iterrows()):
        draw_interval(axes, row, place, BLUE)
    published = ANCHORS if card.about["official"] and card.about["level"] == "image" else ()
    if published:
        draw_anchors(axes)
    axes.set_yticks([MEAN_PLACE, *range(len(table))], ["mean", *(name.replace("_", " ") for name in table.index)])
    axes.tick_params(axis="y", length=0)
    drawn = [*card.findings[["auroc", "auroc_low"]].to_numpy().ravel(), *(anchor.auroc for anchor in published)]
    axes.set_xlim(math.floor(np.nanmin([0.9, *drawn]) * 20) / 20 - 0.01, 1.01)
    if axes.get_xlim()[0] < 0.5:
        axes.axvline(0.5, color=INK, linestyle=":")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"AUROC on {card.about['split']}")
    mark_synthetic(figure, card)
    return figure


def draw_interval(axes: Axes, row: pd.Series, place: float, colour: str) -> None:
    """One finding's AUROC as a dot, its interval as a line, and the number beside them."""
    axes.hlines(place, row["auroc_low"], row["auroc_high"], color=colour, alpha=0.5, linewidth=4)
    axes.plot(row["auroc"], place, "o", color=colour)
    axes.annotate(f"{row['auroc']:.3f}", (1.01, place), xycoords=("axes fraction", "data"), va="center")


def draw_anchors(axes: Axes) -> None:
    """A tick below the mean for each published mean; hollow where it was selected on test."""
    for anchor in ANCHORS:
        face = "none" if anchor.selected_on_test else INK
        axes.plot(anchor.auroc, -2.1, "^", color=INK, markerfacecolor=face, markersize=5)
    words = "published means (hollow: selected on test)"
    axes.annotate(words, (max(anchor.auroc for anchor in ANCHORS) + 0.007, -2.1), va="center")


# One panel per finding


def panels(card: scorecard.Scorecard, x: str, y: str) -> tuple[Figure, dict[str, Axes], np.ndarray]:
    """A figure with a square panel per finding.

    Args:
        x, y: what stands below and beside all panels.

    Returns:
        The figure, {finding: its panel}, and all panels; those after the last finding are empty.
    """
    findings = card.scored.findings
    rows = math.ceil(len(findings) / COLUMNS)
    height = 2.15 * rows + 0.8
    figure = Figure(figsize=(10, height))
    figure.subplots_adjust(0.06, 0.5 / height, 0.99, 1 - 0.55 / height, wspace=0.12, hspace=0.2)
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.grid()
    for place, axes in enumerate(grid[len(findings) :], len(findings)):
        axes.set_axis_off()
        grid[place - COLUMNS].tick_params(labelbottom=True)
    figure.supxlabel(x, fontsize=9, y=0.08 / height)
    figure.supylabel(y, fontsize=9, x=0.01)
    mark_synthetic(figure, card)
    return figure, dict(zip(findings, grid, strict=False)), grid


def panel_title(name: str, number: float) -> str:
    """A finding's name and its number, without the number where it is NaN."""
    return f"{name.replace('_', ' ')} {'' if math.isnan(number) else f'{number:.3f}'}"


def draw_curves(card: scorecard.Scorecard, draw_curve: Callable, measure: str, x: str, y: str) -> Figure:
    """A panel with a curve per finding.

    Args:
        draw_curve: `draw_roc` or `draw_precision_recall`.
        measure: the column of `card.findings` that stands in the title.
        x, y: as for `panels`.
    """
    figure, of_finding, _ = panels(card, x, y)
    limits = card.rules.loc[card.about["rule"], "logit"]
    for column, (name, axes) in enumerate(of_finding.items()):
        row, targets = card.findings.loc[name], card.scored.targets[:, column]
        axes.set_title(panel_title(name, row[measure]))
        known = ~np.isnan(targets)
        if len(np.unique(targets[known])) < 2:
            axes.text(0.5, 0.5, "one class only", ha="center", va="center")
            continue
        draw_curve(axes, targets[known], card.scored.logits[known, column], row, not math.isnan(limits[name]))
    return figure


def draw_roc(axes: Axes, targets: np.ndarray, logits: np.ndarray, row: pd.Series, has_threshold: bool) -> None:
    """One finding's ROC curve; `row` of `card.findings` says where its threshold is."""
    false_rate, true_rate, _ = roc_curve(targets, logits, drop_intermediate=False)  # `thin_out` leaves out points
    axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    axes.plot(*thin_out(false_rate, true_rate), color=BLUE, linewidth=1.5)
    if has_threshold:
        axes.plot(1 - row["specificity"], row["sensitivity"], "o", color=ORANGE, markersize=5, clip_on=False)


def draw_precision_recall(
    axes: Axes, targets: np.ndarray, logits: np.ndarray, row: pd.Series, has_threshold: bool
) -> None:
    """One finding's precision over its recall; `row` of `card.findings` says where its threshold is."""
    # In ascending order, and without scikit-learn's extra point (recall 0, precision 1), where nothing is positive.
    precision, recall = (values[-2::-1] for values in precision_recall_curve(targets, logits)[:2])
    axes.axhline(targets.mean(), color=INK, linestyle=":", linewidth=1)
    axes.plot(*thin_out(recall, precision), color=BLUE, linewidth=1.5)
    if has_threshold and not math.isnan(row["ppv"]):
        axes.plot(row["sensitivity"], row["ppv"], "o", color=ORANGE, markersize=5, clip_on=False)


def thin_out(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """About POINTS points of a curve at most, at even distances, with its first and last point."""
    if len(x) <= POINTS:
        return x, y
    way = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
    kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], POINTS)))
    kept = np.unique([0, *kept[kept < len(x)], len(x) - 1])
    return x[kept], y[kept]


def draw_reliability(card: scorecard.Scorecard) -> Figure:
    """A panel per finding: the share of positives over the probability, before and after calibration."""
    figure, of_finding, grid = panels(card, "predicted probability", "share of positives")
    before = expit(card.scored.logits)
    for column, (name, axes) in enumerate(of_finding.items()):
        axes.set_title(panel_title(name, card.calibration.loc[name, "ece_after"]))
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
        if math.isnan(card.calibration.loc[name, "slope"]):
            axes.text(0.5, 0.5, "not calibrated", ha="center", va="center")
            continue
        targets = card.scored.targets[:, column]
        draw_bins(axes, before[:, column], targets, ORANGE, "before")
        draw_bins(axes, card.probabilities[:, column], targets, BLUE, "after")
    drawn = [axes for axes in of_finding.values() if axes.get_legend_handles_labels()[0]]
    if drawn:
        place = grid[len(of_finding)] if len(grid) > len(of_finding) else figure
        draw_legend(place, drawn[0])
    return figure


def draw_bins(axes: Axes, probabilities: np.ndarray, targets: np.ndarray, colour: str, label: str) -> None:
    mean, share, count = calibration.reliability(probabilities, targets)
    axes.plot(mean, share, color=colour, linewidth=1, alpha=0.25)
    sizes = 5 + 60 * count / count.sum()
    axes.scatter(mean, share, sizes, color=colour, label=label, zorder=3, clip_on=False)


def draw_legend(place: Axes | Figure, drawn: Axes) -> None:
    """The legend of the panel `drawn`, in an empty panel, or beside the panels of a figure without an empty one."""
    where: Any = "outside upper right" if isinstance(place, Figure) else "center"  # to Matplotlib's types a literal
    handles, labels = drawn.get_legend_handles_labels()
    legend = place.legend(handles, labels, loc=where)
    legend.set_title("dots: area as images")
    for handle in filter(None, legend.legend_handles):
        handle.set(sizes=[30])


# Subgroups


def draw_subgroups(card: scorecard.Scorecard, measure: str, words: str) -> Figure:
    """A panel per attribute; `measure` is a column of `card.subgroups`, and `words` say what it is."""
    table = card.subgroups
    attributes = list(dict.fromkeys(table["attribute"]))
    findings = [*card.scored.findings, "mean"]
    places = {name: place for place, name in enumerate(reversed(findings))}
    rows = math.ceil(len(attributes) / 2)
    figure = Figure(figsize=(10, rows * (1.6 + 0.24 * len(findings))), layout="constrained")
    grid = figure.subplots(rows, 2, sharey=True, sharex=True, squeeze=False).ravel()
    for axes in grid[len(attributes) :]:
        axes.set_axis_off()
    for axes, attribute in zip(grid, attributes, strict=False):
        draw_attribute(axes, table[table["attribute"] == attribute].dropna(subset=measure), measure, places)
        axes.set_title(ATTRIBUTES[attribute])
        axes.set_yticks(list(places.values()), [name.replace("_", " ") for name in places])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=True)
    grid[0].set_xlim(*limits_around(table[measure].dropna()))
    figure.supxlabel(f"{words}; hollow: under {FEW} positives or negatives", fontsize=9)
    mark_synthetic(figure, card)
    return figure


def limits_around(values: pd.Series) -> tuple[float, float]:
    """Limits of an axis that show every value, with room for its dot; about 0 to 1 where there is none."""
    low, high = (values.min(), values.max()) if len(values) else (0, 1)
    room = max(0.05 * (high - low), 0.01)
    return low - room, high + room


def draw_attribute(axes: Axes, table: pd.DataFrame, measure: str, places: dict[str, int]) -> None:
    """A dot per subgroup and finding, on the lines of `places`; `table` holds the rows of one attribute."""
    enough = table[~table["few"]].groupby("finding")[measure].agg(["min", "max"])
    height = [places[name] for name in enough.index]
    axes.hlines(height, enough["min"], enough["max"], color=INK, linewidth=2, alpha=0.5)
    subgroups = list(table.groupby("subgroup", sort=False))
    # Each subgroup has a height of its own, so that dots of the same value do not hide each other.
    shifts = np.linspace(SPREAD, -SPREAD, len(subgroups)) if len(subgroups) > 1 else [0]
    for (subgroup, part), (marker, colour), shift in zip(subgroups, cycle(LOOKS), shifts, strict=False):
        height = [places[name] + shift for name in part["finding"]]
        faces = ["none" if is_few else colour for is_few in part["few"]]
        sizes = [55 if name == "mean" else 28 for name in part["finding"]]
        axes.scatter(part[measure], height, sizes, facecolors=faces, edgecolors=colour, marker=marker, zorder=3)
        axes.scatter([], [], 28, color=colour, marker=marker, label=subgroup)
    if subgroups:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
