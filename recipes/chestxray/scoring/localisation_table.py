"""Measures of several methods as a table over findings, and the paired difference of two methods."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.localisation import Localised
from chestxray.scoring.localisation_measures import MEASURES, Measure
from chestxray.scoring.patient_means import MACRO, average


def summarise(methods: Mapping[str, Localised], rows: BoxedRows, n_resamples: int = 1000) -> pd.DataFrame:
    """Each measure of each method per finding, and the mean of the findings.

    Args:
        methods: {name: what it reaches on `rows`}.

    Returns:
        A DataFrame with a row per method, finding ("mean" last) and measure: `method`, `finding`, `rule`, `quantity`,
        `above` (NaN where the measure has none), `value`, `low`, `high` (95%, over patients), `boxes` and `patients`,
        how many of the finding there are.
    """
    tables = []
    for method, localised in methods.items():
        means = average(localised.values, rows.findings, rows.patients, n_resamples)
        columns = dict(zip(("value", "low", "high"), (means.values, *means.interval()), strict=True))
        tables.append(as_table(columns, rows).assign(method=method))
    table = pd.concat(tables, ignore_index=True)
    return table[["method", *(name for name in table if name != "method")]]


def compare(a: Localised, b: Localised, rows: BoxedRows, n_resamples: int = 1000) -> pd.DataFrame:
    """The paired difference of two methods or models on the same boxes: A minus B.

    Returns:
        As `summarise`, without `method`: `a`, `b`, `difference`, `low`, `high` (95%, of the difference, over patients)
        and `p_value`, two-sided, from the same resamples.
    """
    pair = (average(part.values, rows.findings, rows.patients, n_resamples).values for part in (a, b))
    means = average(a.values - b.values, rows.findings, rows.patients, n_resamples)
    names = ("a", "b", "difference", "low", "high", "p_value")
    columns = (*pair, means.values, *means.interval(), means.p_values())
    return as_table(dict(zip(names, columns, strict=True)), rows)


def as_table(columns: Mapping[str, np.ndarray], rows: BoxedRows) -> pd.DataFrame:
    """A row per finding and measure, from {column: (findings + 1, measures)}."""
    names = [*np.unique(rows.findings), MACRO]
    of = {name: rows.findings == name for name in names} | {MACRO: np.ones(len(rows), bool)}
    index = pd.DataFrame([(name, *measure) for name in names for measure in MEASURES])
    index.columns = ["finding", "rule", "quantity", "above"]
    counts = {name: (int(chosen.sum()), len(set(rows.patients[chosen]))) for name, chosen in of.items()}
    boxes, patients = zip(*(counts[name] for name in index["finding"]), strict=True)
    return index.assign(
        above=index["above"].astype(float),
        **{name: values.reshape(-1) for name, values in columns.items()},
        boxes=boxes,
        patients=patients,
    )


def rows_of(table: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """The rows of one measure in a table of `summarise`, of `compare`, or of `published_localisation.as_table`."""
    above = table["above"].isna() if measure.above is None else np.isclose(table["above"], measure.above)
    chosen = (table["rule"] == measure.rule) & (table["quantity"] == measure.quantity) & above
    return table[chosen].reset_index(drop=True)
