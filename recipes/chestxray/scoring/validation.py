"""Which findings have enough validation images for a threshold and a calibration, and why the others have none.

A threshold or a slope from three positives is noise. Two numbers say how many are needed:

FEWEST: below it nothing is fitted. With fewer than 5 events per fitted slope the estimates of logistic regression are
often badly off, with 5 to 9 seldom (Vittinghoff & McCulloch 2007, doi 10.1093/aje/kwk052). Platt scaling fits one slope
per finding. A simulation agrees (normal logits, AUROC 0.75, 1,000 negatives, 400 draws, `calibration.fit`). Its columns
are: the positives; how many draws have a slope below zero; the 5th to the 95th percentile of the slope, divided by the
true one; how many draws have a higher expected log loss than the share of positives as everyone's probability.

    2   7.8%  -0.10 to 1.32  8.5%        10  0.2%  0.40 to 1.41  0.2%
    3   4.8%   0.02 to 1.35  4.8%        20    0%  0.56 to 1.32    0%
    5   1.8%   0.18 to 1.40  2.2%        50    0%  0.73 to 1.24    0%

ROUGH: below it a note calls the fit rough, and gives the number of positives or negatives.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from chestxray.data.predictions import Predictions
from chestxray.scoring.subgroups import FEW

FEWEST = 5
ROUGH = FEW  # as for subgroups, so that the page has one meaning of "few"
NEITHER = "no threshold and no calibration, because validation has"


def count(table: Predictions) -> pd.DataFrame:
    """Rows of each finding by class: a DataFrame of `positives` and `negatives`, one row per finding."""
    positives, negatives = ((table.targets == target).sum(axis=0) for target in (1, 0))
    return pd.DataFrame({"positives": positives, "negatives": negatives}, index=table.findings)


def keep_enough(table: Predictions) -> Predictions:
    """The predictions; where a finding has under FEWEST positives or negatives, all its targets become unknown."""
    enough = (count(table) >= FEWEST).all(axis=1).to_numpy()
    return replace(table, targets=np.where(enough, table.targets, np.nan))


def notes(counts: pd.DataFrame, platt: np.ndarray) -> list[str]:
    """Which findings have no threshold or no calibration, and which are rough: one sentence each, with the reason.

    Args:
        counts: of validation, as `count` gives it, for the k findings that the sentences are about.
        platt: (k, 2), as `calibration.fit` gives it for these findings.
    """
    unlabelled = (counts == 0).all(axis=1)
    reasons = [f"{_join_names(unlabelled)}: {NEITHER} no labels for it."] if unlabelled.any() else []
    for kind in counts:
        lacks = ~unlabelled & (counts[kind] < FEWEST)
        if lacks.any():
            numbers = _join_numbers(counts[kind][lacks])
            reasons.append(f"{_join_names(lacks)}: {NEITHER} fewer than {FEWEST} {kind} ({numbers}).")
    enough = (counts >= FEWEST).all(axis=1)
    refused = pd.Series(np.isnan(platt).any(axis=1), counts.index)
    return reasons + _notes_on_fits(counts[enough], refused[enough])


def _notes_on_fits(counts, refused):
    """Sentences about the findings with enough images. refused: which of them have no calibration."""
    fewer, found = counts.min(axis=1), []
    if refused.any():
        found.append(
            f"{_join_names(refused)}: no calibration, because the slope fitted on validation is not above zero. It "
            "would reverse the ranking, or all logits are the same."
        )
    if (rough := fewer < ROUGH).any():
        found.append(
            f"{_join_names(rough)}: threshold and calibration are rough, because validation has fewer than {ROUGH} "
            f"positives or negatives ({_join_numbers(fewer[rough])})."
        )
    return found


def _join_names(chosen):
    """The findings where a boolean Series is True."""
    return ", ".join(chosen.index[chosen])


def _join_numbers(counts):
    return ", ".join(map(str, counts))
