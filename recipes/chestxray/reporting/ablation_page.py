"""The page, the table and the pictures of an ablation."""

import csv
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestxray.reporting import pages
from chestxray.reporting.figure_style import BLUE, INK, ORANGE, style
from chestxray.reporting.plots import Picture, picture
from chestxray.reporting.tables import Table, between, figure
from chestxray.scoring.ablation import FEW, MOST_VALUES, verdict
from chestxray.scoring.ablation_table import Ablation, Row, row_figures, spread
from chestxray.scoring.learning_curve import FULL
from chestxray.scoring.scorecard import SYNTHETIC

# Words


def markdown(ablation: Ablation) -> str:
    """ablation.md; its pictures are what `draw` gives, in figures/ beside it."""
    return pages.markdown("ablation.md", **values(ablation), pictures={each.name: each for each in draw(ablation)})


def screen_text(ablation: Ablation) -> str:
    """The tables and what must be known, for a terminal."""
    shown, lines = values(ablation), []
    for name, table in shown["tables"].items():
        lines += ["", {"within": f"Within {ablation.column}", "curve": "Learning curve"}.get(name, ""), table.text()]
    if ablation.curve:
        lines.append(pages.sentences("ablation_curve.jinja", **shown))
    lines += [*shown["notes"], *(f"Failed: {line}" for line in shown["failures"])]
    return "\n".join(line for line in lines if line).strip()


def values(ablation: Ablation) -> dict:
    """What the templates name."""
    curve, tables = ablation.curve, {"changes": changes_table(ablation.rows)}
    if ablation.column:
        tables["within"] = changes_table(ablation.rows, within=True)
    if ablation.points:
        tables["curve"] = curve_table(ablation)
    low, high = curve.interval(FULL) if curve else (np.array([np.nan]), np.array([np.nan]))
    return {
        "ablation": ablation,
        "tables": tables,
        "notes": notes(ablation),
        "failures": failures(ablation),
        "n_changes": sum(1 for row in ablation.rows if row.difference),
        "n_points": sum(1 for row in ablation.points if row.runs),
        "curve": curve,
        "full": FULL,
        "full_auroc": float(curve.at(FULL)) if curve else np.nan,
        "full_interval": between(low[0], high[0]),
        "few": f"{FEW:.0%}",
        "most": MOST_VALUES,
        "strata": ", ".join(f"{name} ({count:,} images)" for name, count in ablation.strata.items()),
    }


def notes(ablation: Ablation) -> list[str]:
    """What must not be overlooked, one sentence each."""
    found = [SYNTHETIC] if ablation.about.get("synthetic") else []
    found += [*(ablation.about.get("notes") or [])]
    if not any(len(row.runs) > 1 for row in (*ablation.rows, *ablation.points)):
        found.append("Each change has one seed: the spread between seeds is unknown, so the intervals are too narrow.")
    return found


def failures(ablation: Ablation) -> list[str]:
    """One line for each run that failed: its name, its seed and its last line."""
    rows = {row.name: row for row in (*ablation.rows, *ablation.points)}
    return [f"{row.name}, seed {seed}: {line}" for row in rows.values() for seed, line in row.failures.items()]


# Tables


def changes_table(rows: Sequence[Row], within: bool = False) -> Table:
    header = ["", "changes", "seeds", "AUROC", "spread", "difference", "95% interval", "p", "p, Holm", "verdict"]
    return Table([*header, "best epoch", "seconds"], [change_cells(row, within) for row in rows])


def change_cells(row: Row, within: bool) -> list[str]:
    difference, aurocs = row.within if within else row.difference, row.aurocs(within)
    compared = ["", "", "", "", "failed" if row.failures and not row.runs else ""]
    if difference:
        compared = [
            f"{difference.value:+.4f}",
            f"{difference.low:+.4f} to {difference.high:+.4f}",
            p_text(difference.p),
            p_text(difference.p_holm),
            verdict(difference),
        ]
    return [
        row.name,
        row.settings,
        str(len(row.runs)),
        figure(float(np.mean(aurocs)) if aurocs else None, 4),
        figure(spread(aurocs), 4),
        *compared,
        ", ".join(str(run.best_epoch) for run in row.runs),
        f"{np.mean([run.seconds for run in row.runs]):,.0f}" if row.runs else "",
    ]


