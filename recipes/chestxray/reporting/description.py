"""What the dataset card says about the data: every table and number of it, computed from the metadata.

A card has places for them, `<!-- begin: splits -->…<!-- end -->`; `blocks` gives what belongs there by name.
"""

import pprint
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

NO_FINDING = "No Finding"
SPLITS = ("train", "test")
COLUMNS = "image_file_path labels patient_id follow_up patient_age patient_sex view_position objects".split()
PLACE = re.compile(r"(<!-- begin: ([\w-]+) -->)(.*?)(<!-- end -->)", re.DOTALL)

# The 14 findings in the order of NIH's own description of the release, and the table in its section A.2: images
# with both findings; on the diagonal, with that finding alone; the last row, with that finding at all. A copy:
# https://academictorrents.com/details/e615d3aebce373f1dc8bd9d11064da55bdadede0
NIH_FINDINGS = (
    "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax Consolidation Edema Emphysema "
    "Fibrosis Pleural_Thickening Hernia"
).split()
NIH_TABLE = """
4212 369 3269 3259 727 585 243 772 1222 221 423 220 495 40
369 1094 1060 583 99 108 36 48 169 127 44 51 111 7
3269 1060 3959 3990 1244 909 253 995 1287 592 359 188 848 21
3259 583 3990 9552 1151 1544 571 943 1220 979 447 345 749 33
727 99 1244 1151 2138 894 62 424 602 128 212 115 448 25
585 108 909 1544 894 2706 63 340 428 131 115 166 410 10
243 36 253 571 62 63 307 34 114 330 21 11 45 2
772 48 995 943 424 340 34 2199 222 33 746 80 289 9
1222 169 1287 1220 602 428 114 222 1314 162 103 79 251 4
221 127 592 979 128 131 330 33 162 634 30 9 64 3
423 44 359 447 212 115 21 746 103 30 895 36 151 4
220 51 188 345 115 166 11 80 79 9 36 727 176 8
495 111 848 749 448 410 45 289 251 64 151 176 1127 8
40 7 21 33 25 10 2 9 4 3 4 8 8 110
11535 2772 13307 19871 5746 6323 1353 5298 4667 2303 2516 1686 3385 227
"""


@dataclass
class Metadata:
    """The config `metadata` as two tables with one row per image, in the same order.

    images: name, split, patient, follow_up, age, sex, view, cell (labels as written), boxes ((label, w, h), …)
    labels: one boolean column per label, No Finding first, in the dataset's order
    """

    images: pd.DataFrame
    labels: pd.DataFrame

    @property
    def findings(self):
        return self.labels.drop(columns=NO_FINDING)

    def of(self, split):
        rows = (self.images["split"] == split).to_numpy()
        return Metadata(self.images[rows], self.labels[rows])


def read(dataset):
    """`Metadata` of a dataset in the config `metadata` or `full` that has `train` and `test`."""
    names = dataset["train"].features["labels"].feature.names
    rows = {split: dataset[split].select_columns(COLUMNS).with_format("arrow")[:] for split in SPLITS}
    images = pd.concat([image_table(rows[split], dataset[split].features, split) for split in SPLITS])
    cells = [cell for split in SPLITS for cell in rows[split]["labels"].to_pylist()]
    labels = np.zeros((len(cells), len(names)), bool)
    for row, cell in enumerate(cells):
        labels[row, cell] = True
    images["cell"] = ["|".join(names[label] for label in cell) for cell in cells]
    return Metadata(images.reset_index(drop=True), pd.DataFrame(labels, columns=names))


def image_table(rows, features, split):
    """`Metadata.images` of one split, but for `cell`, from an Arrow table with COLUMNS."""
    names = features["labels"].feature.names
    boxes = [
        [
            (names[label], width, height)
            for label, (_, _, width, height) in zip(row["category"], row["bbox"], strict=True)
        ]
        for row in rows["objects"].to_pylist()
    ]
    columns = {
        "name": [path.rpartition("/")[2] for path in rows["image_file_path"].to_pylist()],
        "split": split,
        "patient": rows["patient_id"].to_numpy(),
        "follow_up": rows["follow_up"].to_numpy(),
        "age": rows["patient_age"].to_numpy(),
        "sex": features["patient_sex"].int2str(rows["patient_sex"].to_pylist()),
        "view": features["view_position"].int2str(rows["view_position"].to_pylist()),
        "boxes": boxes,
    }
    return pd.DataFrame(columns)


# A card and the places in it


