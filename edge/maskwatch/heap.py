"""The C library's heap, set to suit a process whose few threads hand large pictures to each other."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def limit_malloc_arenas() -> bool:
    """Let all threads allocate from one heap; False where the C library offers no such choice. Call it first of all.

    By default glibc gives each thread a heap of its own, which keeps some freed pictures for itself: the same frames
    then take 3 to 7 MB more, and how much more changes whenever a camera comes back in a new thread (`make soak`). One
    heap costs nothing here: the threads wait for each other anyway. Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl and others
        return False
    return bool(mallopt(_M_ARENA_MAX, 1))
