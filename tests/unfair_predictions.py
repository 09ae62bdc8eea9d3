"""Predictions whose unfairness is known, because it was put in."""

import numpy as np
import pandas as pd

from chestxray.data import predictions


def make(n=2_000, seed=0, **columns):
    """Mass is told well on men and not at all on women; Hernia is told by neither, but nearly all of it is on AP."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "image_file_path": [f"{number}.png" for number in range(n)],
            "split": "test",
            "patient": [f"{number // 2:08d}" for number in range(n)],
            "sex": rng.choice(["F", "M"], n),
            "age": rng.integers(0, 95, n),
            "view": rng.choice(["PA", "AP"], n),
            "images": 2,
            **columns,
        }
    )
    targets = (rng.random((n, 2)) < 0.2).astype(float)
    targets[:, 1] = rng.random(n) < np.where(rows["view"] == "AP", 0.3, 0.02)
    logits = rng.normal(size=(n, 2))
    logits[:, 0] += 3 * targets[:, 0] * (rows["sex"] == "M")
    return predictions.Predictions(rows, logits, targets, ["Mass", "Hernia"], {})
