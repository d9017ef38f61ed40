"""A camera that plays a script of what cameras do, good and bad. For tests; ships so that others can test with it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from maskwatch.cameras.base import FrameGuard, not_open, silent
from maskwatch.errors import CameraError
from maskwatch.types import Frame, Image


@dataclass(frozen=True, slots=True)
class Show:
    """Give this picture `count` times, each `after_s` later than the one before; below zero, time jumps back."""

    image: Image
    count: int = 1
    after_s: float = 0.1
    lores: Image | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Give nothing: one `read` waits its whole timeout, then fails."""


@dataclass(frozen=True, slots=True)
class Vanish:
    """Be unplugged: one `read` fails at once; so do the next `refused_opens` tries to open."""

    refused_opens: int = 0


Step = Show | Silence | Vanish


class FakeCamera:
    """Plays its script once, over all openings; ends with None. `calls` keeps the names of the methods called.

    Frames pass the same guard as a real camera's: a picture of another size, or time that jumps back, is a CameraError.
    Time runs by the script, from the clock at the first opening; only `Silence` takes real time, and `close` from
    another thread ends it.
    """

    def __init__(self, script: Iterable[Step], live: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self.live = live
        self.calls: list[str] = []
        self._clock = clock
        self._steps = deque(step for step in script for _ in range(step.count if isinstance(step, Show) else 1))
        self._guard: FrameGuard | None = None
        self._closed = threading.Event()
        self._refused_opens = 0
        self._now_s: float | None = None
        self._index = 0

    def open(self) -> None:
        """Go on with the script where it stood.

        Raises:
            CameraError: a `Vanish` still lasts.
        """
        self.calls.append("open")
        if self._guard is not None:
            return
        if self._refused_opens:
            self._refused_opens -= 1
            raise CameraError("the fake camera is unplugged")
        if self._now_s is None:
            self._now_s = self._clock()
        self._guard, self._index = FrameGuard("the fake camera"), 0
        self._closed.clear()

    def read(self, timeout_s: float) -> Frame | None:
        """Do the script's next step; None where it has ended.

        Raises:
            CameraError: as the script says.
        """
        guard = self._guard
        self.calls.append("read")
        if guard is None or self._now_s is None:
            raise not_open("the fake camera")
        if not self._steps:
            return None
        step = self._steps.popleft()
        if isinstance(step, Silence):
            self._closed.wait(timeout_s)
            raise silent("the fake camera", timeout_s)
        if isinstance(step, Vanish):
            self._refused_opens = step.refused_opens
            raise CameraError("the fake camera is unplugged")
        self._now_s += step.after_s
        guard.check(step.image, self._now_s)
        frame = Frame(step.image, self._now_s, self._index, step.lores)
        self._index += 1
        return frame

    def close(self) -> None:
        """Stop; the script keeps its place."""
        self.calls.append("close")
        self._guard = None
        self._closed.set()


def plain_picture(level: int = 0, width_px: int = 64, height_px: int = 48) -> Image:
    """A picture of one grey level: 0 is what a covered lens sees."""
    return np.full((height_px, width_px, 3), level, np.uint8)


def noise_picture(seed: int, width_px: int = 64, height_px: int = 48) -> Image:
    """A picture of random pixels, another one for each seed, as a sensor's noise makes each frame another."""
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
