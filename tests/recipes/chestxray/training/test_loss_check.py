"""A loss that is no number is told with its step and images, one step late."""

import pytest
import torch

from chestxray.training.loss_check import LossCheck


def names():
    return ["images/a.png", "images/b.png"]


def test_losses_are_kept_in_order_one_step_late():
    losses = []
    check = LossCheck(losses)
    for step, loss in enumerate([3.0, 2.0, 1.0]):
        check.add(torch.tensor(loss), step, 0.1, names)
        assert len(losses) == step
    check.finish()
    check.finish()
    assert losses == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_is_told_with_its_step_rate_and_images(value):
    losses = []
    check = LossCheck(losses)
    check.add(torch.tensor(float(value)), 1234, 0.1, names)
    with pytest.raises(FloatingPointError, match=f"step 1,234 is {value} at a .* of 0.1. Its images: images/a.png, "):
        check.add(torch.tensor(1.0), 1235, 0.1, list)
    assert losses == []
