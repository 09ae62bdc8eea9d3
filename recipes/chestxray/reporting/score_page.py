"""What the page of a scorecard shows: its values and tables. Its words are in templates/report.jinja."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from chestxray.data.table_files import MARK
from chestxray.reporting import card_localisation, pages, score_readers
from chestxray.reporting.tables import Table, between, figure, p_value
from chestxray.scoring import calibration, subgroups, thresholds
from chestxray.scoring.anchors import ANCHORS
from chestxray.scoring.scorecard import Scorecard, other_validation

if TYPE_CHECKING:
    from chestxray.reporting.plots import Picture

UNITS = {"image": "images", "study": "studies", "patient": "patients"}
RULE_NAMES = {"youden": "Youden", "f1": "F1", "sensitivity": "Required sensitivity"}


# The page


def markdown(card: Scorecard, pictures: "Sequence[Picture]") -> str:
    """report.md; its pictures are links to figures/NAME.svg, which the caller writes."""
    return pages.markdown("report.jinja", **page_values(card, pictures))


def html(card: Scorecard, pictures: "Sequence[Picture]") -> str:
    """report.html, one file with its pictures in it."""
    return pages.html("report.jinja", **page_values(card, pictures))


def summary(card: Scorecard) -> str:
    """The result in one paragraph, as plain text."""
    return pages.sentences("summary.jinja", **summary_values(card))


def comparison_note(card: Scorecard) -> str:
    """What the table of two models shows, as plain text."""
    return pages.sentences("comparison.jinja", rival=rival_name(card), rival_notes=rival_notes(card))


def small_subgroups_note(card: Scorecard) -> str:
    """One sentence for a terminal on subgroups with few positives or negatives; "" where there are none."""
    named = card.subgroups[card.subgroups["finding"] != "mean"]
    n_all, n_few = (len(part[["attribute", "subgroup"]].drop_duplicates()) for part in (named, named[named["few"]]))
    if not n_few:
        return ""
    return (
        f"In {n_few} of {n_all} subgroups a finding has fewer than {subgroups.FEW} positives or negatives: see the "
        "report."
    )


def page_values(card: Scorecard, pictures: "Sequence[Picture]") -> dict:
    """All that templates/report.jinja names."""
    return {
        **summary_values(card),
        **findings_values(card),
        **(card_localisation.section_values(checkpoint_of([card])) or {"looks": None}),
        "title": title(card),
        "notes": card.notes,
        "pictures": {picture.name: picture for picture in pictures},
        "rival": rival_name(card),
        "rival_notes": rival_notes(card),
        "n_validation": card.about["n_validation"],
        "rule_names": RULE_NAMES,
        "out_of_reach": out_of_reach(card),
        "bins": calibration.BINS,
        "n_calibrated": n_calibrated(card),
        "calibration_harm": calibration_harm(card),
        "few": subgroups.FEW,
        "small_subgroups": subgroups.warnings(card.subgroups),
        "tables": page_tables(card),
        "readers": score_readers.page_values(card.readers, card.about["split"]) if card.readers else None,
    }


def summary_values(card: Scorecard) -> dict:
    """What templates/summary.jinja names."""
    mean, about = card.findings.loc["mean"], card.about
    return {
        "mean": mean,
        "interval": "" if math.isnan(mean["auroc_low"]) else between(mean["auroc_low"], mean["auroc_high"]),
        "n_defined": int(card.findings.drop("mean")["auroc"].notna().sum()),
        "n_findings": len(card.scored.findings),
        "units": UNITS[about["level"]],
        "views": sorted({model["tta"] for model in about.get("models", [])} - {"none"}),
        **{key: about[key] for key in ("level", "official", "n_units", "n_images", "n_patients")},
    }


def findings_values(card: Scorecard) -> dict:
    """What templates/findings.jinja names."""
    return {
        "has_validation": card.has_validation,
        "validation": validation_name(card),
        "rule": card.about["rule"],
        "sensitivity": f"{card.about['sensitivity']:g}",
        "n_with_threshold": n_with_threshold(card),
        "n_findings": len(card.scored.findings),
    }


def checkpoint_of(cards: Sequence[Scorecard]) -> Path | None:
    """The folder of the one checkpoint that made all scores; None if there are several, or it is not here."""
    folders = {model["checkpoint"] for card in cards for model in card.scored.about.get("models", [])}
    folder = Path(folders.pop()) if len(folders) == 1 else None
    return folder if folder and folder.is_dir() else None


def page_tables(card: Scorecard) -> dict:
    """The tables of the page by name; None for a table that this scorecard has no numbers for."""
    fitted, about = card.has_validation, card.about
    return {
        "findings": findings_table(card),
        "published": published_table(card) if about["official"] and about["level"] == "image" else None,
        "comparison": comparison_table(card) if card.comparison else None,
        "rules": {rule: rule_table(card, rule) for rule in thresholds.RULES} if fitted else {},
        "calibration": calibration_table(card) if fitted else None,
        "subgroups": subgroup_table(card),
        "gaps": gap_table(card) if card.gaps["auroc_gap"].notna().any() else None,
        "shortcuts": shortcut_table(card) if len(card.shortcuts.columns) else None,
        "origin": origin_table(card),
    }


# Names and counts


def n_with_threshold(card: Scorecard) -> int:
    return int(card.rules.loc[card.about["rule"]].drop("mean")["logit"].notna().sum())


def n_calibrated(card: Scorecard) -> int:
    return int(card.calibration.drop("mean")["slope"].notna().sum())


def calibration_harm(card: Scorecard) -> str:
    """One sentence if the mean ECE of the scored split is higher after Platt scaling, as tables show it; or else ""."""
    before, after = card.calibration.loc["mean", ["ece_before", "ece_after"]].round(3)
    if not after > before:
        return ""
    return (
        f"On {card.about['split']}, Platt scaling makes the probabilities worse: the mean ECE is {figure(before)} "
        f"before it and {figure(after)} after it."
    )


def title(card: Scorecard) -> str:
    names = [model["checkpoint"].rstrip("/").rpartition("/")[2] for model in card.about.get("models", [])]
    return f"{' + '.join(names) or 'A model'} on {dataset_name(card)}, {card.about['split']}"


def dataset_name(card: Scorecard) -> str:
    return card.about.get("dataset", "a dataset that its predictions do not name")


def validation_name(card: Scorecard) -> str:
    other = other_validation(card.about)
    return f"validation of {other}" if other else "validation"


def rival_name(card: Scorecard) -> str:
    models = card.comparison["models"] if card.comparison else []
    return " + ".join(model["checkpoint"] for model in models) or "the other model"


def rival_notes(card: Scorecard) -> list[str]:
    """How the other model's table was read, if it came from one."""
    return (card.comparison or {}).get("notes", [])


