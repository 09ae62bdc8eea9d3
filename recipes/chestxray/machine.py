"""What this machine has, and how a process uses its memory."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of glibc's mallopt, malloc.h


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Let this process keep the memory that a step frees for the next step, if its C library is glibc.

    glibc gives blocks of more than 32 MB back to the kernel. The next step gets them anew, and the kernel clears every
    page: 26% to 32% of the processor time of EfficientNet-Lite0's training at 160 pixels (`vmstat`, two runs at once).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_MAX, 0)  # take all blocks from the heap
    mallopt(TRIM_THRESHOLD, -1)  # and never shrink it
