"""Models of some hospitals at others: every model's AUROC on every dataset, over the findings that all of them know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chestxray.data import predictions
from chestxray.data.labels import canonical
from chestxray.data.predictions import Predictions
from chestxray.places import last_part, place, public_name
from chestxray.scoring.plain_values import to_plain_values
from multilabel_auroc import auroc_report

QUANTITIES = ("auroc", "auroc_low", "auroc_high")
COUNTS = ("positives", "negatives")


@dataclass(frozen=True)
class Model:
    """One row.

    Attributes:
        name: in tables and files; checkpoint: its folder.
        trained_on: the datasets of its settings.yaml, [] without that file; trained_equalized: whether their
            histograms were equalised, None without.
        views, labeler, equalized: the images and labels that it is scored on, and whether histograms are equalised.
    """

    name: str
    checkpoint: str
    trained_on: list[str]
    trained_equalized: bool | None
    views: str
    labeler: str
    equalized: bool


@dataclass(frozen=True)
class Target:
    """One column: `name` in tables and files, the folder or Hub id, and the labeler of MIMIC-CXR (otherwise None)."""

    name: str
    source: str
    labeler: str | None = None


@dataclass(frozen=True)
class Transfer:
    """Every model on every dataset.

    Attributes:
        findings: canonical names of what all models have and all datasets label.
        averaged: the findings that have positives and negatives in every dataset's split. All means are over these.
        cells: {(model's name, dataset's name): what `score_cell` returns}.
        about: {dataset's name: the `about` of its predictions}.
    """

    split: str
    views: str
    models: list[Model]
    targets: list[Target]
    findings: list[str]
    averaged: list[str]
    cells: dict[tuple[str, str], dict]
    about: dict[str, dict]


# Before anything is predicted


def common_choice(name: str, models: Sequence[Model]) -> str:
    """The `views` or `labeler` that all models have: all are scored on the same images and labels.

    Raises ValueError if they differ. They never differ if the command line sets the value.
    """
    values = {model.name: getattr(model, name) for model in models}
    if len(set(values.values())) > 1:
        differ = ", ".join(f"{value} for {model}" for model, value in values.items())
        raise ValueError(f"the models were trained with different {name}: {differ}. Give --{name}")
    return values[models[0].name]


def shared_findings(known: Mapping[str, Sequence[str]]) -> list[str]:
    """The canonical findings that are in all of `known`, {who: list of findings}, in the order of the first.

    Raises ValueError if there are none; the message says who knows which.
    """
    canonicals = [list(map(canonical, findings)) for findings in known.values()]
    common = [finding for finding in canonicals[0] if all(finding in others for others in canonicals)]
    if not common:
        lists = "; ".join(f"{who}: {', '.join(findings)}" for who, findings in known.items())
        raise ValueError(
            f"no finding is known to all of these models and datasets, so nothing can be compared. {lists}"
        )
    return common


def predictions_file(model: Model, target: Target) -> str:
    """The name of a file that says who is scored on what and how, so that another choice is another file."""
    choices = [
        "frontal" if model.views == "frontal" else "",
        target.labeler if target.labeler not in (None, "chexpert") else "",
        "equalized" if model.equalized else "",
    ]
    return "-".join(filter(None, [model.name, "on", target.name, *choices])) + ".parquet"


# Numbers


def score_transfer(
    models: list[Model],
    targets: list[Target],
    files: Mapping[tuple[str, str], Path],
    findings: list[str],
    split: str,
    views: str,
) -> Transfer:
    """Score every model on every dataset.

    Args:
        files: {(model's name, dataset's name): a predictions file that holds `split`}.
        findings: see `shared_findings`.

    Raises:
        FileNotFoundError, ValueError: as `predictions.read` and `Predictions.of`.
    """
    tables = {pair: select_findings(predictions.read(file).of(split), findings) for pair, file in files.items()}
    both = np.all([[len(set(labels[~np.isnan(labels)])) == 2 for labels in t.targets.T] for t in tables.values()], 0)
    averaged = [finding for finding, defined in zip(findings, both, strict=True) if defined]
    cells = {pair: score_cell(table, averaged) for pair, table in tables.items()}
    about = {name: table.about for (_, name), table in tables.items()}
    return Transfer(split, views, models, targets, findings, averaged, cells, about)


def select_findings(table: Predictions, findings: list[str]) -> Predictions:
    """Predictions of some findings, in their order and by their canonical names."""
    names = [canonical(name) for name in table.findings]
    columns = [names.index(finding) for finding in findings]
    return replace(table, logits=table.logits[:, columns], targets=table.targets[:, columns], findings=findings)


def score_cell(table: Predictions, averaged: list[str]) -> dict:
    """AUROC of one model on one dataset.

    Returns:
        `QUANTITIES`, of the mean over `averaged`, NaN if that is empty; `n_images`, `n_patients`, `sha256` of the
        weights; and `findings`, {name: `QUANTITIES` and `COUNTS` of it}.
    """
    whole = auroc_by_patient(table)
    mean = auroc_by_patient(select_findings(table, averaged)) if averaged else dict.fromkeys(QUANTITIES, float("nan"))
    each = {name: {key: whole[f"{key}/{name}"] for key in (*QUANTITIES, *COUNTS)} for name in table.findings}
    about = {
        "n_images": whole["n_images"],
        "n_patients": whole["n_groups"],
        "sha256": table.about["models"][0]["sha256"],
    }
    return {key: mean[key] for key in QUANTITIES} | about | {"findings": each}


def auroc_by_patient(table: Predictions) -> dict:
    """See `auroc_report`; the patient is the unit of the intervals."""
    return auroc_report(table.logits, table.targets, table.rows["patient"], label_names=table.findings)


def is_home(model: Model, target: Target) -> bool:
    """Whether a model was trained on a dataset: the same folder, however it is spelt, or the same Hub id."""
    return place(target.source) in map(place, model.trained_on)


def as_json(result: Transfer) -> dict:
    """A dict of plain Python values. What is undefined is None, because JSON has no NaN."""
    return to_plain_values(
        {
            "split": result.split,
            "views": result.views,
            "findings": result.findings,
            "averaged": result.averaged,
            "models": [
                {
                    "name": model.name,
                    "checkpoint": last_part(model.checkpoint),
                    "trained_on": [public_name(source) for source in model.trained_on],
                    "trained_equalized": model.trained_equalized,
                    "equalized": model.equalized,
                }
                for model in result.models
            ],
            "datasets": [
                {**vars(target), "source": public_name(target.source)}
                | {key: result.about[target.name].get(key) for key in ("dataset", "synthetic")}
                for target in result.targets
            ],
            "cells": [
                {"model": model.name, "dataset": target.name, "trained_on": is_home(model, target)}
                | result.cells[model.name, target.name]
                for model in result.models
                for target in result.targets
            ],
        }
    )
