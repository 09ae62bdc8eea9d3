"""The dataset card's figures, drawn from the metadata.

They are transparent, in colours of middle brightness, so one file can be read on a light and on a dark page. Each file
holds the SHA-256 of the numbers that it shows. So an outdated figure is found, also after a change of matplotlib.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from chestxray import files
from chestxray.reporting.description_metadata import NO_FINDING, SPLITS, Metadata
from chestxray.reporting.description_tables import commonest_first, per_patient, percent, prevalence
from chestxray.reporting.figure_style import BLUE, GREEN, INK, ORANGE, PURPLE, style
from chestxray.reporting.nih_pairs import pair_counts

TRAIN, TEST = BLUE, ORANGE
FEMALE, MALE = PURPLE, GREEN
COLOURS = dict(zip(SPLITS, (TRAIN, TEST), strict=True))
IDENTIFIER = re.compile(r"<dc:identifier>(\w+)</dc:identifier>")


# What each figure shows: the numbers


def label_shares(data: Metadata) -> pd.DataFrame:
    return pd.DataFrame({split: data.in_split(split).labels.mean() for split in SPLITS}).loc[commonest_first(data)]


def partner_shares(data: Metadata) -> pd.DataFrame:
    """Share of the images with a row's finding that have the column's too; on the diagonal, no other finding."""
    return pair_counts(data).div(data.findings.sum(), axis=0).fillna(0)


def age_counts(data: Metadata) -> pd.DataFrame:
    """Images per five years of age, from 0 to 100 or the oldest: one column for each view and sex."""
    images = data.images
    bins = range(0, max(100, 5 * (int(images["age"].max()) // 5 + 1)) + 1, 5)
    return pd.DataFrame(
        {
            f"{view} {sex}": np.histogram(images["age"][(images["view"] == view) & (images["sex"] == sex)], bins)[0]
            for view in ("PA", "AP")
            for sex in ("F", "M")
        },
        index=bins[:-1],
    )


def patient_shares(data: Metadata) -> pd.DataFrame:
    tables = {split: per_patient(data.in_split(split)) for split in SPLITS}
    return pd.concat({split: table[["of patients", "of images"]] for split, table in tables.items()}, axis=1)


# Drawing


def draw_label_shares(shares: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    axes = figure.add_subplot()
    at = np.arange(len(shares))
    for split, offset in zip(SPLITS, (-0.2, 0.2), strict=True):
        bars = axes.barh(at + offset, 100 * shares[split], 0.38, color=COLOURS[split], label=split)
        axes.bar_label(bars, [percent(share) for share in shares[split]], padding=3, fontsize=8)
    axes.set_yticks(at, shares.index)
    axes.invert_yaxis()
    axes.set_xlabel("% of the split's images")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right")
    return figure


def draw_partners(shares: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(9, 7.2), layout="constrained")
    axes = figure.add_subplot()
    colours = matplotlib.colormaps["cividis"].resampled(25)  # few enough for a colour bar without pixels
    image = axes.pcolormesh(100 * shares, cmap=colours, vmin=0, vmax=max(50, 100 * shares.max(axis=None)))
    axes.set_aspect("equal")
    axes.invert_yaxis()
    names = [name.replace("_", " ") for name in shares]
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in np.ndindex(counts.shape):
        axes.text(column + 0.5, row + 0.5, f"{counts.iloc[row, column]:,}", ha="center", va="center", fontsize=7.5,
                  color="black" if shares.iloc[row, column] > 0.25 else "white",
                  fontweight="bold" if row == column else "normal")  # fmt: skip
    bar = figure.colorbar(image, shrink=0.9, pad=0.02)
    bar.set_label("% of the images with the row's finding; on the diagonal, no other finding")
    bar.outline.set_visible(False)
    return figure


def draw_ages(counts: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, view in zip(panels, ("PA", "AP"), strict=True):
        edges = [*counts.index, counts.index[-1] + 5]
        for sex, colour in (("F", FEMALE), ("M", MALE)):
            axes.stairs(counts[f"{view} {sex}"], edges, fill=True, color=colour, alpha=0.25)
            axes.stairs(counts[f"{view} {sex}"], edges, color=colour, linewidth=2, label=sex)
        axes.set_title(f"{view}, {counts[[f'{view} F', f'{view} M']].to_numpy().sum():,} images")
        axes.set_xlabel("age, years")
        axes.set_xlim(0, edges[-1])
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("images per five years of age")
    panels[1].legend(title="sex")
    return figure


def draw_patient_shares(shares: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    at = np.arange(len(shares))
    for axes, unit in zip(figure.subplots(1, 2, sharey=True), ("of patients", "of images"), strict=True):
        for split, offset in zip(SPLITS, (-0.2, 0.2), strict=True):
            bars = axes.bar(at + offset, 100 * shares[split, unit], 0.38, color=COLOURS[split], label=split)
            axes.bar_label(bars, [f"{100 * share:.0f}" for share in shares[split, unit]], padding=2, fontsize=8)
        axes.set_title(f"% {unit}")
        axes.set_xticks(
            at, [name.replace(" to ", "–").replace("51 or more", "51+") for name in shares.index], fontsize=9
        )
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("images of the patient in the split")
    axes.legend()
    return figure


def draw_shift(shares: pd.DataFrame) -> Figure:
    """A logarithmic axis has no place for 0, so a finding that a split lacks is named below the axis."""
    in_both = (shares[list(SPLITS)] > 0).all(axis=1)
    lost, shares = shares.index[~in_both], shares[in_both]
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    at = np.arange(len(shares))
    axes.hlines(at, 100 * shares["train"], 100 * shares["test"], color=INK, linewidth=2, alpha=0.6)
    for split in SPLITS:
        axes.plot(100 * shares[split], at, "o", color=COLOURS[split], markersize=8, label=split)
    for row, ratio in enumerate(shares["ratio"]):
        axes.text(100 * shares["test"].iloc[row] * 1.12, row, f"× {ratio:.2f}", va="center", fontsize=9)
    axes.set_yticks(at, shares.index)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50], ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    values = 100 * shares[list(SPLITS)].to_numpy().ravel()
    axes.set_xlim(min([0.12, *values / 1.3]), max([40, *3 * values[values > 25]]))  # room for the dot and the ratio
    missing = f"\nnot drawn, because a split has none: {', '.join(lost)}" if len(lost) else ""
    axes.set_xlabel(f"% of the split's images, logarithmic{missing}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.legend(loc="lower right")
    return figure


# Figures with their alternative texts


class CardFigure(NamedTuple):
    """A figure of the card: what draws it, the digest of its numbers, and the text for readers who do not see it."""

    draw: Callable[[], Figure]
    digest: str
    alternative: str


def card_figures(data: Metadata) -> dict[str, CardFigure]:
    labels, ages, patients, shift = label_shares(data), age_counts(data), patient_shares(data), prevalence(data)
    shares, counts = partner_shares(data), pair_counts(data)
    return {
        "label-distribution": CardFigure(
            lambda: draw_label_shares(labels), digest_tables(labels), describe_labels(labels)
        ),
        "co-occurrence": CardFigure(
            lambda: draw_partners(shares, counts), digest_tables(shares, counts), describe_partners(shares)
        ),
        "age-by-sex-and-view": CardFigure(lambda: draw_ages(ages), digest_tables(ages), describe_ages(ages)),
        "images-per-patient": CardFigure(
            lambda: draw_patient_shares(patients), digest_tables(patients), describe_patients(patients)
        ),
        "prevalence-shift": CardFigure(lambda: draw_shift(shift), digest_tables(shift), describe_shift(shift)),
    }


def describe_labels(shares: pd.DataFrame) -> str:
    findings = shares.drop(NO_FINDING)

    def both(label):
        return " and ".join(percent(share, 0 if share > 0.01 else 1) for share in shares.loc[label, list(SPLITS)])

    return (
        f"Bars: share of the images with each label, in train and in test. No Finding {both(NO_FINDING)}; from "
        f"{findings.index[0]}, {both(findings.index[0])}, down to {findings.index[-1]}, {both(findings.index[-1])}. "
        f"{(findings['test'] > findings['train']).sum()} of the {len(findings)} findings are commoner in test."
    )


def describe_partners(rows: pd.DataFrame) -> str:
    pairs = rows.where(~np.eye(len(rows), dtype=bool), -1).stack()
    one, other = pairs.idxmax()
    alone = pd.Series(np.diag(rows), rows.index)
    return (
        f"Matrix of the {len(rows)} findings: number of images with both, coloured by its share of the row's images. "
        f"The strongest pair is {one} with {other}, {percent(pairs.max(), 0)} of the images with {one}. On the "
        f"diagonal, the finding alone: from {percent(alone.min(), 0)} for {alone.idxmin()} to "
        f"{percent(alone.max(), 0)} for {alone.idxmax()}."
    )


def describe_ages(counts: pd.DataFrame) -> str:
    views = [
        f"{view} {counts[f'{view} F'].sum():,} F, {counts[f'{view} M'].sum():,} M, most often "
        f"{(most := counts[[f'{view} F', f'{view} M']].sum(axis=1).idxmax())} to {most + 4} years old"
        for view in ("PA", "AP")
    ]
    return f"Histograms of age by sex, one for each view: {'; '.join(views)}."


def describe_patients(shares: pd.DataFrame) -> str:
    single, many = shares.iloc[0], shares.iloc[-2:].sum()
    return (
        f"Bars: images per patient. {percent(single['train', 'of patients'], 0)} of the patients in train and "
        f"{percent(single['test', 'of patients'], 0)} in test have a single image. Patients with more than 20 give "
        f"{percent(many['train', 'of images'], 0)} of the images in train and "
        f"{percent(many['test', 'of images'], 0)} in test."
    )


def describe_shift(shares: pd.DataFrame) -> str:
    shares = shares.dropna()
    return (
        "Lines from each finding's share of the images in train to its share in test, on a logarithmic axis: from "
        f"{shares.index[0]}, {shares['ratio'].iloc[0]:.2f} times as common in test, to {shares.index[-1]}, "
        f"{shares['ratio'].iloc[-1]:.2f} times."
    )


def digest_tables(*tables: pd.DataFrame) -> str:
    return files.digest(*(table.to_csv(float_format="%.6f") for table in tables))


# The card


def figure_blocks(data: Metadata, folder: str) -> dict[str, str]:
    """{name of a place: Markdown image}, for the card's places of figures. folder: seen from the card."""
    return {
        f"figure-{name}": f"\n\n![{figure.alternative}]({folder}/{name}.svg)\n\n"
        for name, figure in card_figures(data).items()
    }


def outdated_figures(data: Metadata, folder: Path) -> list[str]:
    """Names of the figures that are not in `folder` or show other numbers."""
    return [
        name
        for name, figure in card_figures(data).items()
        if not (file := folder / f"{name}.svg").is_file() or IDENTIFIER.findall(file.read_text()) != [figure.digest]
    ]


def write_figures(data: Metadata, folder: Path) -> None:
    """Write the figures to `folder` as SVG, the same bytes each time with the same matplotlib."""
    with matplotlib.rc_context(style(10)):
        for name, figure in card_figures(data).items():
            metadata = {"Identifier": figure.digest, "Title": figure.alternative, "Date": None, "Creator": None}
            figure.draw().savefig(folder / f"{name}.svg", transparent=True, metadata=metadata)
