"""The camera's thread: opens, reads, and opens again what was lost; the daemon itself never waits for a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from maskwatch.cameras.base import Camera
from maskwatch.errors import CameraError, OperatorError
from maskwatch.mailbox import Ended, Item, Lost, Mailbox

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0

STEADY_SECONDS = 30.0
"""A camera that has worked for so long is healthy: its next loss starts with a short pause again. One that comes and
goes more quickly, as a loose cable does, is not hammered."""

HANDOVER_SECONDS = 2.0
"""How long a new camera waits for the old one to be let go: somewhat more than `Camera.close` takes."""

STUCK_GRACE_SECONDS = 5.0
"""A call to the camera that lasts so much longer than its timeout will hardly come back: no camera."""

GIVE_UP_SECONDS = 60.0
"""After so long inside a driver only the end of the process frees the camera; a service manager then starts anew."""


def next_pause_s(last_pause_s: float, worked_s: float) -> float:
    """Seconds to wait before opening again, after a last pause (0: none yet) and so long a time of working."""
    if worked_s >= STEADY_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(max(2 * last_pause_s, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


class Capture:
    """Owns a camera in a daemon thread of its own, from `start` to `stop`; what it has to say lies in `mailbox`.

    Of a live camera the newest frame wins; of files every frame waits its turn. A lost camera says `Lost` at once and
    is opened again for ever, after growing pauses. `Ended` is the last word: the source's end, or what stopped the
    thread. With `must_open`, a camera that cannot be opened the first time is such an end. `after` is the capture that
    this one takes over from. `announce` is called with this capture whenever there is something to take. `wait` is the
    tests' way in.
    """

    def __init__(
        self,
        camera: Camera,
        timeout_s: float,
        announce: Callable[[Capture], object],
        must_open: bool = False,
        after: Capture | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.mailbox = Mailbox(lambda: announce(self))
        self._camera = camera
        self._timeout_s = timeout_s
        self._must_open = must_open
        self._after = after
        self._clock = clock
        self._wait = wait
        self._stopping = threading.Event()
        self._called_s: float | None = None  # when the call to the camera that has not returned yet began
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def live(self) -> bool:
        """Whether the newest frame wins; of files every frame counts."""
        return self._camera.live

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to let go of the camera and end; does not wait for it."""
        self._stopping.set()
        self.mailbox.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False where it is still inside the camera's driver after `timeout_s` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stuck_s(self) -> float:
        """For how many seconds a live camera has not come back from a call; 0 where none is under way."""
        called_s = self._called_s
        return max(0.0, self._clock() - called_s) if self._camera.live and called_s is not None else 0.0

    def hangs(self) -> bool:
        """Whether it is so late in coming back that there is no camera."""
        return self.stuck_s() >= self._timeout_s + STUCK_GRACE_SECONDS

    def hangs_for_good(self) -> bool:
        """Whether only the end of the process is left to free it."""
        return self.stuck_s() >= GIVE_UP_SECONDS

    def _run(self) -> None:
        fault: Exception | None = None
        try:
            if self._after is not None:
                self._after.join(HANDOVER_SECONDS)
                self._after = None  # or every reload would keep one more of them in memory
            with closing(self._camera):
                self._watch()
        except Exception as error:  # noqa: BLE001 - not swallowed: the daemon's own thread raises it
            fault = error
        self._put(Ended(fault))

    def _watch(self) -> None:
        """Read until told to stop or the source has ended, over as many losses as it takes."""
        pause_s = 0.0
        while not self._stopping.is_set():
            opened_s = self._clock()
            try:
                self._open()
                self._read()
                return
            except CameraError as error:
                if self._must_open:
                    raise
                reason = str(error)  # no more of it: its traceback holds the last frame
            self._put(Lost(reason))
            self._called_s = self._clock()
            self._camera.close()
            self._called_s = None
            pause_s = next_pause_s(pause_s, self._clock() - opened_s)
            self._wait(self._stopping, pause_s)

    def _open(self) -> None:
        self._called_s = self._clock()
        try:
            self._camera.open()
        except OperatorError as error:
            if self._must_open:
                raise
            # The door is in service: somebody may yet put right what is missing.
            raise CameraError(str(error)) from error
        finally:
            self._called_s = None
        self._must_open = False

    def _read(self) -> None:
        while not self._stopping.is_set():
            self._called_s = self._clock()
            try:
                frame = self._camera.read(self._timeout_s)
            finally:
                self._called_s = None
            if frame is None:
                return
            self._put(frame)

    def _put(self, item: Item) -> None:
        if self._camera.live:
            self.mailbox.put(item)
        else:
            self.mailbox.put_in_turn(item)
