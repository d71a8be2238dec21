"""Keep a process with many threads and a large library small."""

import ctypes
import gc
from contextlib import suppress

M_ARENA_MAX = -8
ARENAS = 2
OBJECTS = 10_000


def few_arenas() -> None:
    """Let all threads share two heaps where the C library is GNU's.

    It gives each thread a heap of its own, and memory freed in one is no use to another: a long
    run would grow by a quarter. Call it before there are threads.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def settled() -> None:
    """Spare every later collection the look at what is loaded by now and stays.

    Rows are many objects and no cycles: there is little to collect, and that less often.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS)
