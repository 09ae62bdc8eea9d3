"""The single numbers that the sentences of the dataset card quote."""

import numpy as np
import pandas as pd

from chestxray.reporting.description_metadata import NO_FINDING, SPLITS, Metadata
from chestxray.reporting.description_tables import percent, prevalence
from chestxray.reporting.nih_pairs import compare_with_nih


def facts(data: Metadata) -> dict[str, str]:
    """{place: text} of every number."""
    counts = {**split_counts(data), **box_counts(data), **order_counts(data), **extremes(data), **nih_counts(data)}
    return {name: f"{count:,}" for name, count in counts.items()} | view_facts(data) | shift_facts(data)


# Counts


def split_counts(data: Metadata) -> dict[str, int]:
    patients = {split: set(data.in_split(split).images["patient"]) for split in SPLITS}
    return {
        "n-images": len(data.images),
        "n-patients": data.images["patient"].nunique(),
        **{f"n-{split}": int((data.images["split"] == split).sum()) for split in SPLITS},
        "patients-in-both": len(patients["train"] & patients["test"]),
    }


def box_counts(data: Metadata) -> dict[str, int]:
    boxes = data.images["boxes"].str.len()
    return {
        "n-boxes": int(boxes.sum()),
        "n-boxed-images": int((boxes > 0).sum()),
        "n-boxed-train-images": int((boxes[data.images["split"] == "train"] > 0).sum()),
    }


def order_counts(data: Metadata) -> dict[str, int]:
    """Where the numbers in file names and the follow-up numbers differ, and where labels are not sorted."""
    images, cells = data.images, data.images["cell"].str.split("|")
    suffix = images["name"].str[9:12].astype(int)
    moved = images[suffix != images["follow_up"]]
    return {
        "follow-up-rows": len(moved),
        "follow-up-patients": moved["patient"].nunique(),
        "age-falls-by-file": age_falls(images.assign(order=suffix)),
        "age-falls-by-follow-up": age_falls(images.assign(order=images["follow_up"])),
        "unsorted-rows": int((cells != cells.map(sorted)).sum()),
        "label-strings": images["cell"].nunique(),
    }


def age_falls(images: pd.DataFrame) -> int:
    """How often a patient is younger than on the image before, in the order of the column `order`."""
    ordered = images.sort_values(["patient", "order"])
    return int((ordered.groupby("patient")["age"].diff() < 0).sum())


def extremes(data: Metadata) -> dict[str, int]:
    return {
        "most-labels": int(data.images["cell"].str.split("|").str.len().max()),
        "most-images": int(data.images.groupby("patient").size().max()),
        "oldest": int(data.images["age"].max()),
        "age-zero": int((data.images["age"] == 0).sum()),
        "one-pa-per-patient": patients_with_pa(data),
    }


def patients_with_pa(data: Metadata) -> int:
    return data.images[data.images["view"] == "PA"]["patient"].nunique()


def nih_counts(data: Metadata) -> dict[str, int]:
    """How far the labels differ from NIH's table of pairs."""
    totals, alone, pairs = compare_with_nih(data)
    return {
        "nih-pairs": int((np.triu(pairs.to_numpy()) != 0).sum()),
        "nih-all-pairs": len(totals) * (len(totals) - 1) // 2,
        "nih-totals": int((totals != 0).sum()),
        "nih-alone": int((alone != 0).sum()),
        "nih-pneumonia": int(totals["Pneumonia"]),
        "nih-labels": int(totals.sum()),
    }


# Shares


def view_facts(data: Metadata) -> dict[str, str]:
    parts = {split: data.in_split(split) for split in SPLITS}
    shares = {
        "not-one-pa-per-patient": 1 - patients_with_pa(data) / len(data.images),
        **{f"ap-{split}": (part.images["view"] == "AP").mean() for split, part in parts.items()},
        **{f"no-finding-{split}": part.labels[NO_FINDING].mean() for split, part in parts.items()},
    }
    return {name: percent(share, 0) for name, share in shares.items()} | {"view-auroc": f"{view_auroc(data):.3f}"}


def shift_facts(data: Metadata) -> dict[str, str]:
    """The findings whose share differs most between the splits."""
    ratios = prevalence(data)["ratio"].dropna()
    return {
        "shift-most": f"{ratios.iloc[0]:.1f}",
        "shift-least": f"{ratios.iloc[-1]:.1f}",
        "shift-most-name": ratios.index[0],
        "shift-least-name": ratios.index[-1],
    }


def view_auroc(data: Metadata) -> float:
    """Mean test AUROC over the findings of a score that knows only whether the view is PA or AP.

    A score with two values has AUROC ½ (1 + TPR − FPR). `train` decides which view counts as positive. A finding is
    left out where all images of a split have it, or none.
    """
    train, test = (ap_excess(data.in_split(split)) for split in SPLITS)
    return (0.5 + 0.5 * np.sign(train) * test).mean()


def ap_excess(part: Metadata) -> pd.Series:
    """For each finding: the share of AP among images with it, minus the share of AP among images without it."""
    ap = (part.images["view"] == "AP").to_numpy()
    return pd.Series(
        {
            name: ap[found].mean() - ap[~found].mean()
            for name, found in part.findings.items()
            if 0 < found.sum() < len(found)
        },
        dtype=float,
    )