def rewrite(card, blocks):
    """The card's text with every block in its place.

    Raises ValueError for a block that has no place in the card. Places that no block is for stay as they are.
    """
    if missing := [name for name in blocks if f"<!-- begin: {name} -->" not in card]:
        raise ValueError(f"The card has no place <!-- begin: NAME -->…<!-- end --> for {', '.join(missing)}")
    return PLACE.sub(lambda place: place[1] + blocks.get(place[2], place[3]) + place[4], card)


def outdated(card, blocks):
    """Names of the blocks that the card does not have, or has with another content."""
    found = {}
    for _, name, content, _ in PLACE.findall(card):
        found.setdefault(name, []).append(content)
    return [name for name, content in blocks.items() if set(found.get(name, [None])) != {content}]


def markdown(header, rows):
    """A Markdown table between blank lines: the first column to the left, the others to the right."""
    align = ["---", *["---:"] * (len(header) - 1)]
    return "\n\n" + "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, align, *rows)) + "\n\n"


def percent(share, digits=1):
    return f"{100 * share:.{digits}f}%"


# Tables


def label_distribution(data):
    """Every label's images, their share of all images and of all labels (the published card's `freq`)."""
    rows = [distribution_row(data, label) for label in commonest_first(data)]
    return markdown(("label", "images", "of images", "of labels"), [(label, *row) for label, *row in rows])


def label_distribution_by_split(data):
    parts = [data.of(split) for split in SPLITS]
    rows = [
        (label, *(cell for part in parts for cell in distribution_row(part, label)[1:]))
        for label in commonest_first(data)
    ]
    header = [f"{split}{column}" for split in SPLITS for column in ("", ", of images", ", of labels")]
    return markdown(("label", *header), rows)


def distribution_row(data, label):
    count = int(data.labels[label].sum())
    return label, f"{count:,}", percent(count / len(data.labels), 2), f"{count / data.labels.to_numpy().sum():.6f}"


def commonest_first(data):
    return list(data.labels.sum().sort_values(ascending=False, kind="stable").index)


def together(data):
    """Images with both findings (findings × findings); on the diagonal, with that finding and no other."""
    found = data.findings.astype(int)
    counts = found.T @ found
    alone = found[found.sum(axis=1) == 1].sum()
    return counts.where(~np.eye(len(counts), dtype=bool), alone, axis=0)


def co_occurrence(data):
    counts = together(data)
    rows = [
        (f"**{name}**", *(f"{n:,}" if name != other else f"**{n:,}**" for other, n in row.items()))
        for name, row in counts.iterrows()
    ]
    rows.append(("**at all**", *(f"{n:,}" for n in data.findings.sum())))
    return markdown(("", *(name.replace("_", " ") for name in counts)), rows)


def nih_table(data):
    """NIH's table against these labels: (totals, alone, pairs) as the differences here − there."""
    *there, totals = (list(map(int, line.split())) for line in NIH_TABLE.strip().splitlines())
    there = pd.DataFrame(there, NIH_FINDINGS, NIH_FINDINGS)
    difference = together(data).loc[NIH_FINDINGS, NIH_FINDINGS] - there
    alone = pd.Series(np.diag(difference), NIH_FINDINGS)
    pairs = difference.where(~np.eye(len(difference), dtype=bool), 0)
    return data.findings.sum()[NIH_FINDINGS] - pd.Series(totals, NIH_FINDINGS), alone, pairs


def co_occurrence_of_nih(data):
    totals, alone, pairs = nih_table(data)
    here = data.findings.sum()
    rows = []
    for name in NIH_FINDINGS:
        partner = pairs[name].abs().idxmax()
        most = f"{pairs[name][partner]:+,} with {partner.replace('_', ' ')}" if pairs[name].any() else ""
        changed = int((pairs[name] != 0).sum())
        rows.append(
            (
                name,
                f"{here[name] - totals[name]:,}",
                f"{here[name]:,}",
                signed(totals[name]),
                signed(alone[name]),
                changed,
                most,
            )
        )
    header = ("finding", "NIH's table", "metadata", "difference", "alone", "pairs that differ", "most")
    return markdown(header, rows)


def signed(number):
    return f"{number:+,}" if number else "0"


