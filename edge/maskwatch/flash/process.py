"""Runs one command that may be in anybody's hands at its other end: for so long, for so many words, and no more."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

CHUNK_BYTES = 16 * 1024

PAUSES_S = (0.01, 0.02, 0.05, 0.1)
"""Between two looks whether it has ended. Its outputs do not tell: ssh leaves them open to what goes on behind it."""


class LateError(Exception):
    """It did not end in time."""


class EndlessError(Exception):
    """It says more than it may."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it said on stdout and stderr."""

    code: int
    output: bytes
    complaints: bytes


def listen(
    process: subprocess.Popen[bytes],
    data: bytes,
    limit_s: float,
    max_bytes: int,
    report: Callable[[int, int], None] | None = None,
) -> Said:
    """Feed `data` to a process with three pipes, unbuffered, and hear it out; `report` is told how much it has taken.

    Whoever has started it ends it. Raises LateError, EndlessError past `max_bytes` on either output, and OSError.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    until_s = time.monotonic() + limit_s
    feeder = _Feeder(process.stdin, data, report)
    output, complaints = _Ear(process.stdout, max_bytes), _Ear(process.stderr, max_bytes)
    looks = 0
    with selectors.DefaultSelector() as selector:
        for ear in (output, complaints):
            selector.register(ear.stream, selectors.EVENT_READ, ear.hear)
        selector.register(feeder.stream, selectors.EVENT_WRITE, feeder.feed)
        while process.poll() is None:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise LateError
            ready = selector.select(min(left_s, PAUSES_S[min(looks, len(PAUSES_S) - 1)]))
            looks = 0 if ready else looks + 1
            for key, _ in ready:
                if not key.data():
                    selector.unregister(key.fileobj)
                    if key.fileobj is feeder.stream:
                        feeder.stream.close()
    for ear in (output, complaints):
        ear.hear_last()
    return Said(process.returncode, bytes(output.heard), bytes(complaints.heard))


class _Ear:
    """Hears one output of a process."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self.stream = stream
        self.heard = bytearray()
        self._max_bytes = max_bytes
        os.set_blocking(stream.fileno(), False)

    def hear(self) -> bool:
        """Take what is there; False at the end. Raises EndlessError, and BlockingIOError where there is nothing."""
        chunk = os.read(self.stream.fileno(), CHUNK_BYTES)
        self.heard += chunk
        if len(self.heard) > self._max_bytes:
            raise EndlessError
        return bool(chunk)

    def hear_last(self) -> None:
        """Take what it said just before it ended."""
        with suppress(BlockingIOError):
            while self.hear():
                pass


class _Feeder:
    """Feeds a process, as fast as it eats."""

    def __init__(self, stream: IO[bytes], data: bytes, report: Callable[[int, int], None] | None) -> None:
        self.stream = stream
        self._data = memoryview(data)
        self._fed_bytes = 0
        self._report = report
        os.set_blocking(stream.fileno(), False)

    def feed(self) -> bool:
        """Give it the next piece; False at the end, or where it wants no more, as its exit code says why then."""
        try:
            self._fed_bytes += os.write(self.stream.fileno(), self._data[self._fed_bytes :][:CHUNK_BYTES])
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        if self._report is not None and self._data:
            self._report(self._fed_bytes, len(self._data))
        return self._fed_bytes < len(self._data)
