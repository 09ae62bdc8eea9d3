"""The moving average of a model's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Average:
    """Exponential moving average of weights and buffers (Polyak and Juditsky 1992), on the model's device.

    In its first steps the average forgets faster, by (1 + step) / (10 + step), so that the random start does not stay
    in it (TensorFlow's tf.train.ExponentialMovingAverage, `num_updates`). With a decay of 0 the average is the model.
    """

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay
        weights = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())] if decay else []
        self.live = [local_part(weight.detach()) for weight in weights]
        self.mean = [weight.clone() for weight in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the model's weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        if self.mean:
            torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Within, the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self):
        for live, mean in zip(self.live, self.mean, strict=True):
            other = live.clone()
            live.copy_(mean)
            mean.copy_(other)

    @torch.no_grad()
    def restart(self) -> None:
        """Begin again at the model's present weights."""
        for live, mean in zip(self.live, self.mean, strict=True):
            mean.copy_(live)

    @torch.no_grad()
    def replace_model(self) -> None:
        """Put the averaged weights into the model for good."""
        for live, mean in zip(self.live, self.mean, strict=True):
            live.copy_(mean)


def local_part(weight):
    """The part of a weight that this process holds, in the same memory. Without FSDP that is all of it."""
    return weight.to_local() if hasattr(weight, "to_local") else weight
