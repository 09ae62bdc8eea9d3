"""How a script ends when somebody stops it: with one line, and with nothing half written."""

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of Ctrl-C; of Slurm, kill and the launchers
PATIENCE = 5  # seconds to remove unfinished files in; a process that waits for another one inside of C has no other end


class Interrupted(KeyboardInterrupt, SystemExit):
    """Somebody stops this script. `datasets` and others clean up after a KeyboardInterrupt alone."""

    def __init__(self, status: int):
        super().__init__(status)
        self.code = status


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

    def begin(self, number: int, frame: FrameType | None) -> NoReturn:
        """Let the main thread clean up. Whatever it raises meanwhile, `end_if_asked` comes last."""
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
                sys.stderr.write(f"\n{self.script}: stopped. Start the same command again to go on.\n")
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
