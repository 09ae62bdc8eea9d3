"""A run knows which epoch was the best, and when to stop waiting for a better one."""

import math

from chestxray.training.state import State

STEPS = 10  # of an epoch


def after(*aurocs):
    """The state after epochs with these AUROCs on validation."""
    state = State()
    for epoch, auroc in enumerate(aurocs, 1):
        state.step = epoch * STEPS
        state.losses += [1.0] * STEPS
        state.end_epoch({"epoch": epoch, "validation_auroc": auroc})
    return state


def test_the_first_of_equal_epochs_is_the_best_and_an_undefined_one_never_is():
    assert (after(0.5, 0.7, 0.7, 0.6).best, after(math.nan, 0.5).best, after(math.nan).best) == (2, 2, 0)


def test_an_epochs_losses_end_with_it_and_its_figures_stay():
    state = after(0.5, 0.7)
    assert state.losses == [] and [row["validation_auroc"] for row in state.scores] == [0.5, 0.7]


def test_patience_counts_epochs_since_the_best_one():
    state = after(0.5, 0.7, 0.6, 0.6)
    assert [state.is_out_of_patience(patience, STEPS) for patience in (None, 1, 2, 3)] == [False, True, True, False]
    assert after(math.nan).is_out_of_patience(1, STEPS), "no epoch was ranked"
