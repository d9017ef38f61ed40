"""What the loop has seen last, for those who look at it: the newest wins, and nobody waits for a slow reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from maskwatch.page.hints import Aim
from maskwatch.page.picture import jpeg
from maskwatch.types import Face, Frame


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame and what was made of it. `serial` grows over all frames of a preview, from 1."""

    serial: int
    frame: Frame
    faces: tuple[Face, ...]
    aim: Aim
    frames_per_second: float


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that is shown at one moment: pictures, or the reason why there is none now; and how long still."""

    sight: Sight | None
    lost: str
    seconds_left: float


class Showcase:
    """Holds the newest sight. The loop's thread puts; any number of clients' threads look.

    A picture is drawn and encoded by the first client that asks for it, in that client's thread, and kept for the
    others until the next: without clients nothing is encoded. `clock` is monotonic.
    """

    def __init__(self, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.encoded = 0
        self._deadline_s, self._clock = deadline_s, clock
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._sight: Sight | None = None
        self._lost = ""
        self._closed = False
        self._picture: tuple[int, bytes] = (0, b"")

    def show(self, sight: Sight) -> None:
        """Put a newer sight in place of the last."""
        with self._changed:
            self._sight, self._lost = sight, ""
            self._changed.notify_all()

    def lose(self, reason: str) -> None:
        """Say that there is no camera, until the next sight; the last one stays."""
        with self._changed:
            self._lost = reason

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def board(self) -> Board:
        """What is shown now. Never waits."""
        with self._changed:
            return Board(self._sight, self._lost, max(0.0, self._deadline_s - self._clock()))

    def picture(self, after: int, patience_s: float) -> tuple[int, bytes] | None:
        """Serial and JPEG of the newest sight, waited for until its serial is another than `after`; None: none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newer(after) is not None, patience_s)
            sight = self._newer(after)
        if sight is None:
            return None
        with self._encoding:
            if self._picture[0] < sight.serial:
                self._picture = (sight.serial, jpeg(sight.frame, sight.faces))
                self.encoded += 1
            return self._picture

    def _newer(self, after: int) -> Sight | None:
        return self._sight if self._sight is not None and self._sight.serial != after else None
