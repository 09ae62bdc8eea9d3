"""Many jobs over several processes, with one progress bar; the first error ends all of them."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import pyarrow
from tqdm.auto import tqdm

from chestxray.stopping import SIGNALS

STEP = 0.2  # seconds between looks at the progress
GRACE = 2  # seconds that workers have after an error

_ticks: Any = None  # `start_worker` sets this worker's queue and event
_stop: Any = None


class Stopped(Exception):
    """Another job failed, so this one ends early."""


@dataclass(frozen=True)
class Workers:
    """Processes that take jobs, the queue in which they count images, and the event that ends all of them."""

    executor: Executor
    ticks: Any
    stop: Any


class Worker(SpawnProcess):
    """A process that sees no Ctrl-C and no SIGTERM, which reach a whole group: the first process ends it."""

    def start(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Spawn(SpawnContext):
    Process = Worker  # type: ignore[assignment]


@contextmanager
def workers(processes: int) -> Iterator[Workers]:
    """Workers that end with this process, however it ends. One process means a thread of this one."""
    ticks: Any
    stop: Any
    executor: Executor
    if processes == 1:
        ticks, stop = queue.SimpleQueue(), threading.Event()
        executor = ThreadPoolExecutor(1, initializer=start_worker, initargs=(ticks, stop))
    else:
        # Arrow's threads do not survive a fork
        context = Spawn() if hasattr(signal, "pthread_sigmask") else multiprocessing.get_context("spawn")
        ticks, stop = context.SimpleQueue(), context.Event()
        executor = ProcessPoolExecutor(processes, context, start_worker, (ticks, stop))
    with executor as pool:
        try:
            yield Workers(pool, ticks, stop)
        except BaseException:
            stop.set()  # or the pool would wait for all jobs that it has been given
            pool.shutdown(wait=False, cancel_futures=True)
            end_workers()
            raise


def end_workers() -> None:
    """Give the workers a moment to remove what is half written, and kill those that are still at their imports."""
    until = time.monotonic() + GRACE
    for worker in multiprocessing.active_children():
        worker.join(max(0, until - time.monotonic()))
        worker.kill()


def start_worker(ticks, stop) -> None:
    global _ticks, _stop
    _ticks, _stop = ticks, stop
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # its own pool keeps 100 MB that it no longer needs
    if multiprocessing.parent_process():
        threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    # A killed parent leaves its workers waiting on their queue for ever.
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)


def tick(images: int) -> None:
    """Move the bar of the first process on; raise `Stopped` if another job has failed."""
    if _stop.is_set():
        raise Stopped
    _ticks.put(images)


def run_jobs(pool: Workers, job: Callable, jobs: Sequence, images: int, chunk: int = 1) -> None:
    """Call `job(item, tick)` for each of `jobs`, `chunk` neighbours in one process.

    Args:
        images: how many there are in all; each call of `tick(n)` moves the bar by n.

    Raises:
        Whatever a job raises first, after the others have ended.
    """
    parts = [jobs[start : start + chunk] for start in range(0, len(jobs), chunk)]
    futures = [pool.executor.submit(partial(run_part, job), part) for part in parts]
    with tqdm(total=images, unit=" images", desc="Publishing", smoothing=0.05) as bar:
        while not all(future.done() for future in futures):
            failed = [future for future in futures if future.done() and not future.cancelled() and future.exception()]
            if failed and not pool.stop.is_set():
                pool.stop.set()
                for future in futures:
                    future.cancel()
            drain(pool.ticks, bar)
            threading.Event().wait(STEP)
        drain(pool.ticks, bar)
    errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, Stopped))  # the cause, not those that it stopped


def drain(ticks, bar: tqdm) -> None:
    while not ticks.empty():
        bar.update(ticks.get())


def run_part(job: Callable, part: Sequence) -> None:
    for item in part:
        job(item, tick)
