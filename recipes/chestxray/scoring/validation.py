"""What validation can tell of each finding, and why a finding has no threshold or no calibration.

A threshold or a slope from three positives is noise. Two numbers say from where on it is not:

FEWEST: below it nothing is fitted. With fewer than 5 events per fitted slope the estimates of logistic regression are
often badly off, with 5 to 9 seldom (Vittinghoff & McCulloch 2007, doi 10.1093/aje/kwk052). Platt scaling fits one slope
per finding. Normal logits (AUROC 0.75, 1,000 negatives, 400 draws, `calibration.fit`) agree. By positives: draws with
a slope below zero; 5th to 95th percentile of the slope over the true one; draws with a higher expected log loss than
the share of positives as everyone's probability:

    2   7.8%  -0.10 to 1.32  8.5%        10  0.2%  0.40 to 1.41  0.2%
    3   4.8%   0.02 to 1.35  4.8%        20    0%  0.56 to 1.32    0%
    5   1.8%   0.18 to 1.40  2.2%        50    0%  0.73 to 1.24    0%

ROUGH: below it what is fitted is named as rough, with the number of positives or negatives it rests on.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from chestxray.scoring.subgroups import FEW

FEWEST = 5
ROUGH = FEW  # as for subgroups, so that the page has one meaning of "few"


def count(table):
    """Rows of each finding by class: a DataFrame of `positives` and `negatives`, one row per finding."""
    positives, negatives = ((table.targets == target).sum(axis=0) for target in (1, 0))
    return pd.DataFrame({"positives": positives, "negatives": negatives}, index=table.findings)


def keep_enough(table):
    """The predictions, with every target of a finding with under FEWEST positives or negatives set to unknown."""
    enough = (count(table) >= FEWEST).all(axis=1).to_numpy()
    return replace(table, targets=np.where(enough, table.targets, np.nan))


def notes(counts, platt):
    """What has no threshold or no calibration, and what is rough: one sentence each, with the reason.

    Args:
        counts: of validation, as `count` gives it, for the findings to speak of.
        platt: (k, 2), as `calibration.fit` gives it for these findings.
    """
    refused, reasons = pd.Series(np.isnan(platt).any(axis=1), counts.index), []
    unlabelled = (counts == 0).all(axis=1)
    few = {kind: ~unlabelled & (counts[kind] < FEWEST) for kind in counts}
    if unlabelled.any():
        reasons.append(
            f"{names(unlabelled)}: no threshold and no calibration, because validation has no labels for it."
        )
    for kind, lacks in few.items():
        if lacks.any():
            reasons.append(
                f"{names(lacks)}: no threshold and no calibration, because validation has fewer than {FEWEST} {kind} "
                f"({numbers(counts[kind][lacks])})."
            )
    enough = ~(unlabelled | few["positives"] | few["negatives"])
    if (turned := enough & refused).any():
        reasons.append(
            f"{names(turned)}: no calibration, because the slope fitted on validation is not above zero and would turn "
            "the ranking round."
        )
    if (rough := enough & (counts.min(axis=1) < ROUGH)).any():
        reasons.append(
            f"{names(rough)}: what is fitted is rough, because validation has fewer than {ROUGH} positives or "
            f"negatives ({numbers(counts.min(axis=1)[rough])})."
        )
    return reasons


def names(chosen):
    """The findings that a boolean Series chooses."""
    return ", ".join(chosen.index[chosen])


def numbers(counts):
    return ", ".join(map(str, counts))
