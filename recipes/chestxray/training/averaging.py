"""The moving average of a model's weights."""

from contextlib import contextmanager

import torch


class Average:
    """Exponential moving average of weights and buffers (Polyak and Juditsky 1992), on the model's device.

    In its first steps the average forgets faster, by (1 + step) / (10 + step), so that it does not hold on to the
    random start (TensorFlow's tf.train.ExponentialMovingAverage, `num_updates`). A decay of 0 is the model itself.
    """

    def __init__(self, model, decay):
        self.decay = decay
        live = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())] if decay else []
        self.live = [local(weight.detach()) for weight in live]
        self.mean = [weight.clone() for weight in self.live]

    @torch.no_grad()
    def update(self, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        if self.mean:
            torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @contextmanager
    def in_place(self):
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
    def restart(self):
        """Begin again at the model's present weights."""
        for live, mean in zip(self.live, self.mean, strict=True):
            mean.copy_(live)

    @torch.no_grad()
    def settle(self):
        """Leave the averaged weights in the model for good."""
        for live, mean in zip(self.live, self.mean, strict=True):
            live.copy_(mean)


def local(weight):
    """The part of a weight that this process holds, which shares its memory; the whole where it is not sharded."""
    return weight.to_local() if hasattr(weight, "to_local") else weight
