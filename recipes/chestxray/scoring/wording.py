"""A scorecard as a page to read: what is on it, in which order, in which words."""

import math

from chestxray.scoring import calibration, subgroups, thresholds
from chestxray.scoring.anchors import ANCHORS, NOTE
from chestxray.scoring.pages import Heading, Paragraph, Warnings
from chestxray.tables import Table, between, figure

UNITS = {"image": "images", "study": "studies", "patient": "patients"}
RULES = {"youden": "Youden", "f1": "F1", "sensitivity": "sensitivity asked for"}


def blocks(card, pictures):
    """The page, for `pages.html` and `pages.markdown`."""
    drawn = {picture.name: picture for picture in pictures}
    page = [Heading(title(card), 1), Paragraph(summary(card))]
    page += [Warnings(card.notes)] if card.notes else []
    page += [Heading("Findings"), Paragraph(how_found(card)), findings(card), drawn["intervals"]]
    if card.about["official"] and card.about["level"] == "image":
        page += [Heading("Beside published results"), Paragraph(NOTE), anchors(card)]
    if card.comparison:
        page += [Heading("Against the other model"), Paragraph(how_compared(card)), comparison(card)]
    page += [drawn["roc"], drawn["precision-recall"]]
    page += [Heading("Thresholds"), Paragraph(how_called(card)), *rules(card)]
    page += [Heading("Calibration"), Paragraph(HOW_CALIBRATED), calibrated(card), drawn["reliability"]]
    page += [Heading("Subgroups"), Paragraph(HOW_DIVIDED), divided(card)]
    page += [Warnings(few)] if (few := subgroups.warnings(card.subgroups)) else []
    page += [Paragraph(HOW_FAR_APART), gaps(card)] if card.gaps["auroc_gap"].notna().any() else [Paragraph(NO_GAPS)]
    page += [drawn["subgroups"], drawn["missed"]]
    page += [Heading("What the metadata alone would score"), Paragraph(how_audited(card))]
    page += [shortcuts(card)] if len(card.shortcuts.columns) else []
    return page + [Heading("How this was made"), made(card)]


def title(card):
    names = [model["checkpoint"].rstrip("/").rpartition("/")[2] for model in card.about.get("models", [])]
    what = " + ".join(names) or "A model"
    return f"{what} on {dataset(card)}, {card.about['split']}"


def dataset(card):
    return card.about.get("dataset", "a dataset its predictions do not name")


def summary(card):
    mean, about = card.findings.loc["mean"], card.about
    defined = int(card.findings.drop("mean")["auroc"].notna().sum())
    units = f"{about['n_units']:,} {UNITS[about['level']]}"
    if about["level"] != "image":
        units += f" ({about['n_images']:,} images, the highest score and target of each unit counting)"
    official = " This is the official test split." if about["official"] else ""
    views = {model["tta"] for model in about.get("models", [])} - {"none"}
    shown = f" Probabilities are averaged over views of each image ({', '.join(sorted(views))})." if views else ""
    interval = f", 95% interval {between(mean['auroc_low'], mean['auroc_high'])}" * (not math.isnan(mean["auroc_low"]))
    return (
        f"Mean AUROC {figure(mean['auroc'])}{interval}, over {defined} of {len(card.findings) - 1} findings, on "
        f"{units} of {about['n_patients']:,} patients.{official}{shown}"
    )


# Tables, each with the words before it


def how_found(card):
    return (
        "Intervals take the patient as the unit (Obuchowski 1997), as images of one patient are not independent. "
        "Sensitivity, specificity and predictive values are at the threshold chosen on validation by "
        f"{thresholds.RULES[card.about['rule']]}. Predictive values hold at this split's share of positives only. The "
        "last row is the mean over findings; a dash is undefined."
    )


def findings(card):
    header = "finding, positives, AUROC, 95% interval, AP, sensitivity, specificity, PPV, NPV".split(", ")
    rows = [
        [
            name,
            f"{int(row['positives']):,}" if name != "mean" else "",
            figure(row["auroc"]),
            between(row["auroc_low"], row["auroc_high"]),
            *(figure(row[key]) for key in ("average_precision", "sensitivity", "specificity", "ppv", "npv")),
        ]
        for name, row in card.findings.iterrows()
    ]
    return Table(header, rows, last_is_mean=True)


def anchors(card):
    mean = card.findings.loc["mean"]
    rows = [
        [anchor.work, figure(anchor.auroc), "on test" if anchor.selected_on_test else "", anchor.source]
        for anchor in ANCHORS
    ]
    ours = f"{figure(mean['auroc'])} ({between(mean['auroc_low'], mean['auroc_high'])})"
    rows.append(["this model", ours, "", "here"])
    return Table(["work", "mean AUROC", "selected", "read in"], rows, last_is_mean=True)


def how_compared(card):
    other = " + ".join(model["checkpoint"] for model in card.comparison["models"]) or "the other model"
    return (
        f"A is this model, B is {other}, on the same images. The paired test of DeLong et al. 1988 with patients as "
        "clusters (Obuchowski 1997). The p-values of single findings are not corrected for their number; the mean is "
        "one test."
    )


def comparison(card):
    result = card.comparison
    rows = []
    for name in [*card.scored.findings, "mean"]:
        suffix = "" if name == "mean" else f"/{name}"
        a, b, gain, low, high, p = (
            result[f"{key}{suffix}"]
            for key in ("auroc_a", "auroc_b", "difference", "difference_low", "difference_high", "p_value")
        )
        signed = "–" if math.isnan(gain) else f"{gain:+.3f}"
        interval = "–" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"
        rows.append([name, figure(a), figure(b), signed, interval, p_value(p)])
    return Table(["finding", "AUROC A", "AUROC B", "A - B", "95% interval", "p"], rows, last_is_mean=True)


