"""The page of a model's localisation: its values and tables. Its words are in templates/localisation.jinja."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from chestxray.reporting import pages
from chestxray.reporting.tables import Table, between, figure, p_value
from chestxray.scoring import map_options, published_localisation
from chestxray.scoring.localisation_measures import FALSE_POSITIVES, OVERLAPS, RULES, Measure
from chestxray.scoring.localisation_result import BLIND, CHANCE, MODEL, UNTRAINED, Localisation
from chestxray.scoring.localisation_table import rows_of
from chestxray.scoring.patient_means import MACRO
from chestxray.scoring.scorecard import SYNTHETIC

HIT, BOX_IOU, MASK_IOU = Measure("peak", "hit"), Measure("one box", "IoU"), Measure("mask", "IoU")
BOX_FOUND = Measure("one box", "IoU", 0.3)
SHOWN = {"IoU": (0.1, 0.3, 0.5), "IoBB": (0.1, 0.25, 0.5)}  # T of the compact tables
ON_SCREEN = {"IoU": (0.3,), "IoBB": (0.5,)}  # T of the table in the terminal
COLUMNS = 100  # of the terminal
COMPARED = {  # {column: measure} of the table of differences
    "hit": HIT,
    "IoU > 0.3, one box": BOX_FOUND,
    "IoBB > 0.5, regions": Measure("regions", "IoBB", 0.5),
    "mask IoU": MASK_IOU,
}
BEYOND = {"hit": HIT, "box > 0.3": BOX_FOUND}  # {column: measure} of what is compared with the image-blind row
RULE_NAMES = {"peak": "Hit"}  # the others are called by their own names


# The page


def markdown(result: Localisation) -> str:
    """localisation.md; contact_sheet.png lies beside it."""
    return pages.markdown("localisation.jinja", **page_values(result), sheet=None)


def html(result: Localisation, sheet: bytes) -> str:
    """localisation.html, one file.

    Args:
        sheet: the contact sheet, a PNG. It is in the page only if the dataset may be passed on.
    """
    may_be_shown = bool(result.about.get("may_be_passed_on"))
    return pages.html("localisation.jinja", **page_values(result), sheet=sheet if may_be_shown else None)


def screen_text(result: Localisation) -> str:
    """What must be known, and a small table, for a terminal."""
    lines = [*map(wrap, warnings(result)), sentences("localisation_screen.jinja", summary_values(result)), ""]
    lines += [findings_table(result, ON_SCREEN).text(), "", beyond_blind_words(result)]
    if result.comparison is not None:
        lines += ["", sentences("localisation_comparison.jinja", comparison_values(result))]
        lines += ["", comparison_table(result, [MACRO]).text()]
    return "\n".join(lines)


def sentences(template: str, values: Mapping[str, Any]) -> str:
    """A template as plain text, in lines for a terminal."""
    return wrap(pages.sentences(template, **values))


def wrap(text: str) -> str:
    return textwrap.fill(text, COLUMNS, break_on_hyphens=False)


def beyond_blind_words(result: Localisation) -> str:
    """How far the model is above the image-blind row, one sentence."""
    parts = []
    for name, measure in BEYOND.items():
        row = mean_row(result.beyond_blind, measure)
        parts.append(f"{name} {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})")
    return wrap(f"This model less image-blind, on the same boxes: {', '.join(parts)}.")


def mean_row(compared: pd.DataFrame, measure: Measure) -> pd.Series:
    """The mean over findings in a table of `localisation_table.compare`."""
    found = rows_of(compared, measure)
    return found[found["finding"] == MACRO].iloc[0]


def warnings(result: Localisation) -> list[str]:
    """What must not be overlooked, one sentence each."""
    return [*([SYNTHETIC] if result.about.get("synthetic") else []), *result.notes]


def page_values(result: Localisation) -> dict:
    """All that templates/localisation.jinja names."""
    return {
        **summary_values(result),
        **comparison_values(result),
        "title": f"Where {model_name(result.about)} looks",
        "notes": warnings(result),
        "rules": {RULE_NAMES.get(rule, rule.capitalize()): words for rule, words in RULES.items()},
        "may_be_passed_on": bool(result.about.get("may_be_passed_on")),
        "synthetic": bool(result.about.get("synthetic")),
        "tables": {
            "findings": findings_table(result),
            "others": others_table(result),
            "without_image": without_image_table(result),
            "one_box": one_box_table(result),
            **{quantity: regions_table(result, quantity) for quantity in OVERLAPS},
            "beyond_blind": beyond_blind_table(result),
            "comparison": None if result.comparison is None else comparison_table(result, [*result.findings, MACRO]),
            "origin": origin_table(result),
        },
    }


def summary_values(result: Localisation) -> dict:
    """What templates/localisation_summary.jinja names."""
    about = result.about
    return {
        "method": method_name(about),
        "model": model_name(about),
        "dataset": about["dataset"],
        "split": about["split"],
        "n_boxes": about["n_boxes"],
        "n_images": about["n_images"],
        "n_patients": about["n_patients"],
        "untrained": UNTRAINED in result.methods,
    }


def comparison_values(result: Localisation) -> dict:
    """What templates/localisation_comparison.jinja names; None for the rival if there is none."""
    ours, rival = result.about, result.rival
    return {"ours": model_and_method(ours), "rival": rival and model_and_method(rival)}


def model_name(about: dict) -> str:
    return about["models"][0]["checkpoint"]


def model_and_method(about: dict) -> str:
    return f"{model_name(about)} by {method_name(about)}"


def method_name(about: dict) -> str:
    """ "cam", and the options that are no defaults."""
    return about["method"] + map_options.words(about["models"][0])


# The compact table


def findings_table(result: Localisation, shown: Mapping[str, Sequence[float]] = SHOWN) -> Table:
    """A row per finding, their mean, and the means of what does not see the image or was not trained.

    Args:
        shown: the T of each quantity.
    """
    header = ["finding", "boxes", "hit", "95% interval"]
    for quantity, levels in shown.items():
        first, *others = levels
        header += [f"{quantity} > {first:g}", *(f"> {level:g}" for level in others), "false"]
    rows = [compact_row(result, MODEL, name, name.replace("_", " "), shown) for name in [*result.findings, MACRO]]
    rows += [compact_row(result, method, MACRO, method, shown) for method in result.methods if method != MODEL]
    return Table([*header, "box > 0.3", "mask IoU"], rows)


def compact_row(
    result: Localisation, method: str, finding: str, name: str, shown: Mapping[str, Sequence[float]]
) -> list[str]:
    hit = result.value(method, HIT, finding)
    cells = [name, f"{hit['boxes']:,}", figure(hit["value"]), between(hit["low"], hit["high"])]
    for quantity, levels in shown.items():
        measures = [Measure("regions", quantity, level) for level in levels]
        measures.append(Measure("regions", FALSE_POSITIVES + quantity, levels[-1]))
        cells += [figure(result.value(method, measure, finding)["value"]) for measure in measures]
    return [*cells, *(figure(result.value(method, measure, finding)["value"]) for measure in (BOX_FOUND, MASK_IOU))]


# The other tables


def others_table(result: Localisation) -> Table:
    """Means over findings: this model, what it must beat, and what others published with source and trap."""
    header = ["", "rule", "hit", *(f"{quantity} > {level:g}" for quantity in SHOWN for level in SHOWN[quantity])]
    header += ["box IoU", "mask IoU", "source", "trap"]
    ours = result.table[result.table["finding"] == MACRO]
    rows = []
    for method in result.methods:
        for rule in ("regions", "one box"):
            rows.append([method, rule, *mean_cells(ours[ours["method"] == method], rule), "this run", ""])
    published = published_localisation.as_table()
    published = published[published["finding"] == MACRO]
    for (work, source, trap), found in published.groupby(["method", "source", "trap"], sort=False):
        rule = next((rule for rule in found["rule"] if rule in ("regions", "one box")), "mask")
        rows.append([work, rule, *mean_cells(found, rule), source, trap])
    return Table(header, rows)


def mean_cells(found: pd.DataFrame, rule: str) -> list[str]:
    """The means of one method by one rule; hit and masks have a rule of their own, and are in each row."""
    measures = [HIT, *(Measure(rule, quantity, level) for quantity in SHOWN for level in SHOWN[quantity])]
    return [figure(first_value(rows_of(found, measure))) for measure in [*measures, BOX_IOU, MASK_IOU]]


def first_value(rows: pd.DataFrame) -> float | None:
    return None if rows.empty else float(rows["value"].iloc[0])


def without_image_table(result: Localisation) -> Table:
    """For each finding what the model reaches, and what can be reached without a look at the image."""
    columns: Mapping[str, Measure] = {"hit": HIT, "box > 0.3": BOX_FOUND}
    methods = [MODEL, BLIND, CHANCE, *([UNTRAINED] if UNTRAINED in result.methods else [])]
    header = ["finding", *(f"{name}, {method}" for name in columns for method in methods)]
    rows = [
        [finding.replace("_", " ")]
        + [with_interval(result.value(method, measure, finding)) for measure in columns.values() for method in methods]
        for finding in [*result.findings, MACRO]
    ]
    return Table(header, rows, last_is_mean=True)


def with_interval(row: Mapping[str, Any]) -> str:
    """ "0.512 (0.430 to 0.590)" """
    return f"{figure(row['value'])} ({between(row['low'], row['high'])})"


def one_box_table(result: Localisation) -> Table:
    """The rules of one box, of the mask, and of the hottest region."""
    measures = {f"IoU > {level:g}": Measure("one box", "IoU", level) for level in OVERLAPS["IoU"]}
    measures |= {f"IoBB > {level:g}": Measure("one box", "IoBB", level) for level in OVERLAPS["IoBB"]}
    measures |= {"area": Measure("one box", "area"), "box IoU": BOX_IOU}
    measures |= {"mask IoU": MASK_IOU, "mask > 0.25": Measure("mask", "IoU", 0.25)}
    measures |= {"mask > 0.5": Measure("mask", "IoU", 0.5)}
    measures |= {"centre": Measure("hottest", "centre"), "its area": Measure("hottest", "area")}
    return table_of(result, measures)


def regions_table(result: Localisation, quantity: str) -> Table:
    """Wang's rule: each share with its false positives per image in brackets."""
    rows = []
    for finding in [*result.findings, MACRO]:
        cells = []
        for level in OVERLAPS[quantity]:
            share, false = (
                result.value(MODEL, Measure("regions", before + quantity, level), finding)["value"]
                for before in ("", FALSE_POSITIVES)
            )
            cells.append(f"{figure(share)} ({figure(false, 2)})")
        rows.append([finding.replace("_", " "), *cells])
    return Table(["finding", *(f"{quantity} > {level:g}" for level in OVERLAPS[quantity])], rows, last_is_mean=True)


