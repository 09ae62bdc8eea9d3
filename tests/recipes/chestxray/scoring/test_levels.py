"""Studies and patients in place of images."""

import numpy as np
import pytest

from chestxray.scoring import levels
from small_predictions import make


def test_patients_and_studies_take_their_highest_image():
    table = make(patient=["1", "1", "2", "2"], study=["s1", "s2", "s1", "s1"], sex=list("FFMM"), view=["PA", "AP"] * 2)
    patients = levels.aggregate(table, "patient")
    np.testing.assert_array_equal(patients.logits, [table.logits[:2].max(axis=0), table.logits[2:].max(axis=0)])
    np.testing.assert_array_equal(patients.targets, [[1, 1], [1, 1]])
    assert patients.rows["sex"].tolist() == ["F", "M"]
    assert patients.rows["view"].isna().all(), "the images do not agree"
    studies = levels.aggregate(table, "study")
    assert studies.rows[["patient", "study"]].to_numpy().tolist() == [["1", "s1"], ["1", "s2"], ["2", "s1"]]
    assert levels.aggregate(table, "image") is table


def test_studies_need_a_column():
    with pytest.raises(ValueError, match="level study needs a column study"):
        levels.aggregate(make(), "study")
