"""A connection as a door's flash needs it, and how all of them are broken off at once."""

from __future__ import annotations

import threading
from typing import Protocol

from maskwatch.flash.protocol import Report, Request
from maskwatch.flash.ssh import ASK_S


class Line(Protocol):
    """A connection, as `ssh.Connection` is one."""

    sudo: bool

    def open(self) -> None:
        """Connect. Raises UnreachableError."""

    def ask(
        self, request: Request, data: bytes = b"", limit_s: float = ASK_S, report: Report | None = None
    ) -> dict[str, object]:
        """Ask, and wait for the answer."""

    def stop(self) -> None:
        """Break off, from another thread."""

    def close(self) -> None:
        """End it; it may be opened again."""


class Stopper:
    """Breaks off all doors at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.RLock()  # `stop` may be called by a signal, and by another one meanwhile
        self._lines: list[Line] = []

    def watch(self, line: Line) -> None:
        """Break this one off too, should it come to that."""
        with self._lock:
            self._lines.append(line)
            if self.event.is_set():
                line.stop()

    def forget(self, line: Line) -> None:
        """It has ended by itself."""
        with self._lock:
            self._lines.remove(line)

    def stop(self) -> None:
        """Break off."""
        self.event.set()
        with self._lock:
            for line in self._lines:
                line.stop()
