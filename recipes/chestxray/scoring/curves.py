"""What every possible threshold of a finding would call positive: the points of its curves."""

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """The calls of n images at each of m thresholds, which are the scores that occur, the highest first.

    Attributes:
        levels: (m,) the thresholds; an image is called positive at or above.
        found, wrong: (m,) int, positives and negatives that are called.
    """

    levels: np.ndarray
    found: np.ndarray
    wrong: np.ndarray

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """(1 - specificity, sensitivity), (m + 1,) each, from the point (0, 0) to the point (1, 1)."""
        false_rate, true_rate = (np.append(0, calls) / calls[-1] for calls in (self.wrong, self.found))
        return false_rate, true_rate

    @property
    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """(precision, recall), (m,) each."""
        return self.found / (self.found + self.wrong), self.found / self.found[-1]


def count_calls(positive: np.ndarray, scores: np.ndarray) -> Curve:
    """The curve of one finding. positive: (n,) of 0 and 1 or bool, both of them present; scores: (n,)."""
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(positive[order], dtype=np.int64)
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of the images with one score
    return Curve(scores[last], found[last], 1 + last - found[last])