def splits(data):
    """Who is in which split."""
    parts = {**{split: data.of(split) for split in SPLITS}, "both": data}
    lines = {
        "images": lambda part: f"{len(part.images):,}",
        "patients": lambda part: f"{part.images['patient'].nunique():,}",
        "images per patient": lambda part: f"{len(part.images) / part.images['patient'].nunique():.2f}",
        "view PA": lambda part: counted(part.images["view"] == "PA"),
        "view AP": lambda part: counted(part.images["view"] == "AP"),
        "sex F": lambda part: counted(part.images["sex"] == "F"),
        "sex M": lambda part: counted(part.images["sex"] == "M"),
        "age, median (min to max)": ages,
        "younger than 18": lambda part: counted(part.images["age"] < 18),
        "No Finding": lambda part: counted(part.labels[NO_FINDING]),
        "one finding": lambda part: counted(part.findings.sum(axis=1) == 1),
        "two or more findings": lambda part: counted(part.findings.sum(axis=1) > 1),
        "images with boxes": lambda part: counted(part.images["boxes"].str.len() > 0),
    }
    rows = [(line, *(cell(part) for part in parts.values())) for line, cell in lines.items()]
    return markdown(("", *parts), rows)


def counted(rows):
    return f"{int(rows.sum()):,} ({percent(rows.mean())})"


def ages(part):
    age = part.images["age"]
    return f"{age.median():.0f} ({age.min()} to {age.max()})"


PATIENT_BINS = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4 to 5": (4, 5), "6 to 10": (6, 10), "11 to 20": (11, 20),
                "21 to 50": (21, 50), "51 or more": (51, np.inf)}  # fmt: skip


def per_patient(data):
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


def images_per_patient(data):
    parts = [per_patient(data.of(split)) for split in SPLITS]
    rows = [
        (
            name,
            *(
                cell
                for part in parts
                for cell in (
                    f"{part.loc[name, 'patients']:,.0f}",
                    percent(part.loc[name, "of patients"]),
                    percent(part.loc[name, "of images"]),
                )
            ),
        )
        for name in PATIENT_BINS
    ]
    header = [f"{split} {column}" for split in SPLITS for column in ("patients", "of patients", "of images")]
    return markdown(("images of a patient", *header), rows)


def prevalence(data):
    """Share of the images with each finding: columns train, test and their ratio, the largest ratio first."""
    table = pd.DataFrame({split: data.of(split).findings.mean() for split in SPLITS})
    table["ratio"] = table["test"] / table["train"].where(table["train"] > 0)
    return table.sort_values("ratio", ascending=False, kind="stable")


def prevalence_shift(data):
    rows = [
        (
            name,
            percent(row["train"], 2),
            percent(row["test"], 2),
            "" if np.isnan(row["ratio"]) else f"{row['ratio']:.2f}",
        )
        for name, row in prevalence(data).iterrows()
    ]
    return markdown(("finding", "train", "test", "test ÷ train"), rows)


def prevalence_by_group(data):
    groups = {
        f"{value}": data.images[column] == value
        for column, value in (("view", "PA"), ("view", "AP"), ("sex", "F"), ("sex", "M"))
    }
    shares = {name: data.labels[rows].mean() for name, rows in groups.items()}
    rows = [(label, *(percent(share[label], 2) for share in shares.values())) for label in commonest_first(data)]
    return markdown(("label", *shares), rows)


def boxes(data):
    table = pd.DataFrame([box for cell in data.images["boxes"] for box in cell], columns=["label", "width", "height"])
    rows = [
        (label, len(part), f"{part['width'].median():.0f} × {part['height'].median():.0f}")
        for label, part in sorted(table.groupby("label"), key=lambda group: -len(group[1]))
    ]
    return markdown(("finding", "boxes", "median width × height, pixels"), rows)


TABLES = {
    "label-distribution": label_distribution,
    "label-distribution-by-split": label_distribution_by_split,
    "co-occurrence": co_occurrence,
    "co-occurrence-of-nih": co_occurrence_of_nih,
    "splits": splits,
    "images-per-patient": images_per_patient,
    "prevalence-shift": prevalence_shift,
    "prevalence-by-group": prevalence_by_group,
    "boxes": boxes,
}


# Numbers in sentences


