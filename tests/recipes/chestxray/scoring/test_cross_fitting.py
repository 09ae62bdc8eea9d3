"""Thresholds that are chosen on other patients."""

import numpy as np

from chestxray.scoring import cross_fitting

PATIENTS = np.array([f"{number // 2:08d}" for number in range(60)])  # two rows each
FINDINGS = np.array(["Mass", "Nodule", "Mass"] * 20)


def test_a_patient_is_in_one_fold_and_folds_are_of_a_size():
    folds = cross_fitting.assign_folds(PATIENTS)
    assert all(len(set(folds[PATIENTS == patient])) == 1 for patient in PATIENTS)
    assert np.bincount(folds).tolist() == [12] * 5
    assert folds.tolist() == cross_fitting.assign_folds(PATIENTS).tolist()
    order = np.random.default_rng(0).permutation(60)
    assert cross_fitting.assign_folds(PATIENTS[order]).tolist() == folds[order].tolist()


def test_what_a_patient_itself_gains_never_decides():
    gains = np.random.default_rng(0).random((60, 4))
    before = cross_fitting.choose_for_others(gains, FINDINGS, PATIENTS)
    for patient in np.unique(PATIENTS):
        own = PATIENTS == patient
        changed = gains.copy()
        changed[own] = [[9, -9, 9, -9]]
        assert cross_fitting.choose_for_others(changed, FINDINGS, PATIENTS)[own].tolist() == before[own].tolist()


def test_the_best_of_the_other_folds_is_chosen_for_each_finding():
    gains = np.zeros((60, 3))
    gains[FINDINGS == "Mass", 2] = 1
    gains[FINDINGS == "Nodule", 0] = 1
    gains[0] = np.nan  # has no say
    chosen = cross_fitting.choose_for_others(gains, FINDINGS, PATIENTS)
    assert chosen.tolist() == np.where(FINDINGS == "Mass", 2, 0).tolist()


def test_a_finding_of_one_patient_takes_the_middle_candidate():
    gains, one = np.eye(9)[:3], np.array(["1", "1", "1"])
    assert cross_fitting.choose_for_others(gains, np.array(["Mass"] * 3), one).tolist() == [4, 4, 4]