def p_text(p: float) -> str:
    """A p-value.

    >>> p_text(0.00001), p_text(0.0312), p_text(float("nan"))
    ('<0.0001', '0.0312', '–')
    """
    return "<0.0001" if p < 0.0001 else figure(p, 4)


def curve_table(ablation: Ablation) -> Table:
    header = ["training images", "changes", "seeds", "AUROC", "spread", "fit", "best epoch", "seconds"]
    rows = []
    for row in ablation.points:
        name, settings, seeds, auroc, deviation, *_, epochs, seconds = change_cells(row, within=False)
        images = row.runs[0].train_images if row.runs else None
        fitted = float(ablation.curve.at(images)) if ablation.curve and images else None
        first = f"{images:,}" if images else f"{name} (no run)"
        rows.append([first, settings, seeds, auroc, deviation, figure(fitted, 4), epochs, seconds])
    return Table(header, rows)


def csv_text(ablation: Ablation) -> str:
    """ablation.csv: a row per change and per point of the learning curve."""
    rows = {row.name: row for row in (*ablation.rows, *ablation.points)}
    records = [{"name": row.name, "settings": row.settings, **row_figures(row)} for row in rows.values()]
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value != value else value for key, value in record.items()} for record in records)
    return text.getvalue()


# Pictures


def draw(ablation: Ablation) -> list[Picture]:
    """The differences as a forest plot, and the learning curve, as far as there are any."""
    with matplotlib.rc_context(style(9)):
        drawn = []
        if any(row.difference for row in ablation.rows):
            title = "Difference to the base in mean validation AUROC, with its 95% interval"
            drawn.append(picture("differences", title, "The figures are in the table.", draw_differences(ablation)))
        if ablation.curve:
            title = "Mean validation AUROC over the number of training images, with the fitted power law"
            alternative = f"The dashed part, up to {FULL:,} images, is an extrapolation."
            drawn.append(picture("learning-curve", title, alternative, draw_curve(ablation)))
    return drawn


def draw_differences(ablation: Ablation) -> Figure:
    rows = [row for row in ablation.rows if row.difference][::-1]
    panels = [(False, "all pairs"), *([(True, f"pairs within {ablation.column}")] if ablation.column else [])]
    drawing = Figure(figsize=(4.5 + 3 * len(panels), 1.2 + 0.27 * len(rows)), layout="constrained")
    for axes, (within, words) in zip(
        drawing.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True
    ):
        draw_forest(axes, rows, within)
        axes.set_xlabel(f"difference in AUROC, {words}")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    mark_synthetic(drawing, ablation)
    return drawing


def draw_forest(axes: Axes, rows: Sequence[Row], within: bool) -> None:
    """A dot and a line per change; orange if it stays outside the noise after Holm."""
    axes.axvline(0, color=INK, linestyle=":")
    for place, row in enumerate(rows):
        difference = row.within if within else row.difference
        if not difference:
            continue
        colour = ORANGE if verdict(difference) in ("better", "worse") else BLUE
        axes.hlines(place, difference.low, difference.high, color=colour, alpha=0.5, linewidth=4)
        axes.plot(difference.value, place, "o", color=colour)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def draw_curve(ablation: Ablation) -> Figure:
    curve = ablation.curve
    assert curve
    drawing = Figure(figsize=(6, 3.6), layout="constrained")
    axes, most = drawing.add_subplot(), curve.images.max()
    grid = np.geomspace(curve.images.min(), FULL, 100)
    low, high = curve.interval(grid)
    axes.fill_between(grid, low, high, color=BLUE, alpha=0.2, linewidth=0)
    for part, line in ((grid <= most, "-"), (grid >= most, "--")):
        axes.plot(grid[part], curve.at(grid[part]), line, color=BLUE)
    axes.errorbar(curve.images, curve.aurocs, 1.96 * curve.errors, fmt="o", color=ORANGE)
    axes.set_xscale("log")
    axes.set_xlabel("training images")
    axes.set_ylabel("mean validation AUROC")
    axes.grid()
    axes.set_axisbelow(True)
    mark_synthetic(drawing, ablation)
    return drawing


def mark_synthetic(drawing: Figure, ablation: Ablation) -> None:
    if ablation.about.get("synthetic"):
        drawing.suptitle(SYNTHETIC, fontsize=9, color=INK)
