"""The unit that is scored: images, or their studies, or their patients."""

from dataclasses import replace

import numpy as np

from chestxray.data.predictions import Predictions


def aggregate(predictions: Predictions, level: str) -> Predictions:
    """Images as studies or patients: the highest logit and the highest target of each, for each finding.

    CheXpert scores a study by the maximum over its views (Irvin et al. 2019, section 4). A study or patient has the sex
    and the view of its images if they all agree, otherwise none. Its age is the lowest age of its images.

    Raises:
        ValueError: the level is `study`, and the predictions have no such column, or an empty cell in it.
    """
    if level == "image":
        return predictions
    rows = predictions.rows
    keys = ["split", "patient"] + (["study"] if level == "study" else [])
    if missing := [key for key in keys if key not in rows]:
        raise ValueError(f"level {level} needs a column {missing[0]}, which these predictions do not have")
    if (empty := rows[keys].isna().any(axis=1)).any():
        raise ValueError(f"level {level}: {rows['image_file_path'][empty].iloc[0]} has no {keys[-1]}")
    grouped = rows.groupby(keys, sort=False)
    unit = grouped.ngroup().to_numpy()
    order = np.argsort(unit, kind="stable")
    starts = np.searchsorted(unit[order], np.arange(unit.max() + 1))
    merged = grouped.agg({name: _aggregation(name) for name in rows if name not in keys}).reset_index()
    return replace(
        predictions,
        rows=merged[list(rows)],
        logits=np.maximum.reduceat(predictions.logits[order], starts),
        targets=np.fmax.reduceat(predictions.targets[order], starts),  # unknown only if unknown in all
    )


def _aggregation(column):
    if column == "age":
        return "min"
    return _common_value if column in ("sex", "view") else "first"


def _common_value(values):
    return values.iloc[0] if values.nunique(dropna=False) == 1 else None
