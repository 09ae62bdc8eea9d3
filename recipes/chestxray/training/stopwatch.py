"""How long a loop runs, and how long of that it waits for its data."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Time since the last `lap`, in seconds."""

    def __init__(self):
        self.began, self.waited = time.perf_counter(), 0.0

    def time_waiting(self, iterable: Iterable[Item]) -> Iterator[Item]:
        """The same items. The time that it takes to get them counts as waiting."""
        iterator = iter(iterable)
        while True:
            asked = time.perf_counter()
            item = next(iterator, None)
            self.waited += time.perf_counter() - asked
            if item is None:
                return
            yield item

    def lap(self) -> tuple[float, float]:
        """(seconds, share of them spent waiting); then begin again."""
        seconds = time.perf_counter() - self.began
        share = self.waited / seconds
        self.began, self.waited = time.perf_counter(), 0.0
        return seconds, share