def out_of_reach(card: Scorecard) -> dict:
    """{finding: positives on validation} where they are too few for the sensitivity that the rule requires.

    The lowest of m independent scores has m / (m + 1) of further ones above it on average (the mean of an order
    statistic of uniform values; David & Nagaraja 2003, Order Statistics).
    """
    counts = card.validation["positives"]
    fitted = card.rules.loc["sensitivity"].drop("mean")["logit"].notna()
    return counts[fitted & (counts / (counts + 1) < card.about["sensitivity"])].to_dict()


# Tables


def findings_table(card: Scorecard) -> Table:
    header, keys = ["finding", "positives", "AUROC", "95% interval", "AP"], ["average_precision"]
    if card.has_validation:
        header += ["sensitivity", "specificity", "PPV", "NPV"]
        keys += ["sensitivity", "specificity", "ppv", "npv"]
    rows = [
        [
            name,
            f"{int(row['positives']):,}" if name != "mean" else "",
            figure(row["auroc"]),
            between(row["auroc_low"], row["auroc_high"]),
            *figures(row, keys),
        ]
        for name, row in card.findings.iterrows()
    ]
    return Table(header, rows, last_is_mean=True)


def figures(row: pd.Series, keys: Sequence[str]) -> list[str]:
    return [figure(row[key]) for key in keys]


def published_table(card: Scorecard) -> Table:
    mean = card.findings.loc["mean"]
    rows = [
        [anchor.work, figure(anchor.auroc), "on test" if anchor.selected_on_test else "", anchor.source]
        for anchor in ANCHORS
    ]
    ours = f"{figure(mean['auroc'])} ({between(mean['auroc_low'], mean['auroc_high'])})"
    rows.append(["this model", ours, "", "here"])
    return Table(["work", "mean AUROC", "selected", "read in"], rows, last_is_mean=True)


def comparison_table(card: Scorecard) -> Table:
    rows = [comparison_row(card.comparison or {}, name) for name in [*card.scored.findings, "mean"]]
    return Table(["finding", "AUROC A", "AUROC B", "A - B", "95% interval", "p"], rows, last_is_mean=True)


