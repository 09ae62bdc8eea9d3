"""Means over findings and their intervals, against a loop over resampled tables."""

import numpy as np
import pandas as pd
import pytest

from chestxray.scoring import patient_means


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    patients = rng.integers(30, size=80).astype(str)
    findings = rng.choice(["Mass", "Nodule", "Edema"], 80)
    values = (rng.random((80, 2)) < 0.4).astype(float)
    values[::7, 1] = np.nan
    return values, findings, patients


def test_means_and_resamples_are_those_of_the_table(sample):
    values, findings, patients = sample
    means = patient_means.average(values, findings, patients, n_resamples=20)
    table = pd.DataFrame(values).groupby(findings).mean()
    np.testing.assert_allclose(means.values, [*table.to_numpy(), table.mean().to_numpy()])
    names = np.unique(patients)
    draws = np.random.default_rng(0).integers(len(names), size=(20, len(names)))
    for draw, resample in zip(draws, means.resamples, strict=True):
        rows = np.concatenate([np.flatnonzero(patients == names[number]) for number in draw])
        table = pd.DataFrame(values[rows]).groupby(findings[rows]).mean()
        np.testing.assert_allclose(resample, [*table.to_numpy(), table.mean().to_numpy()])


def test_an_interval_surrounds_its_value_and_patients_are_the_unit(sample):
    values, findings, patients = sample
    means = patient_means.average(values, findings, patients)
    low, high = means.interval()
    assert (low < means.values).all() and (means.values < high).all()
    again = [np.concatenate([part] * 4) for part in sample]
    np.testing.assert_allclose(patient_means.average(*again).interval(), [low, high])


def test_what_no_row_has_is_nan_and_not_in_the_mean(sample):
    values, findings, patients = sample
    values[findings == "Mass", 0] = np.nan
    means = patient_means.average(values, findings, patients, n_resamples=50)
    assert np.isnan(means.values[1, 0]) and np.isnan(means.interval()[0][1, 0])
    assert means.values[3, 0] == pytest.approx(means.values[[0, 2], 0].mean())


def test_p_is_small_where_every_patient_differs_and_1_where_none_does():
    findings, patients = np.array(["Mass"] * 30), np.arange(30).astype(str)
    values = np.stack([np.ones(30), np.zeros(30), np.tile([1, -1], 15)], axis=1)
    certain, none, even = patient_means.average(values, findings, patients, n_resamples=999).p_values()[-1]
    assert (certain, none) == (2 / 1000, 1)
    assert even > 0.5
