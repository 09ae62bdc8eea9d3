"""The tables of the dataset card, each a function of the metadata."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from chestxray.reporting.description_metadata import NO_FINDING, SPLITS, Metadata
from chestxray.reporting.nih_pairs import NIH_FINDINGS, compare_with_nih, pair_counts
from chestxray.reporting.tables import Table

PATIENT_BINS = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4 to 5": (4, 5), "6 to 10": (6, 10), "11 to 20": (11, 20),
                "21 to 50": (21, 50), "51 or more": (51, np.inf)}  # fmt: skip


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def difference(number: int) -> str:
    """A number with its sign; 0 has none."""
    return f"{number:+,}" if number else "0"


def count_and_share(rows: pd.Series) -> str:
    """How many rows of a boolean column are true, and which share."""
    return f"{int(rows.sum()):,} ({percent(rows.mean())})"


# Labels


def label_distribution(data: Metadata) -> Table:
    """Every label's images, their share of all images and of all labels (the published card's `freq`)."""
    rows = [[label, *label_row(data, label)] for label in commonest_first(data)]
    return Table(("label", "images", "of images", "of labels"), rows)


def label_distribution_by_split(data: Metadata) -> Table:
    parts = [data.in_split(split) for split in SPLITS]
    rows = [[label, *(cell for part in parts for cell in label_row(part, label))] for label in commonest_first(data)]
    header = [f"{split}{column}" for split in SPLITS for column in ("", ", of images", ", of labels")]
    return Table(("label", *header), rows)


def label_row(data: Metadata, label: str) -> list[str]:
    count = int(data.labels[label].sum())
    return [f"{count:,}", percent(count / len(data.labels), 2), f"{count / data.labels.to_numpy().sum():.6f}"]


def commonest_first(data: Metadata) -> list[str]:
    return list(data.labels.sum().sort_values(ascending=False, kind="stable").index)


def prevalence(data: Metadata) -> pd.DataFrame:
    """Share of the images with each finding: columns train, test and their ratio, the largest ratio first."""
    table = pd.DataFrame({split: data.in_split(split).findings.mean() for split in SPLITS})
    table["ratio"] = table["test"] / table["train"].where(table["train"] > 0)
    return table.sort_values("ratio", ascending=False, kind="stable")


def prevalence_shift(data: Metadata) -> Table:
    rows = [
        [name, percent(row["train"], 2), percent(row["test"], 2), ratio_cell(row["ratio"])]
        for name, row in prevalence(data).iterrows()
    ]
    return Table(("finding", "train", "test", "test ÷ train"), rows)


def ratio_cell(ratio: float) -> str:
    return "" if np.isnan(ratio) else f"{ratio:.2f}"


def prevalence_by_group(data: Metadata) -> Table:
    groups = {"PA": "view", "AP": "view", "F": "sex", "M": "sex"}
    shares = {value: data.labels[data.images[column] == value].mean() for value, column in groups.items()}
    rows = [[label, *(percent(share[label], 2) for share in shares.values())] for label in commonest_first(data)]
    return Table(("label", *shares), rows)


# Findings together


def co_occurrence(data: Metadata) -> Table:
    counts = pair_counts(data)
    rows = [
        [f"**{name}**", *(f"{n:,}" if name != other else f"**{n:,}**" for other, n in row.items())]
        for name, row in counts.iterrows()
    ]
    rows.append(["**at all**", *(f"{n:,}" for n in data.findings.sum())])
    return Table(("", *(name.replace("_", " ") for name in counts)), rows)


def co_occurrence_of_nih(data: Metadata) -> Table:
    totals, alone, pairs = compare_with_nih(data)
    counts = data.findings.sum()
    rows = [
        [
            name,
            f"{counts[name] - totals[name]:,}",
            f"{counts[name]:,}",
            difference(totals[name]),
            difference(alone[name]),
            str(int((pairs[name] != 0).sum())),
            largest_difference(pairs[name]),
        ]
        for name in NIH_FINDINGS
    ]
    header = ("finding", "NIH's table", "metadata", "difference", "alone", "pairs that differ", "most")
    return Table(header, rows)


def largest_difference(pairs: pd.Series) -> str:
    """The partner whose pair differs most from NIH's table; "" where none differs."""
    partner = pairs.abs().idxmax()
    return f"{pairs[partner]:+,} with {partner.replace('_', ' ')}" if pairs.any() else ""