def comparison_row(result: dict, name: str) -> list[str]:
    suffix = "" if name == "mean" else f"/{name}"
    keys = ("auroc_a", "auroc_b", "difference", "difference_low", "difference_high", "p_value")
    a, b, gain, low, high, p = (result[f"{key}{suffix}"] for key in keys)
    difference = "–" if math.isnan(gain) else f"{gain:+.3f}"
    interval = "–" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"
    return [name, figure(a), figure(b), difference, interval, p_value(p)]


def rule_table(card: Scorecard, rule: str) -> Table:
    rows = [
        [
            name,
            "" if name == "mean" else figure(row["probability"], 4),
            *figures(row, ("sensitivity", "specificity", "ppv", "npv")),
        ]
        for name, row in card.rules.loc[rule].iterrows()
    ]
    return Table(["finding", "threshold", "sensitivity", "specificity", "PPV", "NPV"], rows, last_is_mean=True)


def calibration_table(card: Scorecard) -> Table:
    header = ["finding", "validation positives", "slope", "intercept", "Brier before", "after"]
    header += ["ECE before", "after", "by chance"]
    fitted, judged = ("slope", "intercept"), ("brier_before", "brier_after", "ece_before", "ece_after", "ece_chance")
    rows = [
        [name, f"{card.validation.loc[name, 'positives']:,}", *figures(row, (*fitted, *judged))]
        for name, row in card.calibration.drop("mean").iterrows()
    ]
    mean = ["mean", "", "", "", *figures(card.calibration.loc["mean"], judged)]
    return Table(header, [*rows, mean], last_is_mean=True)


def subgroup_table(card: Scorecard) -> Table:
    header = ["subgroup", UNITS[card.about["level"]], "patients", "positive labels", "findings", "mean AUROC"]
    header += ["95% interval", *(["missed"] if card.has_validation else [])]
    means = card.subgroups[card.subgroups["finding"] == "mean"]
    return Table(header, [subgroup_row(row, card.has_validation) for _, row in means.iterrows()])


def subgroup_row(row: pd.Series, has_missed: bool) -> list[str]:
    return [
        f"{subgroups.ATTRIBUTES[row['attribute']]}: {row['subgroup']}",
        *(f"{int(row[key]):,}" for key in ("images", "patients", "positives", "n_findings")),
        figure(row["auroc"]),
        between(row["auroc_low"], row["auroc_high"]),
        *([figure(row["missed"])] if has_missed else []),
    ]


def gap_table(card: Scorecard) -> Table:
    attributes = list(dict.fromkeys(card.gaps["attribute"]))
    keys = ["auroc_gap", "missed_gap"] if card.has_validation else ["auroc_gap"]
    cells = {(row["finding"], row["attribute"]): gap_cell(row, keys) for _, row in card.gaps.iterrows()}
    names = [*card.scored.findings, "mean"]
    rows = [[name, *(cells[name, attribute] for attribute in attributes)] for name in names]
    return Table(["finding", *(subgroups.ATTRIBUTES[name] for name in attributes)], rows, last_is_mean=True)


def gap_cell(row: pd.Series, keys: Sequence[str]) -> str:
    if math.isnan(row["auroc_gap"]):
        return "–"
    which = f" ({row['worst']} below {row['best']})" if row["finding"] != "mean" else ""
    return " / ".join(figures(row, keys)) + which


def shortcut_table(card: Scorecard) -> Table:
    columns = list(card.shortcuts)
    rows = [
        [name, *figures(row, columns), figure(card.findings.loc[name, "auroc"])]
        for name, row in card.shortcuts.iterrows()
    ]
    return Table(["finding", *columns, "the model"], rows, last_is_mean=True)


def origin_table(card: Scorecard) -> Table:
    about, name = card.about, dataset_name(card)
    models = about.get("models", [])
    rows = [
        ["dataset", f"{name} ({about['source']})" if "source" in about else name],
        ["split", about["split"] + (", the official test list" if about["official"] else "")],
        ["synthetic", {True: "yes", False: "no", None: "not stated"}[about.get("synthetic")]],
        ["level", about["level"]],
        *(["table of predictions" if model.get(MARK) else "checkpoint", describe_model(model)] for model in models),
    ]
    if len(models) > 1:
        rows.append(["ensemble", f"mean probability of {len(models)} models"])
    return Table(["what", "which"], rows)


def describe_model(model: dict) -> str:
    views = "" if model["tta"] == "none" else f", test-time augmentation {model['tta']}"
    digest_of = "file" if model.get(MARK) else "weights"
    return f"{model['checkpoint']}{views}, SHA-256 of the {digest_of} {model['sha256'][:16]}"
