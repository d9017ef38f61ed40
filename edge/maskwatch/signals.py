"""Signals to commands: SIGTERM and SIGINT stop, SIGHUP reloads."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType

_STDIN = 0


class Command(Enum):
    """What the operator wants of a running daemon."""

    STOP = "stop"
    RELOAD = "reload"


@contextmanager
def commands_from_signals(put: Callable[[Command], object]) -> Iterator[None]:
    """Within this block, signals call `put` instead of what they did before. For the main thread only.

    `put` runs inside a signal handler, in the middle of anything: `queue.SimpleQueue.put` is made for that, while a
    lock or an Event could wait for itself for ever. SIGHUP stops where it means that the terminal has gone.
    """
    had_terminal = os.isatty(_STDIN)

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not (had_terminal and hung_up(_STDIN)):
            put(Command.RELOAD)
        else:
            put(Command.STOP)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hung_up(descriptor: int) -> bool:
    """Whether a descriptor that was a terminal is none any more: its window or connection was closed."""
    return not os.isatty(descriptor)
