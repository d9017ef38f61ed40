"""Tells whoever reads, for as long as he reads: a roll-out goes on when `head` has had enough, or a disk is full."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TextIO


class Audience:
    """A text stream, or None where the caller closed it; silence once it cannot be written. Any thread may tell."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self._lock = threading.Lock()

    def tell(self, text: str) -> None:
        """Write it, and see that it leaves."""
        with self._lock:
            if self.stream is None:
                return
            try:
                self.stream.write(text)
                self.stream.flush()
            except OSError:
                _give_up(self.stream)
                self.stream = None


def _give_up(stream: TextIO) -> None:
    # What is left in its buffer would fail once more when Python flushes it at its end, and spoil the exit code.
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
