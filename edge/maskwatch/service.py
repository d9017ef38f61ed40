"""Tells the service manager when a door is ready, what it shows, and that it still judges frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskwatch.notify import Notifier
from maskwatch.observer import RunningModel, in_words
from maskwatch.types import Situation, Verdict

FEEDS_PER_PERIOD = 4
"""How often the watchdog is fed in the time that it waits: twice is usual, and one or two may get lost."""

STATUS_SECONDS = 1.0
"""The status changes at most so often: it is read by people, and each change is told to all of the system's bus."""


class ServiceObserver:
    """An Observer that passes on what a service manager wants to know. `clock` is CLOCK_MONOTONIC, in seconds.

    The watchdog is fed by judged frames and by nothing else: neither a lost camera nor a daemon that only waits is a
    door at work. What could not be sent is sent with the next frame.
    """

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        self._ready = False
        self._fed_s: float | None = None
        self._status = ""
        self._status_s: float | None = None

    def watching(self, source: str, model: str) -> None:
        """Pass over it: ready is a door that has judged a frame."""

    def runs(self, model: RunningModel, why: str) -> None:
        """Pass over it: the log tells of it."""

    def judged(self, verdict: Verdict) -> None:
        """Say READY after the first frame, feed the watchdog where it is time to, and tell a new status."""
        now_s = self._clock()
        words = []
        if not self._ready:
            words.append("READY=1")
        feed = self._is_hungry(now_s)
        if feed:
            words.append("WATCHDOG=1")
        status = in_words(verdict)
        if status == self._status or not _is_over(STATUS_SECONDS, self._status_s, now_s):
            status = ""
        else:
            words.append(f"STATUS={status}")
        if words and self._notifier.send(*words):
            self._ready = True
            self._fed_s = now_s if feed else self._fed_s
            if status:
                self._status, self._status_s = status, now_s

    def resting(self, resting: bool) -> None:
        """Pass over it: a door at rest judges a frame often enough to feed the watchdog."""

    def lost_camera(self, reason: str) -> None:
        """Tell a new reason as the status."""
        status = f"{Situation.NO_CAMERA.value}: {reason}; trying again"
        if status != self._status and self._notifier.send(f"STATUS={status}"):
            self._status, self._status_s = status, None  # the next frame's status is news, whenever it comes

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say RELOADING, and READY again; neither before the door was ready at all."""
        if not self._ready:
            yield
            return
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock() * 1e6)}")
        try:
            yield
        finally:
            self._ready = self._notifier.send("READY=1")

    def stopping(self) -> None:
        """Say STOPPING."""
        self._notifier.send("STOPPING=1")

    def _is_hungry(self, now_s: float) -> bool:
        period_s = self._notifier.watchdog_seconds
        return period_s is not None and _is_over(period_s / FEEDS_PER_PERIOD, self._fed_s, now_s)


def _is_over(pause_s: float, since_s: float | None, now_s: float) -> bool:
    return since_s is None or now_s - since_s >= pause_s
