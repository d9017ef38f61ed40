"""The preview's loop: the daemon's own capture and networks, but what they see goes to a showcase instead of lights."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable

from maskwatch.cameras.base import Camera
from maskwatch.capture import Capture
from maskwatch.config import Settings
from maskwatch.daemon import CAMERA_JOIN_SECONDS, TICK_SECONDS
from maskwatch.door import Eyes
from maskwatch.errors import CameraError, MaskwatchError
from maskwatch.mailbox import Ended, Item, Lost
from maskwatch.page.board import Board, Showcase, Sight
from maskwatch.page.hints import Aim, Hint, Trouble, aim
from maskwatch.signals import Command
from maskwatch.types import Frame

logger = logging.getLogger(__name__)

RATE_SECONDS = 3.0
"""Over so long a time frames are counted."""

HOLD_SECONDS = 1.5
"""A hint stays for so long after its reason has gone, so that it can be read and does not flicker."""


class Preview:
    """Camera to showcase, until told to stop, the deadline or the source's end. `run` may be called once.

    `redraw` is called after each frame, and at least about once a second; `say` with each word that must not be missed.
    `explain` is asked, of a camera that fails before its first picture, for a better error than the camera's own.
    With `stays`, a source of files that has ended leaves its last picture there until the deadline. `clock` is
    monotonic, the camera's and the showcase's own.
    """

    def __init__(
        self,
        settings: Settings,
        camera: Camera,
        eyes: Eyes,
        showcase: Showcase,
        redraw: Callable[[Board], object],
        say: Callable[[str], object],
        explain: Callable[[CameraError], MaskwatchError | None] = lambda error: None,
        stays: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._eyes, self._showcase = settings, eyes, showcase
        self._redraw, self._say, self._explain = redraw, say, explain
        self._stays = stays
        self._events: queue.SimpleQueue[Command | Capture] = queue.SimpleQueue()
        self._capture = Capture(camera, settings.camera.timeout_seconds, self._events.put, must_open=True, clock=clock)
        self._serial = 0
        self._lost = ""
        self._times_s: deque[float] = deque()
        self._hints = HeldHints()

    def command(self, command: Command) -> None:
        """Stop; a preview has nothing to reload. Safe in signal handlers."""
        self._events.put(command)

    def run(self) -> None:
        """Watch. The camera is let go of, and nobody waits for the showcase any longer, when it returns or raises.

        Raises:
            CameraError: no camera at the start, or one that hangs inside its driver.
            OperatorError: no readable file, no library for this camera.
        """
        try:
            self._capture.start()
            self._loop()
        finally:
            self._capture.stop()
            self._showcase.close()
            if not self._capture.join(CAMERA_JOIN_SECONDS):
                logger.warning("the camera is still inside its driver; left behind")

    def _loop(self) -> None:
        while (left_s := self._showcase.board().seconds_left) > 0:
            try:
                event = self._events.get(timeout=min(TICK_SECONDS, left_s))
            except queue.Empty:
                self._look_after()
            else:
                if isinstance(event, Command) or not self._take_in(event.mailbox.take()):
                    return
            self._redraw(self._showcase.board())
        self._say("the time is over")

    def _take_in(self, item: Item | None) -> bool:
        """Do what the camera's thread has to say; False where that is the end. Raises the fault that ended it."""
        if isinstance(item, Ended):
            if item.fault is not None:
                raise self._explained(item.fault)
            self._say("the source has ended" + ("; its last picture stays" if self._stays else ""))
            return self._stays
        if isinstance(item, Lost):
            self._lose(item.reason)
        elif item is not None:
            self._see(item)
        return True

    def _see(self, frame: Frame) -> None:
        self._serial += 1
        faces = self._eyes.faces(frame)
        seen = aim(frame, faces, self._settings.model.min_face_height_px)
        held = self._hints.held(seen, frame.captured_s)
        rate = self._rate(frame.captured_s)
        self._showcase.show(Sight(self._serial, frame, faces, held, rate))
        if self._lost:
            self._say("the camera is back")
            self._lost = ""

    def _rate(self, captured_s: float) -> float:
        """Frames a second that were judged lately; 0 before the second one."""
        times_s = self._times_s
        times_s.append(captured_s)
        while captured_s - times_s[0] > RATE_SECONDS and len(times_s) > 2:
            times_s.popleft()
        passed_s = captured_s - times_s[0]
        return (len(times_s) - 1) / passed_s if passed_s > 0 else 0.0

    def _lose(self, reason: str) -> None:
        if self._serial == 0 and (better := self._explain(CameraError(reason))) is not None:
            raise better
        self._showcase.lose(reason)
        self._times_s.clear()
        if reason != self._lost:
            self._say(f"no camera: {reason}; trying again")
        self._lost = reason

    def _explained(self, fault: Exception) -> Exception:
        if self._serial or not isinstance(fault, CameraError):
            return fault
        return self._explain(fault) or fault

    def _look_after(self) -> None:
        if self._capture.hangs():
            fault = f"the camera hangs inside its driver: {self._settings.camera.source}"
            self._lose(fault)
            if self._capture.hangs_for_good():
                raise CameraError(f"{fault}; start the preview again; if that does not help, restart the Pi")


class HeldHints:
    """Lets a hint come at once and go slowly."""

    def __init__(self) -> None:
        self._seen: dict[Trouble, tuple[Hint, float]] = {}

    def held(self, seen: Aim, now_s: float) -> Aim:
        """The same, with the hints of the last `HOLD_SECONDS` too; in the order of `Trouble`."""
        self._seen.update({hint.trouble: (hint, now_s) for hint in seen.hints})
        self._seen = {trouble: kept for trouble, kept in self._seen.items() if now_s - kept[1] < HOLD_SECONDS}
        return Aim(seen.brightness, tuple(self._seen[trouble][0] for trouble in Trouble if trouble in self._seen))
