"""How a script ends when somebody stops it, or when it fails: with one line, and with nothing half written."""

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any, NoReturn

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of Ctrl-C; of Slurm, kill and the launchers
PATIENCE = 5  # seconds to remove unfinished files in; a process that waits for another one inside of C has no other end


class Interrupted(KeyboardInterrupt, SystemExit):
    """Somebody stops this script. `datasets` and others clean up after a KeyboardInterrupt alone."""

    def __init__(self, status: int):
        super().__init__(status)
        self.code = status


@contextlib.contextmanager
def errors_in_one_line(script: str, *others: type[Exception]) -> Iterator[None]:
    """Within, a ValueError, an OSError or one of `others` ends this process with status 1 and one line of its own.

    Open progress bars are closed first. Otherwise they would stand before the line, and once more below it.
    """
    kinds: tuple[type[Exception], ...] = (ValueError, OSError, *others)
    try:
        yield
    except kinds as error:
        raise SystemExit(f"{script}: {error}") from None
    finally:
        bars = [bar for bar in open_bars() if hasattr(bar, "pos")]  # not one whose beginning was cut off
        for bar in sorted(bars, key=lambda bar: -abs(bar.pos)):  # the lowest first
            bar.close()


def open_bars() -> Collection[Any]:
    """The progress bars on the screen. Tqdm is slow to import, and may not be there yet."""
    return getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())


def stop_in_one_line(script: str) -> None:
    """From now on Ctrl-C and SIGTERM end this process with one line. Call it before the imports that take seconds.

    The status is 128 and the signal's number, as a shell has it: 130 after Ctrl-C. A second Ctrl-C ends it at once, and
    so do PATIENCE seconds. Processes that it forks ignore Ctrl-C, which a terminal sends to all of them: it ends them.
    """
    stop = Stop(script)
    atexit.register(stop.end_if_asked)
    hear, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=stop.watch, args=(hear, tell), daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, stop.begin)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=leave_signals_to_parent)


class Stop:
    """The end of a script that is stopped. `status` is None until somebody stops it."""

    def __init__(self, script: str):
        self.script, self.process, self.lock = script, os.getpid(), threading.Lock()
        self.status: int | None = None

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Let the main thread clean up. Whatever it raises meanwhile, `end_if_asked` comes last."""
        if os.getpid() != self.process:  # a child that has not come to `leave_signals_to_parent` yet
            if number == signal.SIGTERM:
                os._exit(status_of(number))
            return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, self.end)
        self.tell(number)
        raise Interrupted(status_of(number))

    def tell(self, number: int) -> None:
        """Print the line, and nothing below it: no progress bar, no complaint of a thread that is cut off."""
        with self.lock:
            if self.status is not None:
                return
            self.status = status_of(number)
            send_to_children(signal.SIGTERM)
            if not int(os.environ.get("RANK", 0)):
                below = "\n" * max(1, len(open_bars()))
                sys.stderr.write(f"{below}{self.script}: stopped. Start the same command again to go on.\n")
                sys.stderr.flush()
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)

    def watch(self, hear: socket.socket, tell: socket.socket) -> None:
        """Hear of signals at once, even while the main thread is inside of C, and end this process in time.

        `tell` is never closed: a second signal is written to it as well.
        """
        while (number := hear.recv(1)[0]) not in SIGNALS:
            continue
        time.sleep(PATIENCE)
        self.tell(number)
        self.end()

    def end_if_asked(self) -> None:
        if self.status is not None and os.getpid() == self.process:
            self.end()

    def end(self, *_: object) -> NoReturn:
        send_to_children(signal.SIGKILL)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(self.status or 1)


def status_of(number: int) -> int:
    return 128 + number


def send_to_children(number: int) -> None:
    """Send a signal to the processes that this one has started, and to theirs. Workers of `pool` take no SIGTERM."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.send_signal(number)


def leave_signals_to_parent() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
