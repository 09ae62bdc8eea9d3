"""The card's figures show everything, of a release of any size."""

import matplotlib
import numpy as np
import pandas as pd

from chestxray.reporting import description_figures
from chestxray.reporting.description_metadata import Metadata
from drawings import unseen


def test_a_finding_far_rarer_or_commoner_than_nihs_is_seen_and_one_that_a_split_lacks_is_named():
    shares = pd.DataFrame({"train": [0.0002, 0.5, 0, 0.1], "test": [0.0004, 0.9, 0.1, 0]}, index=list("ABCD"))
    figure = description_figures.draw_shift(shares.assign(ratio=shares["test"] / shares["train"]))
    assert unseen(figure) == []
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "B"]
    assert "not drawn, because a split has none: C, D" in axes.get_xlabel()
    for text in axes.texts:
        assert text.get_window_extent().x1 < axes.get_window_extent().x1, text.get_text()


def test_every_age_has_a_bar():
    images = pd.DataFrame({"age": [0, 99, 100, 148], "view": "PA", "sex": ["F", "M", "F", "F"]})
    counts = description_figures.age_counts(Metadata(images, pd.DataFrame()))
    assert counts["PA F"].sum() == 3 and counts.index[-1] == 145
    axes = description_figures.draw_ages(counts).axes[0]
    assert axes.get_xlim() == (0, 150)


def test_a_pair_commoner_than_the_scale_has_the_scales_last_colour():
    shares = pd.DataFrame([[0.1, 0.8], [0.7, 0.2]], index=["A", "B"], columns=["A", "B"])
    with matplotlib.rc_context():
        mesh = description_figures.draw_partners(shares, (shares * 10).astype(int)).axes[0].collections[0]
    assert mesh.get_clim() == (0, 80) and np.max(mesh.get_array()) <= 80