def table_of(result: Localisation, measures: Mapping[str, Measure]) -> Table:
    """The model's values of some measures, a row per finding and the mean."""
    rows = [
        [
            finding.replace("_", " "),
            *(figure(result.value(MODEL, measure, finding)["value"]) for measure in measures.values()),
        ]
        for finding in [*result.findings, MACRO]
    ]
    return Table(["finding", *measures], rows, last_is_mean=True)


def beyond_blind_table(result: Localisation) -> Table:
    """The model less the image-blind row: a row per measure and finding."""
    findings, names = [*result.findings, MACRO], ("model", "image-blind", "difference")
    return difference_table(result.beyond_blind, findings, BEYOND, names)


def comparison_table(result: Localisation, findings: Sequence[str]) -> Table:
    """A row per measure and finding: A, B, their difference, its interval and p-value."""
    assert result.comparison is not None
    return difference_table(result.comparison, findings, COMPARED, ("A", "B", "A - B"))


def difference_table(
    compared: pd.DataFrame, findings: Sequence[str], measures: Mapping[str, Measure], names: Sequence[str]
) -> Table:
    """A table of `localisation_table.compare` as text. names: of the columns of the two and of their difference."""
    rows = [
        [finding.replace("_", " "), name, *difference_cells(compared, measure, finding)]
        for name, measure in measures.items()
        for finding in findings
    ]
    return Table(["finding", "measure", *names, "95% interval", "p"], rows)


def difference_cells(compared: pd.DataFrame, measure: Measure, finding: str) -> Sequence[str]:
    found = rows_of(compared, measure)
    row = found[found["finding"] == finding].iloc[0]
    values = (figure(row[name]) for name in ("a", "b"))
    return [*values, f"{row['difference']:+.3f}", between(row["low"], row["high"]), p_value(row["p_value"])]


def origin_table(result: Localisation) -> Table:
    """Which weights, images and maps."""
    about = result.about
    height, width = about["grid"]
    size = f"{about['n_boxes']:,} boxes in {about['n_images']:,} images of {about['n_patients']:,} patients"
    view = f"the middle {about['side']} of {about['whole']}" if about["side"] < about["whole"] else f"{about['side']}"
    return Table(
        ["what", "which"],
        [
            ["dataset", f"{about['dataset']}, {about['split']}, {size}"],
            ["model", f"{model_name(about)}, SHA-256 of the weights {about['models'][0]['sha256'][:16]}"],
            ["heatmaps", f"{method_name(about)}, {height} × {width} positions, image of {view} pixels a side"],
        ],
    )
