"""What a page and a terminal show of a model against radiologists. The words are in templates/readers*.jinja."""

import math

import pandas as pd

from chestxray.reporting import pages
from chestxray.reporting.tables import Table, between, figure, p_value
from chestxray.scoring.readers import RESAMPLES, ReaderScores


def page_values(scores: ReaderScores, split: str) -> dict:
    """What the templates name as `readers`."""
    return {
        **{key: getattr(scores, key) for key in ("file", "left_out", "n_scored", "n_covered", "n_unused")},
        "split": split,
        "resamples": RESAMPLES,
        "has_unions": any(" or " in findings for findings in scores.table.get("findings", [])),
        "findings": scores.table.get("findings", {}),
        "reasons": dict(scores.table.get("reason", {})),
        "scores": scores_table(scores),
        "agreement": agreement_table(scores),
    }


def screen_lines(scores: ReaderScores, split: str) -> list[str]:
    """Sentences and tables for a terminal."""
    values = page_values(scores, split)
    return [
        pages.sentences("readers.jinja", readers=values),
        values["scores"].text(),
        "",
        pages.sentences("readers_labels.jinja", readers=values),
        values["agreement"].text(),
    ]


def scores_table(scores: ReaderScores) -> Table:
    """The model against the readers and against the labels."""
    header = ["readers' column", "images", "positives", "AUROC, readers", "95% interval"]
    header += ["AUROC, labels", "95% interval", "difference", "95% interval", "p"]
    return Table(header, [scores_row(str(name), row) for name, row in scores.table.iterrows()])


def scores_row(name: str, row: pd.Series) -> list[str]:
    low, high = row["difference_low"], row["difference_high"]
    return [
        name,
        f"{row['images']:,}",
        f"{row['read']:,}",
        figure(row["reader_auroc"]),
        between(row["reader_auroc_low"], row["reader_auroc_high"]),
        figure(row["label_auroc"]),
        between(row["label_auroc_low"], row["label_auroc_high"]),
        "–" if math.isnan(row["difference"]) else f"{row['difference']:+.3f}",
        "–" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}",
        p_value(row["p_value"]),
    ]


def agreement_table(scores: ReaderScores) -> Table:
    """The dataset's labels against the readers."""
    header = ["readers' column", "images", "readers' positives", "labels' positives", "both", "sensitivity", "PPV"]
    rows = [
        [
            str(name),
            *(f"{row[key]:,}" for key in ("images", "read", "labelled", "both")),
            *(figure(row[key]) for key in ("sensitivity", "ppv")),
        ]
        for name, row in scores.table.iterrows()
    ]
    return Table(header, rows)
