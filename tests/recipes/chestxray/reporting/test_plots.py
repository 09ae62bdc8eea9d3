"""Figures of a scorecard: no point leaves a figure unseen, and none hides another."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from chestxray.data import predictions
from chestxray.reporting import plots
from chestxray.reporting.figure_style import style
from chestxray.scoring import scorecard
from drawings import unseen

FINDINGS = ["Perfect", "Good", "None", "Wrong"]


def make(views=("PA", "AP"), n=1_200, seed=0):
    """Half validation, half test: the AUROC is 1, 0.9, 0.5 and 0; the best and the worst finding are rare."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "image_file_path": [f"images/{number:08d}_000.png" for number in range(n)],
            "split": np.repeat(["validation", "test"], n // 2),
            "patient": [f"{number // 2:08d}" for number in range(n)],
            "sex": rng.choice(["F", "M"], n),
            "age": rng.choice([5, 30, 50, 70, 85], n, p=[0.02, 0.4, 0.3, 0.26, 0.02]),
            "view": rng.choice(views, n),
        }
    )
    targets = (rng.random((n, 4)) < [0.03, 0.3, 0.3, 0.03]).astype(float)
    logits = rng.normal(size=(n, 4)) + targets * [0, 1.8, 0, 0]
    logits[:, 0], logits[:, 3] = targets[:, 0] * 4 + rng.random(n), rng.random(n) - targets[:, 3] * 4
    return predictions.Predictions(rows, logits, targets, FINDINGS, {})


def figures(card, monkeypatch):
    """{name: matplotlib figure} of what `plots.draw` draws."""
    monkeypatch.setattr(plots, "picture", lambda name, title, alternative, figure: (name, figure))
    return dict(plots.draw(card))


@pytest.fixture(autouse=True)
def as_drawn():
    with matplotlib.rc_context(style(9)):
        yield


@pytest.mark.parametrize("name", ["intervals", "roc", "precision-recall", "reliability", "subgroups", "missed"])
def test_no_point_leaves_a_figure_unseen(name, monkeypatch):
    figure = figures(scorecard.make(make()), monkeypatch)[name]
    assert sum(len(axes.lines) + len(axes.collections) for axes in figure.axes) > 4
    assert unseen(figure) == []


def test_the_best_finding_and_small_subgroups_have_their_dots_in_the_figure_of_subgroups():
    card = scorecard.make(make())
    table = card.subgroups.dropna(subset="auroc")
    assert table["few"].any() and table["auroc"].min() < 0.1 and table["auroc"].max() == 1
    shown = sorted(value for axes in plots.draw_subgroups(card, "auroc", "AUROC").axes for value in dots(axes))
    assert shown == pytest.approx(sorted(table["auroc"]))


def dots(axes):
    """The values of all dots within the axes, once where dots lie on each other."""
    scatters = [scatter for scatter in axes.collections if isinstance(scatter, PathCollection)]
    points = {tuple(np.round(point, 6)) for scatter in scatters for point in np.ma.getdata(scatter.get_offsets())}
    low, high = axes.get_xlim()
    return [x for x, _ in points if low <= x <= high]


def test_a_dataset_with_many_views_has_a_dot_for_each():
    views = ["PA", "AP", "LATERAL", "LL", "AP AXIAL", "SWIMMERS", "XTABLE"]
    card = scorecard.make(make(views))
    figure = plots.draw_subgroups(card, "auroc", "AUROC")
    axes = next(axes for axes in figure.axes if axes.get_title() == "view")
    assert {text.get_text() for text in axes.get_legend().get_texts()} == set(views)
    looks = {(str(handle.get_paths()), str(handle.get_edgecolor())) for handle in axes.get_legend().legend_handles}
    assert len(looks) == len(views), "no two views look the same"


def test_published_means_are_seen_beside_a_model_that_is_better_than_all_of_them():
    card = scorecard.make(make())
    card.findings.loc[FINDINGS, ["auroc", "auroc_low", "auroc_high"]] = [0.97, 0.95, 0.98]
    card.findings.loc["mean", ["auroc", "auroc_low", "auroc_high"]] = [0.97, 0.96, 0.98]
    card.about["official"] = True
    assert unseen(plots.draw_intervals(card)) == []


def test_what_lies_outside_is_told():
    figure = plots.Figure()
    axes = figure.add_subplot()
    axes.scatter([0.2, 0.9], [1, 1])
    axes.hlines([2], [0.1], [0.6])
    axes.axvline(0.95)
    axes.set(xlim=(0.15, 0.8), ylim=(0, 3))
    assert [round(x, 2) for x, _ in unseen(figure)] == [0.95, 0.95, 0.9, 0.1]


def test_limits_of_nothing_are_those_of_a_share():
    low, high = plots.limits_around(pd.Series(dtype=float))
    assert low < 0 and high > 1


def test_without_validation_nothing_that_needs_it_is_drawn(monkeypatch):
    table = make()
    drawn = figures(scorecard.make(table.of("test")), monkeypatch)
    assert list(drawn) == ["intervals", "roc", "precision-recall", "subgroups"]
    assert all(unseen(figure) == [] for figure in drawn.values())
    points = [line for axes in drawn["roc"].axes for line in axes.lines if line.get_marker() == "o"]
    assert not points, "no threshold, no point of it"
