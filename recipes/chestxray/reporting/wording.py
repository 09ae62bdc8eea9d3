"""A scorecard as a page to read: what is on it, in which order, in which words."""

import math

from chestxray.reporting.pages import Heading, Paragraph, Warnings
from chestxray.reporting.tables import Table, between, figure
from chestxray.scoring import calibration, scorecard, subgroups, thresholds
from chestxray.scoring.anchors import ANCHORS, NOTE

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
    if has_validation(card):
        page += [Heading("Thresholds"), Paragraph(how_called(card)), *rules(card)]
        page += [Heading("Calibration"), Paragraph(how_calibrated(card)), calibrated(card), drawn["reliability"]]
    page += [Heading("Subgroups"), Paragraph(how_divided(card)), divided(card)]
    page += [Warnings(few)] if (few := subgroups.warnings(card.subgroups)) else []
    has_gaps = card.gaps["auroc_gap"].notna().any()
    page += [Paragraph(how_far_apart(card)), gaps(card)] if has_gaps else [Paragraph(NO_GAPS)]
    page += [drawn[name] for name in ("subgroups", "missed") if name in drawn]
    if has_validation(card):
        page += [Heading("What the metadata alone would score"), Paragraph(how_audited(card))]
        page += [shortcuts(card)] if len(card.shortcuts.columns) else []
    return page + [Heading("How this was made"), made(card)]


def has_validation(card):
    """Whether there are rows to fit on; without them the page has nothing that needs a threshold or a fit."""
    return card.about["n_validation"] > 0


def n_with_threshold(card):
    return int(card.rules.loc[card.about["rule"]].drop("mean")["logit"].notna().sum())


def n_calibrated(card):
    return int(card.calibration.drop("mean")["slope"].notna().sum())


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
        f"{how_judged(card)}The last row is the mean over findings; a dash is undefined."
    )


def how_judged(card):
    """Of the figures at a threshold; nothing where no finding has one."""
    if not has_validation(card):
        return ""
    n = n_with_threshold(card)
    mean_of = f" Their means are over the {n} findings with a threshold." * (n < len(card.scored.findings))
    return (
        f"Sensitivity, specificity and predictive values are at the threshold chosen on {validation(card)} by "
        f"{thresholds.RULES[card.about['rule']]}. Predictive values hold at this split's share of positives only."
        f"{mean_of} "
    )


def validation(card):
    other = scorecard.other_validation(card.about)
    return f"validation of {other}" if other else "validation"


