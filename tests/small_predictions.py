"""Predictions of four images, for tests that need some."""

import numpy as np
import pandas as pd

from chestxray.data import predictions

FINDINGS = ["Mass", "Hernia"]


def make(paths=("a", "b", "c", "d"), seed=0, **columns):
    """Two images in validation, two in test, each of its own patient unless `columns` say otherwise."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "image_file_path": paths,
            "split": ["validation"] * 2 + ["test"] * 2,
            "patient": ["1", "2", "3", "4"],
            **columns,
        }
    )
    targets = np.array([[0, 1], [1, 0], [0, 1], [1, 0.0]])
    about = {"dataset": "made up", "source": "nowhere", "synthetic": True, "models": [{"checkpoint": f"m{seed}"}]}
    return predictions.Predictions(
        rows, rng.normal(size=(4, 2)).astype(np.float32).astype(float), targets, FINDINGS, about
    )
