"""NIH's own table of findings that occur together, and how far these labels differ from it."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from chestxray.reporting.description_metadata import Metadata

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


class Difference(NamedTuple):
    """Images in these labels less images in NIH's table, by finding in NIH's order.

    Attributes:
        totals: with the finding at all.
        alone: with that finding and no other.
        pairs: with both findings (findings × findings), 0 on the diagonal.
    """

    totals: pd.Series
    alone: pd.Series
    pairs: pd.DataFrame


def pair_counts(data: Metadata) -> pd.DataFrame:
    """Images with both findings (findings × findings); on the diagonal, with that finding and no other."""
    found = data.findings.astype(int)
    counts = found.T @ found
    alone = found[found.sum(axis=1) == 1].sum()
    return counts.where(~np.eye(len(counts), dtype=bool), alone, axis=0)


def nih_counts() -> tuple[pd.DataFrame, pd.Series]:
    """NIH's table in the form of `pair_counts`, and its totals by finding."""
    *counts, totals = (list(map(int, line.split())) for line in NIH_TABLE.strip().splitlines())
    return pd.DataFrame(counts, NIH_FINDINGS, NIH_FINDINGS), pd.Series(totals, NIH_FINDINGS)


def compare_with_nih(data: Metadata) -> Difference:
    counts, totals = nih_counts()
    difference = pair_counts(data).loc[NIH_FINDINGS, NIH_FINDINGS] - counts
    alone = pd.Series(np.diag(difference), NIH_FINDINGS)
    pairs = difference.where(~np.eye(len(difference), dtype=bool), 0)
    return Difference(data.findings.sum()[NIH_FINDINGS] - totals, alone, pairs)