def findings(card):
    header, keys = ["finding", "positives", "AUROC", "95% interval", "AP"], ["average_precision"]
    if has_validation(card):
        header += ["sensitivity", "specificity", "PPV", "NPV"]
        keys += ["sensitivity", "specificity", "ppv", "npv"]
    rows = [
        [
            name,
            f"{int(row['positives']):,}" if name != "mean" else "",
            figure(row["auroc"]),
            between(row["auroc_low"], row["auroc_high"]),
            *(figure(row[key]) for key in keys),
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
        f"Chosen on {validation(card)} alone, on {card.about['n_validation']:,} {UNITS[card.about['level']]}, then "
        "applied here: "
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
    return found + [Paragraph(words) for words in [out_of_reach(card)] if words]


def out_of_reach(card):
    """Which findings have too few positives on validation for the sensitivity asked for, as a sentence or "".

    The lowest of m independent scores has m / (m + 1) of further ones above it on average (the mean of an order
    statistic of uniform values; David & Nagaraja 2003, Order Statistics).
    """
    wanted, counts = card.about["sensitivity"], card.validation["positives"]
    fitted = card.rules.loc["sensitivity"].drop("mean")["logit"].notna()
    few = counts[fitted & (counts / (counts + 1) < wanted)]
    if few.empty:
        return ""
    named = ", ".join(f"{name} ({count})" for name, count in few.items())
    return (
        f"Do not expect a sensitivity of {wanted:g} on other patients for {named}: with m positives on validation "
        "(in brackets), even a threshold at the lowest of them finds m / (m + 1) of others on average."
    )


def how_calibrated(card):
    n = n_calibrated(card)
    mean_of = f" Means are over the {n} findings with a slope." * (n < len(card.scored.findings))
    return (
        f"Platt scaling per finding: probability = sigmoid(slope × logit + intercept), fitted on {validation(card)} "
        "alone, whose positives are in the second column. ECE is the expected calibration error of the finding's "
        f"probability in {calibration.BINS} bins of equal width (Guo et al. 2017, equation 3); by chance is what a "
        "model with the right probabilities would show on as many images, so an ECE near it is no sign of a fault. The "
        f"Brier score is the mean squared error of the probability.{mean_of}"
    )


def calibrated(card):
    header = ["finding", "validation positives", "slope", "intercept", "Brier before", "after"]
    header += ["ECE before", "after", "by chance"]
    fitted, judged = ("slope", "intercept"), ("brier_before", "brier_after", "ece_before", "ece_after", "ece_chance")
    rows = [
        [name, f"{card.validation.loc[name, 'positives']:,}", *(figure(row[key]) for key in (*fitted, *judged))]
        for name, row in card.calibration.drop("mean").iterrows()
    ]
    mean = ["mean", "", "", "", *(figure(card.calibration.loc["mean", key]) for key in judged)]
    return Table(header, [*rows, mean], last_is_mean=True)


def how_divided(card):
    missed = " Missed is the false-negative rate at the threshold, as a mean over the findings with a threshold."
    return (
        "The mean over the findings that both classes are there for in the subgroup, so means over different numbers "
        f"of findings are not like with like.{missed * has_validation(card)}"
    )


def divided(card):
    table, has_missed = card.subgroups, has_validation(card)
    rows = [
        [
            f"{subgroups.ATTRIBUTES[row['attribute']]}: {row['subgroup']}",
            *(f"{int(row[key]):,}" for key in ("images", "patients", "positives", "n_findings")),
            figure(row["auroc"]),
            between(row["auroc_low"], row["auroc_high"]),
            *([figure(row["missed"])] * has_missed),
        ]
        for _, row in table[table["finding"] == "mean"].iterrows()
    ]
    units = UNITS[card.about["level"]]
    header = ["subgroup", units, "patients", "positive labels", "findings", "mean AUROC", "95% interval"]
    return Table(header + ["missed"] * has_missed, rows)


NO_GAPS = (
    f"Gaps are not given: no finding has {subgroups.FEW} positives and {subgroups.FEW} negatives in two subgroups of "
    "one attribute."
)


def how_far_apart(card):
    missed = " / in missed positives" * has_validation(card)
    return (
        f"The widest gap between two subgroups, finding by finding, in AUROC{missed}. Subgroups with under "
        f"{subgroups.FEW} positives or negatives of a finding are left out; a dash means that fewer than two are left. "
        "Gaps of small subgroups are wide by chance alone, and the more subgroups, the wider."
    )


def gaps(card):
    table = card.gaps
    attributes = list(dict.fromkeys(table["attribute"]))
    keys = ["auroc_gap", "missed_gap"] if has_validation(card) else ["auroc_gap"]
    cells = {(row["finding"], row["attribute"]): gap(row, keys) for _, row in table.iterrows()}
    names = [*card.scored.findings, "mean"]
    rows = [[name, *(cells[name, attribute] for attribute in attributes)] for name in names]
    return Table(["finding", *(subgroups.ATTRIBUTES[name] for name in attributes)], rows, last_is_mean=True)


def gap(row, keys):
    if math.isnan(row["auroc_gap"]):
        return "–"
    which = f" ({row['worst']} below {row['best']})" if row["finding"] != "mean" else ""
    return " / ".join(figure(row[key]) for key in keys) + which


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
        f"AUROC of logistic regressions that never see the image, fitted on the metadata of {validation(card)} and "
        "scored on this split. What they reach, a model may reach by recognising projection, age and sex instead of "
        "the finding."
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
