"""How a script ends when somebody stops it: with one line, and with nothing half written."""

import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

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
    so do PATIENCE seconds. Processes that are forked later ignore Ctrl-C, which a terminal sends to all of them: this
    process ends them.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        signal.signal(signal.SIGINT, lambda *_: os._exit(status_of(signal.SIGINT)))
        if not int(os.environ.get("RANK", 0)):
            sys.stderr.write(f"\n{script}: stopped. Start the same command again to go on.\n")
            sys.stderr.flush()
        be_silent()
        raise Interrupted(status_of(number))

    for number in SIGNALS:
        signal.signal(number, stop)
    end_after_patience()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=leave_signals_to_parent)


def status_of(number: int) -> int:
    return 128 + number


def be_silent() -> None:
    """Nothing stands below the last line: no progress bar, no complaint of a thread that is cut off."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def end_after_patience() -> None:
    """Let a thread hear of signals at once, even while the main thread is inside of C, and end this process in time."""
    hear, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        with tell:  # it lives as long as this thread
            while (number := hear.recv(1)[0]) not in SIGNALS:
                continue
            time.sleep(PATIENCE)
            os._exit(status_of(number))

    threading.Thread(target=watch, daemon=True).start()


def leave_signals_to_parent() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
