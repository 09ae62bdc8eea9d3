"""The rows that see no image, on NIH's own boxes and on a few drawn ones."""

import numpy as np
import pytest

from chestxray.data.nih import builder_file
from chestxray.scoring import image_blind, localisation_table
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.localisation_measures import Measure
from conftest import NIH

HIT = Measure("peak", "hit")
# Measured before this code was written, by other code: Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule,
# Pneumonia, Pneumothorax, and their mean.
MEASURED = {
    ("IoU", 0.1): (0.278, 1, 0.346, 0.748, 0.224, 0, 0.783, 0.347, 0.466),
    ("IoU", 0.3): (0.044, 0.993, 0.052, 0.252, 0.012, 0, 0.142, 0.122, 0.202),
    ("IoU", 0.5): (0.011, 0.829, 0, 0.024, 0, 0, 0.017, 0.041, 0.115),
    ("IoBB", 0.1): (0.333, 1, 0.379, 0.780, 0.329, 0, 0.825, 0.347, 0.499),
    ("IoBB", 0.5): (0.067, 0.986, 0.033, 0.163, 0.094, 0, 0.117, 0.173, 0.204),
}
POINTING = (0.050, 0.986, 0.340, 0.455, 0.306, 0, 0.475, 0.316, 0.366)


def nih_rows():
    """NIH's 984 boxes; the view is the whole image."""
    names = set((NIH / "test_list.txt").read_text().split())
    boxes = builder_file.read_boxes(NIH / builder_file.BOX_FILE, names)
    rows = [(name, box, builder_file.LABELS[label]) for name, found in boxes.items() for _, box, label in found]
    images, places, findings = zip(*rows, strict=True)
    return BoxedRows(np.array(places) / builder_file.BOX_FRAME, findings, images, [name[:8] for name in images])


@pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
def test_nihs_boxes_are_found_without_images_as_often_as_was_measured():
    rows = nih_rows()
    assert len(rows) == 984
    table = localisation_table.summarise({"blind": image_blind.localise_by_others(rows)}, rows, n_resamples=100)
    for (quantity, above), expected in MEASURED.items():
        for rule in ("regions", "one box"):
            found = localisation_table.rows_of(table, Measure(rule, quantity, above))
            np.testing.assert_allclose(found["value"], expected, atol=5.1e-4)
    np.testing.assert_allclose(localisation_table.rows_of(table, HIT)["value"], POINTING, atol=5.1e-4)


def drawn_rows(n=6):
    """n images of n patients, with boxes of Mass one step apart, and a Nodule that only one patient has."""
    boxes = [[0.1 * number, 0.2, 0.2, 0.3] for number in range(n)] + [[0.5, 0.5, 0.1, 0.1]]
    names = [str(number) for number in [*range(n), 0]]
    return BoxedRows(boxes, ["Mass"] * n + ["Nodule"], names, names)


def test_a_patients_own_boxes_are_never_in_its_guess():
    rows = drawn_rows()
    boxes = image_blind.median_boxes(rows)
    np.testing.assert_allclose(boxes[0], [0.3, 0.2, 0.2, 0.3])  # the median of 0.1 … 0.5
    np.testing.assert_allclose(boxes[5], [0.2, 0.2, 0.2, 0.3])  # of 0 … 0.4
    priors = image_blind.prior_maps(rows)
    assert priors[0].max() == 3  # 0.1, 0.2 and 0.3 … touch one column of cells
    moved = BoxedRows(np.where(np.arange(7)[:, None] == 2, 0.6, rows.boxes), rows.findings, rows.images, rows.patients)
    assert image_blind.median_boxes(moved)[2].tolist() == boxes[2].tolist()
    assert (image_blind.prior_maps(moved)[2] == priors[2]).all()


def test_the_median_is_of_each_edge_by_itself():
    boxes = [[0, 0, 0.2, 0.2], [0.1, 0.1, 0.8, 0.8], [0.6, 0.6, 0.1, 0.1], [0.0, 0.0, 0.1, 0.1]]
    names = ["1", "2", "3", "4"]
    guess = image_blind.median_boxes(BoxedRows(boxes, ["Mass"] * 4, names, names))
    np.testing.assert_allclose(guess[3], [0.1, 0.1, 0.6, 0.6])  # left 0.1 of 0, 0.1, 0.6; right 0.7 of 0.2, 0.9, 0.7


def test_a_finding_of_one_patient_is_guessed_by_nobody():
    found = image_blind.localise_by_others(drawn_rows())
    assert np.isnan(found.boxes[6]).all() and np.isfinite(found.boxes[:6]).all()
    assert found.column(HIT)[6] == found.column(Measure("one box", "IoU"))[6] == 0
    assert found.column(Measure("regions", "boxes")).tolist() == [1] * 6 + [0]


def test_a_random_map_points_into_a_box_as_often_as_the_box_is_large():
    n = 200
    names = [str(number) for number in range(n)]
    rows = BoxedRows([[0.25, 0.125, 0.5, 0.5]] * n, ["Mass"] * n, names, names)
    hits = image_blind.localise_at_random(rows, (8, 8)).column(HIT)
    assert hits.mean() == pytest.approx(0.25, abs=0.05)  # 1,000 maps: a standard error of 0.014


def test_a_random_map_depends_on_image_finding_and_draw_alone():
    rows = drawn_rows()
    maps = image_blind.random_maps(rows, (7, 9))
    assert maps.shape == (7, 7, 9)
    assert (image_blind.random_maps(rows.where(np.array([4, 2])), (7, 9)) == maps[[4, 2]]).all()
    flat = {one.tobytes() for one in [*maps, *image_blind.random_maps(rows, (7, 9), draw=1)]}
    assert len(flat) == 14