# Splits and patients


def splits(data: Metadata) -> Table:
    """Who is in which split."""
    columns = [split_column(part) for part in (*(data.in_split(split) for split in SPLITS), data)]
    rows = [[line, *(column[line] for column in columns)] for line in columns[0]]
    return Table(("", *SPLITS, "both"), rows)


def split_column(part: Metadata) -> dict[str, str]:
    images, n_findings = part.images, part.findings.sum(axis=1)
    n_patients = images["patient"].nunique()
    return {
        "images": f"{len(images):,}",
        "patients": f"{n_patients:,}",
        "images per patient": f"{len(images) / n_patients:.2f}",
        **{f"view {view}": count_and_share(images["view"] == view) for view in ("PA", "AP")},
        **{f"sex {sex}": count_and_share(images["sex"] == sex) for sex in ("F", "M")},
        "age, median (min to max)": age_range(images["age"]),
        "younger than 18": count_and_share(images["age"] < 18),
        "No Finding": count_and_share(part.labels[NO_FINDING]),
        "one finding": count_and_share(n_findings == 1),
        "two or more findings": count_and_share(n_findings > 1),
        "images with boxes": count_and_share(images["boxes"].str.len() > 0),
    }


def age_range(ages: pd.Series) -> str:
    return f"{ages.median():.0f} ({ages.min()} to {ages.max()})"


def per_patient(data: Metadata) -> pd.DataFrame:
    """Share of a split's patients, and of its images, by how many images the patient has there."""
    sizes = data.images.groupby("patient").size()
    inside = {name: sizes[sizes.between(*bounds)] for name, bounds in PATIENT_BINS.items()}
    return pd.DataFrame(
        {
            "patients": {name: len(part) for name, part in inside.items()},
            "of patients": {name: len(part) / len(sizes) for name, part in inside.items()},
            "of images": {name: part.sum() / len(data.images) for name, part in inside.items()},
        }
    )


def images_per_patient(data: Metadata) -> Table:
    parts = [per_patient(data.in_split(split)) for split in SPLITS]
    rows = [[name, *(cell for part in parts for cell in patient_cells(part.loc[name]))] for name in PATIENT_BINS]
    header = [f"{split} {column}" for split in SPLITS for column in ("patients", "of patients", "of images")]
    return Table(("images of a patient", *header), rows)


def patient_cells(row: pd.Series) -> Sequence[str]:
    return f"{row['patients']:,.0f}", percent(row["of patients"]), percent(row["of images"])


# Boxes


def box_sizes(data: Metadata) -> Table:
    boxes = [box for cell in data.images["boxes"] for box in cell]
    table = pd.DataFrame(boxes, columns=["label", "width", "height"])
    rows = [
        [label, str(len(part)), f"{part['width'].median():.0f} × {part['height'].median():.0f}"]
        for label, part in sorted(table.groupby("label"), key=lambda group: -len(group[1]))
    ]
    return Table(("finding", "boxes", "median width × height, pixels"), rows)


TABLES = {
    "label-distribution": label_distribution,
    "label-distribution-by-split": label_distribution_by_split,
    "co-occurrence": co_occurrence,
    "co-occurrence-of-nih": co_occurrence_of_nih,
    "splits": splits,
    "images-per-patient": images_per_patient,
    "prevalence-shift": prevalence_shift,
    "prevalence-by-group": prevalence_by_group,
    "boxes": box_sizes,
}
