"""Threads share one heap: seen in the C library's own account of a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from maskwatch import heap

SCRIPT = """
import ctypes, sys, threading
from maskwatch.heap import limit_malloc_arenas

if sys.argv[1] == "one":
    assert limit_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
meet = threading.Barrier(4)

def allocate():
    meet.wait()
    libc.malloc(100_000)
    meet.wait()  # so that no thread takes over another one's heap

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
"""


def heaps(which: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, which], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(heap.ctypes.CDLL(None), "malloc_info"), reason="not the GNU C library")
def test_threads_share_one_heap_where_asked_to() -> None:
    assert heaps("many") > 1
    assert heaps("one") == 1


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.limit_malloc_arenas()
