"""A run knows which epoch was the best, and when to stop waiting for a better one."""

import math

import pytest
import torch

from chestxray.training.checkpoints import write_tensors
from chestxray.training.state import State, kept_layout

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


@pytest.mark.parametrize(
    "facts, kind, kept",
    [
        ({"settings": {"channels_last": None}, "channels_last": True}, "cpu", True),
        ({"settings": {"channels_last": True}, "channels_last": False}, "cuda", False),
        ({"settings": {"channels_last": None}}, "cpu", False),
        ({"settings": {"channels_last": None}}, "cuda", True),
        ({"settings": {"channels_last": True}}, "cpu", True),
    ],
)
def test_a_run_keeps_the_memory_layout_that_it_began_with_also_if_an_older_version_began_it(
    tmp_path, facts, kind, kept
):
    assert kept_layout(str(tmp_path), torch.device(kind)) is None
    write_tensors({}, tmp_path / "checkpoints" / "last.safetensors", facts)
    assert kept_layout(str(tmp_path), torch.device(kind)) is kept