def facts(data):
    """{name: text} of the single numbers that the card's sentences quote."""
    images, parts = data.images, {split: data.of(split) for split in SPLITS}
    suffix = images["name"].str[9:12].astype(int)
    moved = images[suffix != images["follow_up"]]
    cells = images["cell"].str.split("|")
    totals, alone, pairs = nih_table(data)
    above = np.triu(pairs.to_numpy())
    first_pa = images[images["view"] == "PA"]["patient"].nunique()
    numbers = {
        "n-images": len(images),
        "n-patients": images["patient"].nunique(),
        "n-train": len(parts["train"].images),
        "n-test": len(parts["test"].images),
        "n-boxes": int(images["boxes"].str.len().sum()),
        "n-boxed-images": int((images["boxes"].str.len() > 0).sum()),
        "n-boxed-train-images": int((parts["train"].images["boxes"].str.len() > 0).sum()),
        "patients-in-both": len(set(parts["train"].images["patient"]) & set(parts["test"].images["patient"])),
        "follow-up-rows": len(moved),
        "follow-up-patients": moved["patient"].nunique(),
        "age-falls-by-file": age_falls(images.assign(order=suffix)),
        "age-falls-by-follow-up": age_falls(images.assign(order=images["follow_up"])),
        "unsorted-rows": int((cells != cells.map(sorted)).sum()),
        "label-strings": images["cell"].nunique(),
        "most-labels": int(cells.str.len().max()),
        "most-images": int(images.groupby("patient").size().max()),
        "oldest": int(images["age"].max()),
        "age-zero": int((images["age"] == 0).sum()),
        "nih-pairs": int((above != 0).sum()),
        "nih-all-pairs": len(totals) * (len(totals) - 1) // 2,
        "nih-totals": int((totals != 0).sum()),
        "nih-alone": int((alone != 0).sum()),
        "nih-pneumonia": int(totals["Pneumonia"]),
        "nih-labels": int(totals.sum()),
        "one-pa-per-patient": first_pa,
    }
    shares = {
        "not-one-pa-per-patient": 1 - first_pa / len(images),
        **{f"ap-{split}": (part.images["view"] == "AP").mean() for split, part in parts.items()},
        **{f"no-finding-{split}": part.labels[NO_FINDING].mean() for split, part in parts.items()},
    }
    ratios = prevalence(data)["ratio"].dropna()
    return {
        **{name: f"{number:,}" for name, number in numbers.items()},
        **{name: percent(share, 0) for name, share in shares.items()},
        "view-auroc": f"{view_auroc(data):.3f}",
        "shift-most": f"{ratios.iloc[0]:.1f}",
        "shift-least": f"{ratios.iloc[-1]:.1f}",
        "shift-most-name": ratios.index[0],
        "shift-least-name": ratios.index[-1],
    }


def age_falls(images):
    """How often a patient is younger than on the image before, in the order of the column `order`."""
    ordered = images.sort_values(["patient", "order"])
    return int((ordered.groupby("patient")["age"].diff() < 0).sum())


def view_auroc(data):
    """Mean test AUROC over the findings of knowing only whether the view is PA or AP.

    A score with two values has AUROC ½ (1 + TPR − FPR). Which view counts as positive is settled on `train`.
    Findings that a split has never, or always, are left out.
    """
    train, test = (ap_excess(data.of(split)) for split in SPLITS)
    return (0.5 + 0.5 * np.sign(train) * test).mean()


def ap_excess(part):
    """Per finding: the share of AP among the images with it less the share among those without."""
    ap = (part.images["view"] == "AP").to_numpy()
    return pd.Series(
        {
            name: ap[found].mean() - ap[~found].mean()
            for name, found in part.findings.items()
            if 0 < found.sum() < len(found)
        },
        dtype=float,
    )


def list_newlines(archive):
    """{name: text}: newline characters in the two lists, which is what `wc -l` counts."""
    lists = {"train": "train_val_list.txt", "test": "test_list.txt"}
    paths = {split: sorted(Path(archive).rglob(name))[0] for split, name in lists.items()}
    counts = {split: path.read_bytes().count(b"\n") for split, path in paths.items()}
    return {f"newlines-{split}": f"{count:,}" for split, count in counts.items()}


def instance(dataset, path="images/00000798_022.png"):
    """The row of one image as Python shows it, its floats as short as float32 allows; the first row without it."""
    paths = dataset["train"]["image_file_path"][:]
    row = dataset["train"][paths.index(path) if path in paths else 0]
    row["original_pixel_spacing"] = [float(str(np.float32(side))) for side in row["original_pixel_spacing"]]
    return f"\n\n```text\n{pprint.pformat(row, sort_dicts=False)}\n```\n\n"


def blocks(dataset, archive):
    """Everything a card has a place for, but the figures: {name: Markdown}.

    dataset: the config `metadata`; archive: the folder it was read from.
    """
    data = read(dataset)
    tables = {name: table(data) for name, table in TABLES.items()}
    return {**tables, **facts(data), **list_newlines(archive), "instance": instance(dataset)}
