"""All numbers about where a model looks: its heatmaps, those of a rival, and what can be reached without the image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from chestxray.places import public_about
from chestxray.scoring import image_blind, published_localisation
from chestxray.scoring.boxed_heatmaps import BoxedHeatmaps
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.localisation import Localised, localise
from chestxray.scoring.localisation_measures import Measure
from chestxray.scoring.localisation_table import compare, summarise
from chestxray.scoring.patient_means import MACRO
from chestxray.scoring.plain_values import to_plain_values

MODEL, BLIND, CHANCE, UNTRAINED = "this model", "image-blind", "random map", "random weights"


@dataclass(frozen=True)
class Localisation:
    """Numbers of one model's heatmaps on the boxes of one split.

    Attributes:
        about: the metadata of the heatmaps, as others may read them, with `n_boxes`, `n_images` and `n_patients`.
        rows: the boxes in the model's view.
        methods: {name: what it reaches}; MODEL, BLIND and CHANCE, and UNTRAINED if it was asked for.
        table: see `localisation_table.summarise`.
        beyond_blind: the model less BLIND on the same boxes, see `localisation_table.compare`.
        rival: `about` of the heatmaps that the model is compared with, or None.
        comparison: see `localisation_table.compare`, or None.
        notes: what a reader must know, one sentence each.
    """

    about: dict
    rows: BoxedRows
    methods: dict[str, Localised]
    table: pd.DataFrame
    beyond_blind: pd.DataFrame
    rival: dict | None
    comparison: pd.DataFrame | None
    notes: list[str]

    def value(self, method: str, measure: Measure, finding: str = MACRO) -> dict[str, Any]:
        """One row of `table`: `value`, `low`, `high`, `boxes`, `patients`."""
        return self._rows[method, finding, measure]

    @cached_property
    def _rows(self) -> dict[tuple[str, str, Measure], dict[str, Any]]:
        return {(row["method"], row["finding"], measure_of(row)): row for row in self.table.to_dict("records")}

    @property
    def findings(self) -> list[str]:
        return sorted(set(self.rows.findings))


def measure_of(row: Mapping[str, Any]) -> Measure:
    """The measure of a row of a table; `above` is NaN or None where it has none."""
    above = row["above"]
    return Measure(row["rule"], row["quantity"], None if above is None or math.isnan(above) else above)


def localise_model(
    boxed: BoxedHeatmaps,
    rival: BoxedHeatmaps | None = None,
    untrained: BoxedHeatmaps | None = None,
    notes: Sequence[str] = (),
    listed: bool = False,
) -> Localisation:
    """Measure a model, and what it must beat, on the same boxes.

    Args:
        rival: another model's heatmaps, or another method's, of the same boxes.
        untrained: heatmaps of the model with random weights.
        notes: added to those of the dataset.
        listed: whether a person named the images.
    """
    rows = boxed.rows
    methods = {
        MODEL: localise(boxed.maps, rows, boxed.places),
        BLIND: image_blind.localise_by_others(rows),
        CHANCE: image_blind.localise_at_random(rows, tuple(boxed.about["grid"]), boxed.places),
    }
    if untrained:
        methods[UNTRAINED] = localise(untrained.maps, untrained.rows, untrained.places)
    other = localise(rival.maps, rival.rows, rival.places) if rival else None
    comparison = compare(methods[MODEL], other, rows) if other else None
    counts = {"n_boxes": len(rows), "n_images": len(set(rows.images)), "n_patients": len(set(rows.patients))}
    return Localisation(
        about=public_about(boxed.about) | counts | {"listed": listed},
        rows=rows,
        methods=methods,
        table=summarise(methods, rows),
        beyond_blind=compare(methods[MODEL], methods[BLIND], rows),
        rival=public_about(rival.about) if rival else None,
        comparison=comparison,
        notes=[*boxed.about.get("notes", []), *notes],
    )


def as_json(result: Localisation) -> dict:
    """localisation.json: tables as lists of rows, what is undefined as null. It names no image and no patient."""
    tables = {
        "table": result.table,
        "published": published_localisation.as_table(),
        "beyond_blind": result.beyond_blind,
        "comparison": result.comparison,
    }
    rows = {name: None if table is None else table.to_dict("records") for name, table in tables.items()}
    return to_plain_values({"about": result.about, "notes": result.notes, "rival": result.rival, **rows})
