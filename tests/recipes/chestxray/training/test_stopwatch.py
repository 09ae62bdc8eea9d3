"""Time spent in getting items counts as waiting, and nothing else does."""

import pytest

from chestxray.training import stopwatch
from chestxray.training.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds)` lets so much time pass."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_waiting_is_told_from_work_and_each_lap_begins_anew(clock):
    def slow():
        for item in "ab":
            clock(1)
            yield item
        clock(2)

    watch = Stopwatch()
    items = []
    for item in watch.time_waiting(slow()):
        items.append(item)
        clock(3)
    assert items == ["a", "b"]
    assert watch.lap() == (10.0, 0.4)
    clock(5)
    assert watch.lap() == (5.0, 0.0)
