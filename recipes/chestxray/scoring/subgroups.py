"""Whether a model works as well for everybody: AUROC and missed positives by sex, age, view and images per patient."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from chestxray.data.predictions import Predictions
from chestxray.scoring import thresholds
from multilabel_auroc import auroc_report

FEW = 20  # with fewer positives a subgroup's figures are marked: their intervals are too wide to compare
AREAS = ("auroc", "auroc_low", "auroc_high")
AGES = ((0, "0–17"), (18, "18–39"), (40, "40–59"), (60, "60–79"), (80, "80 and over"))  # years
COUNTS = ((1, "1"), (2, "2–4"), (5, "5–9"), (10, "10–19"), (20, "20 and more"))
ATTRIBUTES = {"sex": "sex", "age": "age, years", "view": "view", "images": "images of the patient"}


def to_bands(values: Iterable[float | None], bands: Sequence[tuple[int, str]]) -> pd.Series:
    """The band of each number, as an ordered categorical; missing if the number is.

    Args:
        values: numbers.
        bands: the lowest number of each band and its name, in ascending order.

    >>> to_bands([3, 80, None], AGES).tolist()
    ['0–17', '80 and over', nan]
    """
    edges, names = zip(*bands, strict=True)
    return pd.cut(pd.Series(values, dtype="float64"), [*edges, np.inf], right=False, labels=list(names))


def categories(predictions: Predictions) -> dict[str, pd.Series]:
    """{attribute: one category per row, missing where unknown}, for the attributes that the predictions have.

    The column `images` holds how many images of its patient the split has.
    """
    rows = predictions.rows
    columns = {name: rows[name] for name in ("sex", "view") if name in rows}
    if "age" in rows:
        columns["age"] = to_bands(rows["age"], AGES)
    columns["images"] = to_bands(rows["images"], COUNTS)
    return {
        name: columns[name].astype("category") for name in ATTRIBUTES if name in columns and columns[name].notna().any()
    }


def measure(predictions: Predictions, threshold: np.ndarray) -> pd.DataFrame:
    """AUROC and missed positives of every subgroup, for each finding and their mean.

    Args:
        predictions: of one split, with a column `images`.
        threshold: (k,), as `thresholds.judge` takes it.

    Returns:
        A DataFrame with a row per attribute, subgroup and finding ("mean" among them): `images`, `patients`,
        `positives`, `auroc`, `auroc_low`, `auroc_high`, `missed` (false-negative rate), and `few`, whether there are
        fewer than FEW positives or negatives. A mean is over the `n_findings` that are defined in that subgroup.
    """
    parts = [
        _measure_one(predictions.where(chosen), threshold).assign(attribute=attribute, subgroup=name)
        for attribute, values in categories(predictions).items()
        for name in values.cat.categories
        if (chosen := (values == name).to_numpy()).any()
    ]
    return pd.concat(parts, ignore_index=True)


def _measure_one(part, threshold):
    report = auroc_report(part.logits, part.targets, part.rows["patient"], label_names=part.findings)
    missed = 1 - thresholds.judge(part.logits, part.targets, threshold)["sensitivity"].to_numpy()
    quantities = ("positives", "negatives", *AREAS)
    table = pd.DataFrame({key: [report[f"{key}/{name}"] for name in part.findings] for key in quantities})
    table = table.assign(finding=part.findings, missed=missed)
    mean = {key: report[key] for key in quantities}
    mean |= {"finding": "mean", "missed": _mean(missed), "n_findings": report["n_findings"]}
    table = pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
    few = table[["positives", "negatives"]].min(axis=1) < FEW
    return table.assign(images=report["n_images"], patients=report["n_groups"], few=few)


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """The widest gap in AUROC and in missed positives between two subgroups of an attribute, finding by finding.

    Subgroups with fewer than FEW positives or negatives are left out. If fewer than two subgroups are left, there is no
    gap. The row "mean" is the mean of the findings' gaps.

    Args:
        table: as `measure` gives it.

    Returns:
        A DataFrame of `attribute`, `finding`, `auroc_gap`, `worst`, `best` (subgroups), `missed_gap`.
    """
    rows = []
    for attribute, of_attribute in table[table["finding"] != "mean"].groupby("attribute", sort=False):
        found = [_gap(attribute, name, part) for name, part in of_attribute.groupby("finding", sort=False)]
        mean = {key: _mean([row[key] for row in found]) for key in ("auroc_gap", "missed_gap")}
        rows += [*found, {"attribute": attribute, "finding": "mean", **mean}]
    return pd.DataFrame(rows)


def _gap(attribute, finding, part):
    enough = part[~part["few"] & part["auroc"].notna()]
    row = {"attribute": attribute, "finding": finding, "auroc_gap": np.nan, "missed_gap": np.nan}
    if len(enough) < 2:
        return row
    worst, best = enough.loc[enough["auroc"].idxmin()], enough.loc[enough["auroc"].idxmax()]
    return row | {
        "auroc_gap": best["auroc"] - worst["auroc"],
        "worst": worst["subgroup"],
        "best": best["subgroup"],
        "missed_gap": enough["missed"].max() - enough["missed"].min(),
    }


def warnings(table: pd.DataFrame) -> list[str]:
    """Which subgroups have fewer than FEW positives or negatives of which findings: a sentence per set of findings.

    Args:
        table: as `measure` gives it.
    """
    named, places = table[table["finding"] != "mean"], dict[str, list[str]]()
    for (attribute, name), part in named.groupby(["attribute", "subgroup"], sort=False):
        marked, rest = (part["finding"][mask].tolist() for mask in (part["few"], ~part["few"]))
        which = ", ".join(marked) if len(marked) <= len(rest) else "every finding"
        if len(marked) > len(rest) > 0:
            which += f" except {', '.join(rest)}"
        if marked:
            places.setdefault(which, []).append(f"{ATTRIBUTES[attribute]} {name}")
    return [f"{'; '.join(of)}: fewer than {FEW} positives or negatives of {which}." for which, of in places.items()]


def _mean(values):
    values = np.asarray(values, dtype=float)
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else np.nan
