"""The runs of an ablation as rows: each change with its scores, its difference to the base, and what failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chestxray.data.predictions import Predictions
from chestxray.scoring.ablation import Difference, Score, compare_changes, score, verdict
from chestxray.scoring.learning_curve import FULL, Curve, fit_curve


@dataclass(frozen=True)
class RunResult:
    """One finished run. `within` is its score from pairs within strata, None without strata."""

    score: Score
    within: Score | None
    best_epoch: int
    seconds: float
    train_images: int


@dataclass(frozen=True)
class Row:
    """One change, or the base.

    Attributes:
        name: of the change; settings: what it changes, in words.
        runs: the finished ones, one per seed. failures: {seed: the last line of a run that failed}.
        difference, within: to the base, of the AUROC over all pairs and over pairs within strata; None if unknown.
    """

    name: str
    settings: str
    runs: Sequence[RunResult]
    failures: Mapping[int, str] = field(default_factory=dict)
    difference: Difference | None = None
    within: Difference | None = None

    def aurocs(self, within: bool = False) -> list[float]:
        return [run.auroc for run in self.scores(within)]

    def scores(self, within: bool = False) -> list[Score]:
        return [run.within if within and run.within else run.score for run in self.runs]


@dataclass(frozen=True)
class Ablation:
    """All that the page shows.

    Attributes:
        about: of the predictions, see `Predictions.about`; n_images, n_patients: of validation.
        rows: the base first. points: of the learning curve, fewest images first.
        base: the base's settings, in words.
        column: the column of the strata, None without; strata: {stratum: images}.
        curve: None without enough points.
    """

    about: dict
    n_images: int
    n_patients: int
    n_findings: int
    base: str
    rows: Sequence[Row]
    points: Sequence[Row]
    column: str | None = None
    strata: Mapping[str, int] = field(default_factory=dict)
    curve: Curve | None = None


def align(predictions: Predictions, first: Predictions) -> Predictions:
    """The rows in the order of another run's. Raises ValueError if they are other images or labels."""
    place = {path: row for row, path in enumerate(predictions.rows["image_file_path"])}
    order = [place.get(path, -1) for path in first.rows["image_file_path"]]
    if -1 in order or len(place) != len(order) or predictions.findings != first.findings:
        raise ValueError("its validation images or findings are not those of the other runs")
    aligned = predictions.where(np.array(order))
    if not np.array_equal(aligned.targets, first.targets, equal_nan=True):
        raise ValueError("its validation labels are not those of the other runs")
    return aligned


def score_both(predictions: Predictions, seed: int, strata: np.ndarray | None) -> tuple[Score, Score | None]:
    """A run's score over all pairs, and over pairs within strata."""
    return score(predictions, seed), None if strata is None else score(predictions, seed, strata)


def add_differences(rows: Sequence[Row]) -> list[Row]:
    """The rows with their differences to the first one, the base."""
    base, *changes = (row.name for row in rows)
    compared = [
        compare_changes({row.name: row.scores(within) for row in rows if row.runs}, base, changes)
        for within in (False, True)
    ]
    has_strata = any(run.within for row in rows for run in row.runs)
    return [
        replace(row, difference=compared[0].get(row.name), within=compared[1].get(row.name) if has_strata else None)
        for row in rows
    ]


def fit_points(points: Sequence[Row]) -> Curve | None:
    """The learning curve through rows, None if fewer than three numbers of images have a run."""
    trained = [row for row in points if row.runs]
    images = [row.runs[0].train_images for row in trained]
    return fit_curve(images, [row.scores() for row in trained]) if len(set(images)) > 2 else None


# JSON


def as_json(ablation: Ablation) -> dict[str, Any]:
    """Everything that the page shows, as JSON."""
    return {
        "dataset": ablation.about.get("dataset"),
        "synthetic": ablation.about.get("synthetic"),
        "validation_images": ablation.n_images,
        "validation_patients": ablation.n_patients,
        "findings": ablation.n_findings,
        "base": ablation.base,
        "within": ablation.column,
        "strata": dict(ablation.strata),
        "changes": [row_json(row) for row in ablation.rows],
        "learning_curve": [row_json(row) for row in ablation.points],
        "fit": curve_json(ablation.curve) if ablation.curve else None,
    }


def row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "settings": row.settings,
        **{name: None if value != value else value for name, value in row_figures(row).items()},
        "runs": [
            {
                "seed": run.score.seed,
                "auroc": none_if_nan(run.score.auroc),
                "auroc_within": none_if_nan(run.within.auroc) if run.within else None,
                "best_epoch": run.best_epoch,
                "seconds": round(run.seconds, 1),
                "train_images": run.train_images,
            }
            for run in row.runs
        ],
        "failures": {str(seed): line for seed, line in row.failures.items()},
    }


def row_figures(row: Row) -> dict[str, Any]:
    """A row as flat figures, for CSV too; NaN where undefined."""
    figures: dict[str, Any] = {"seeds": len(row.runs)}
    for ending, within, difference in (("", False, row.difference), ("_within", True, row.within)):
        aurocs = row.aurocs(within) if not within or any(run.within for run in row.runs) else []
        figures |= {
            f"auroc{ending}": float(np.mean(aurocs)) if aurocs else np.nan,
            f"spread{ending}": spread(aurocs),
        }
        values = vars(difference) if difference else {}
        for name in ("value", "low", "high", "p", "p_holm", "patients", "seeds"):
            figures[f"difference_{name}{ending}"] = values.get(name, np.nan)
        figures[f"verdict{ending}"] = verdict(difference) if difference else ""
    figures["best_epochs"] = " ".join(str(run.best_epoch) for run in row.runs)
    figures["seconds"] = float(np.mean([run.seconds for run in row.runs])) if row.runs else np.nan
    return figures


def curve_json(curve: Curve) -> dict[str, Any]:
    low, high = curve.interval(FULL)
    return {
        "a": curve.a,
        "b": curve.b,
        "c": curve.c,
        "extrapolated_to": FULL,
        "auroc": float(curve.at(FULL)),
        "auroc_low": float(low[0]),
        "auroc_high": float(high[0]),
    }


def spread(aurocs: Sequence[float]) -> float:
    """The standard deviation over seeds; NaN of one."""
    return float(np.std(aurocs, ddof=1)) if len(aurocs) > 1 else np.nan


def none_if_nan(value: float) -> float | None:
    return None if value != value else value
