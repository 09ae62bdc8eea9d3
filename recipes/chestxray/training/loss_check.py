"""The check that every step's loss is a number."""

from collections.abc import Callable

import numpy as np
import torch

Names = Callable[[], list[str]]


class LossCheck:
    """Checks each step's loss when the next step is on its way, so that the GPU never waits for it.

    Args:
        losses: the list that gets each loss once it is checked.
    """

    def __init__(self, losses: list[float]):
        self.losses = losses
        self.pending: tuple[torch.Tensor, int, float, Names] | None = None

    def add(self, loss: torch.Tensor, step: int, rate: float, names: Names) -> None:
        """Take a step's loss, a scalar tensor, and check the one before. names: gives `image_file_path` of its images.

        Raises:
            FloatingPointError: as `finish`.
        """
        self.finish()
        self.pending = loss, step, rate, names

    def finish(self) -> None:
        """Check the loss that was taken last.

        Raises:
            FloatingPointError: it is not finite. The message names the step's images.
        """
        if self.pending:
            self.losses.append(check_loss(*self.pending))
            self.pending = None


def check_loss(loss: torch.Tensor, step: int, rate: float, names: Names) -> float:
    """A step's loss as a float. Raises FloatingPointError as `LossCheck.finish`."""
    value = loss.item()
    if not np.isfinite(value):
        raise FloatingPointError(
            f"the loss of step {step:,} is {value} at a learning rate of {rate:.3g}. Its images: {', '.join(names())}. "
            "The last checkpoint is as it was; start again with a lower --learning-rate or with --clip 1."
        )
    return value
