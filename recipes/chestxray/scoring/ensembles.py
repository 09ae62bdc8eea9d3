"""Several models as one: the mean probability of their predictions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from chestxray.data.predictions import Predictions, mean_logit


def average(members: Sequence[Predictions], names: Sequence[str] | None = None) -> Predictions:
    """The mean probability of several models on the same images, in the first one's order.

    Args:
        members: one member alone comes back as it is.
        names: of the members, for error messages.

    Raises:
        ValueError: as `match_rows`.
    """
    first, *others = members
    if not others:
        return first
    names = names or [f"predictions {number}" for number in range(len(members))]
    others = [match_rows(other, first, name, names[0]) for other, name in zip(others, names[1:], strict=True)]
    logits = mean_logit(np.stack([first.logits, *(other.logits for other in others)], axis=1), axis=1)
    models = [model for member in members for model in member.about.get("models", [])]
    return replace(first, logits=logits, about={**first.about, "models": models})


def match_rows(other: Predictions, first: Predictions, name: str, first_name: str) -> Predictions:
    """The predictions of `other`, in the order of the images of `first`. An error calls them by their names.

    Raises:
        ValueError: the findings differ; an image is in one of the two only; its split or a target differs. The message
            names the image.
    """
    if list(other.findings) != list(first.findings):
        raise ValueError(f"{name} has the findings {other.findings}, {first_name} has {first.findings}")
    path, theirs = first.rows["image_file_path"], other.rows["image_file_path"]
    for here, there, has, lacks in ((path, theirs, first_name, name), (theirs, path, name, first_name)):
        if not (known := here.isin(there)).all():
            raise ValueError(f"{here[~known].iloc[0]} is in {has} but not in {lacks} ({(~known).sum():,} such images)")
    other = other.where(pd.Index(theirs).get_indexer(path))
    if (differ := (other.rows["split"] != first.rows["split"]).to_numpy()).any():
        raise ValueError(f"{path[differ].iloc[0]} is in another split in {name} than in {first_name}")
    differ = (other.targets != first.targets) & ~(np.isnan(other.targets) & np.isnan(first.targets))
    if differ.any():
        row, column = np.argwhere(differ)[0].tolist()
        raise ValueError(f"{path[row]} has another target for {first.findings[column]} in {name} than in {first_name}")
    return other