def p_value(p):
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def how_called(card):
    return (
        "Chosen on validation alone, then applied here: "
        + "; ".join(f"{RULES[rule]}, {meaning}" for rule, meaning in thresholds.RULES.items())
        + f" ({card.about['sensitivity']:g}, which this split need not reach). The threshold is given as the model's "
        "own probability, before calibration."
    )


def rules(card):
    header = ["finding", "threshold", "sensitivity", "specificity", "PPV", "NPV"]
    found = []
    for rule in thresholds.RULES:
        rows = [
            [name, "" if name == "mean" else figure(row["probability"], 4)]
            + [figure(row[key]) for key in ("sensitivity", "specificity", "ppv", "npv")]
            for name, row in card.rules.loc[rule].iterrows()
        ]
        wanted = f": {card.about['sensitivity']:g}" if rule == "sensitivity" else ""
        found += [Heading(RULES[rule] + wanted, 3), Table(header, rows, last_is_mean=True)]
    return found


HOW_CALIBRATED = (
    "Platt scaling per finding: probability = sigmoid(slope × logit + intercept), fitted on validation alone. ECE is "
    f"the expected calibration error of the finding's probability in {calibration.BINS} bins of equal width (Guo et "
    "al. 2017, equation 3); the Brier score is the mean squared error of the probability."
)


def calibrated(card):
    header = ["finding", "slope", "intercept", "Brier before", "after", "ECE before", "after"]
    keys = ("slope", "intercept", "brier_before", "brier_after", "ece_before", "ece_after")
    rows = [
        [name, *("" if name == "mean" and key in keys[:2] else figure(row[key]) for key in keys)]
        for name, row in card.calibration.iterrows()
    ]
    return Table(header, rows, last_is_mean=True)


HOW_DIVIDED = (
    "The mean over the findings that both classes are there for in the subgroup, so means over different numbers of "
    "findings are not like with like. Missed is the false-negative rate at the threshold, as a mean over findings."
)


def divided(card):
    table = card.subgroups
    rows = [
        [
            f"{subgroups.ATTRIBUTES[row['attribute']]}: {row['subgroup']}",
            *(f"{int(row[key]):,}" for key in ("images", "patients", "positives", "n_findings")),
            figure(row["auroc"]),
            between(row["auroc_low"], row["auroc_high"]),
            figure(row["missed"]),
        ]
        for _, row in table[table["finding"] == "mean"].iterrows()
    ]
    units = UNITS[card.about["level"]]
    header = ["subgroup", units, "patients", "positive labels", "findings", "mean AUROC", "95% interval", "missed"]
    return Table(header, rows)


NO_GAPS = (
    f"Gaps are not given: no finding has {subgroups.FEW} positives and {subgroups.FEW} negatives in two subgroups of "
    "one attribute."
)
HOW_FAR_APART = (
    f"The widest gap between two subgroups, finding by finding, in AUROC / in missed positives. Subgroups with under "
    f"{subgroups.FEW} positives or negatives of a finding are left out; a dash means that fewer than two are left. "
    "Gaps of small subgroups are wide by chance alone, and the more subgroups, the wider."
)


def gaps(card):
    table = card.gaps
    attributes = list(dict.fromkeys(table["attribute"]))
    cells = {(row["finding"], row["attribute"]): gap(row) for _, row in table.iterrows()}
    names = [*card.scored.findings, "mean"]
    rows = [[name, *(cells[name, attribute] for attribute in attributes)] for name in names]
    return Table(["finding", *(subgroups.ATTRIBUTES[name] for name in attributes)], rows, last_is_mean=True)


def gap(row):
    if math.isnan(row["auroc_gap"]):
        return "–"
    which = f" ({row['worst']} below {row['best']})" if row["finding"] != "mean" else ""
    return f"{figure(row['auroc_gap'])} / {figure(row['missed_gap'])}{which}"


def few_in_short(card):
    """The subgroups' warnings as at most one sentence, for a terminal."""
    named = card.subgroups[card.subgroups["finding"] != "mean"]
    of_all, of_few = (len(part[["attribute", "subgroup"]].drop_duplicates()) for part in (named, named[named["few"]]))
    words = f"In {of_few} of {of_all} subgroups a finding has under {subgroups.FEW} positives or negatives"
    return [f"{words}: see the report."] if of_few else []


def how_audited(card):
    if not len(card.shortcuts.columns):
        return "The dataset gives neither view nor age nor sex."
    return (
        "AUROC of logistic regressions that never see the image, fitted on validation's metadata and scored on this "
        "split. What they reach, a model may reach by recognising projection, age and sex instead of the finding."
    )


def shortcuts(card):
    columns = list(card.shortcuts)
    rows = [
        [name, *(figure(row[column]) for column in columns), figure(card.findings.loc[name, "auroc"])]
        for name, row in card.shortcuts.iterrows()
    ]
    return Table(["finding", *columns, "the model"], rows, last_is_mean=True)


def made(card):
    about = card.about
    rows = [
        ["dataset", f"{dataset(card)} ({about['source']})" if "source" in about else dataset(card)],
        ["split", about["split"] + (", the official test list" if about["official"] else "")],
        ["synthetic", {True: "yes", False: "no"}.get(about.get("synthetic"), "not stated")],
        ["level", about["level"]],
    ]
    for model in about.get("models", []):
        tta = "" if model["tta"] == "none" else f", test-time augmentation {model['tta']}"
        rows.append(["checkpoint", f"{model['checkpoint']}{tta}, SHA-256 of the weights {model['sha256'][:16]}"])
    if len(about.get("models", [])) > 1:
        rows.append(["ensemble", f"mean probability of {len(about['models'])} models"])
    return Table(["what", "which"], rows)
