"""What resting saves, and how soon it ends: real daemons, in this process, before a camera that paints a still room.

The camera's own work, which goes on while a door rests, is no part of it: pictures are painted before they are asked
for, at the size and pace of the default settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.bench import HEIGHT_PX, WIDTH_PX, Spread, spread
from maskwatch.cameras.base import FrameGuard
from maskwatch.config import CameraSettings, IdleSettings, ModelSettings, Settings
from maskwatch.daemon import Daemon
from maskwatch.door import Model, Parts, load_model
from maskwatch.errors import FindingError
from maskwatch.indicators.record import RecordOutputs
from maskwatch.motion import Motion
from maskwatch.observer import NoObserver
from maskwatch.signals import Command
from maskwatch.types import Frame, Image, Verdict

AFTER_SECONDS = 1.0
"""A door that is measured rests soon; how much it does then depends on `look_every_seconds` alone."""

WALK_PX = 28
"""By frame, 1.3 m/s of somebody whose face (22 cm) is 48 px high: the smallest that a door heeds."""

CROSSING_FRAMES = -(-WIDTH_PX // WALK_PX)
"""After so many frames somebody has crossed the picture; whoever is judged later was not seen by motion."""

RARE_LOOK_SECONDS = 10.0
"""Resting doors look that rarely while people walk in: long after these have crossed the picture."""

LIMIT_SECONDS = 60.0

LoadModel = Callable[[ModelSettings, Model | None], Model]

_NOISE = 4.0
_PICTURES = 4
_LOOKS = 200


@dataclass(frozen=True, slots=True)
class Resting:
    """CPU seconds, of all threads, a second of time: awake and at rest; how long one look for motion takes; and wakes.

    `wake_frames` and `wake_seconds` are the worst of `wakes`: from the first frame in which somebody walks in to the
    first that is judged (0 frames: the very one), and from that one's capture to the verdict on the lights.
    """

    awake_cpu_ratio: float
    resting_cpu_ratio: float
    look: Spread
    wakes: int
    wake_frames: int
    wake_seconds: float

    @property
    def saved_ratio(self) -> float:
        """The share of the CPU time that rest saves."""
        return 1 - self.resting_cpu_ratio / self.awake_cpu_ratio


def measure_resting(bundle: Path, seconds: float = 5.0, wakes: int = 5, model: LoadModel = load_model) -> Resting:
    """Run doors awake and at rest for so many seconds each, then let somebody walk in, so many times.

    Raises FindingError where one does not go to rest or does not wake, or motion does not see who walks in, and what
    `Daemon.run` raises.
    """
    pictures = still_room()
    settings = Settings(
        camera=CameraSettings(source="demo"), model=ModelSettings(bundle=str(bundle)), idle=IdleSettings(AFTER_SECONDS)
    )
    never = replace(settings, idle=IdleSettings(after_seconds=0.0))
    rarely = replace(settings, idle=IdleSettings(AFTER_SECONDS, RARE_LOOK_SECONDS))  # no wake by chance
    awake, resting = _Meter(seconds, at_rest=False), _Meter(seconds, at_rest=True)
    _run(never, RoomCamera(settings.camera, pictures), awake, model)
    _run(settings, RoomCamera(settings.camera, pictures), resting, model)
    room = RoomCamera(settings.camera, pictures)
    walks = _Walks(room, wakes)
    _run(rarely, room, walks, model)
    if walks.missed_frames is not None:
        raise FindingError(
            "motion did not see somebody who walked in: "
            f"a look that was due anyway did, {walks.missed_frames} frames later"
        )
    return Resting(
        awake.cpu_ratio,
        resting.cpu_ratio,
        time_looks(pictures, settings.camera.frames_per_second),
        wakes,
        max(frames for frames, _ in walks.wakes),
        max(seconds for _, seconds in walks.wakes),
    )


def time_looks(
    pictures: list[Image], frames_per_second: float, clock: Callable[[], float] = time.perf_counter
) -> Spread:
    """How long a look for motion takes on these pictures, over and over."""
    motion = Motion()
    taken_s = []
    for index in range(_LOOKS):
        frame = Frame(pictures[index % len(pictures)], index / frames_per_second, index)
        began_s = clock()
        motion.look(frame)
        taken_s.append(clock() - began_s)
    return spread(taken_s)


def still_room() -> list[Image]:
    """Pictures of an empty room, `HEIGHT_PX`×`WIDTH_PX`, that differ in nothing but a sensor's noise."""
    random = np.random.default_rng(5)
    light = np.linspace(70, 150, WIDTH_PX, dtype=np.float32)[None, :, None]
    room: npt.NDArray[np.float32] = np.broadcast_to(light, (HEIGHT_PX, WIDTH_PX, 3)).copy()
    cv2.rectangle(room, (0, 700), (WIDTH_PX, HEIGHT_PX), (84, 80, 78), -1)  # floor
    cv2.rectangle(room, (480, 180), (800, 700), (120, 96, 70), -1)  # door
    cv2.rectangle(room, (930, 140), (1180, 420), (205, 212, 220), -1)  # window
    noise = random.normal(0, _NOISE, (_PICTURES, *room.shape)).astype(np.float32)
    return [np.clip(room + noise[index], 0, 255).astype(np.uint8) for index in range(_PICTURES)]


class RoomCamera:
    """A live camera before that room, at its settings' pace; `walk` lets somebody in from the left, `leave` out."""

    live = True

    def __init__(
        self,
        settings: CameraSettings,
        pictures: list[Image],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.came: Frame | None = None
        """The first frame in which somebody walks."""
        self._period_s = 1 / settings.frames_per_second
        self._pictures = pictures
        self._clock, self._pause = clock, pause
        self._guard = FrameGuard("the painted room")
        self._walking = False
        self._index = 0
        self._due_s = clock()

    def open(self) -> None:
        """Do nothing: the room is there."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when it is due; never None."""
        self._pause(max(0.0, self._due_s - self._clock()))
        captured_s = self._clock()
        self._due_s = max(self._due_s + self._period_s, captured_s)
        image = self._pictures[self._index % len(self._pictures)]
        came, walking = self.came, self._walking  # in this order: `leave` comes before `came` is taken away
        if walking:
            steps = 1 if came is None else 1 + self._index - came.index
            image = image.copy()
            image[HEIGHT_PX // 4 :, : steps * WALK_PX] //= 2
        self._guard.check(image, captured_s)
        frame = Frame(image, captured_s, self._index)
        if walking and came is None:
            self.came = frame
        self._index += 1
        return frame

    def close(self) -> None:
        """Do nothing."""

    def walk(self) -> None:
        """Let somebody come in, from the next frame on."""
        self.came, self._walking = None, True

    def leave(self) -> None:
        """Let nobody be there, from the next frame on."""
        self._walking = False


class _Ends(NoObserver):
    """Ends its daemon's run."""

    stop: Callable[[], object]
    done = False

    def end(self) -> None:
        self.done = True
        self.stop()


class _Meter(_Ends):
    """Counts the process's CPU time, from the first verdict on or from the beginning of rest."""

    def __init__(self, seconds: float, at_rest: bool) -> None:
        self.cpu_ratio = 0.0
        self._seconds = seconds
        self._at_rest = at_rest
        self._began: tuple[float, float] | None = None

    def resting(self, resting: bool) -> None:
        if self._at_rest and resting:
            self._began = time.monotonic(), time.process_time()

    def judged(self, verdict: Verdict) -> None:
        now_s, cpu_s = time.monotonic(), time.process_time()
        if self._began is None:
            if not self._at_rest:
                self._began = now_s, cpu_s
        elif now_s - self._began[0] >= self._seconds:
            self.cpu_ratio = (cpu_s - self._began[1]) / (now_s - self._began[0])
            self.end()


class _Walks(_Ends):
    """Lets somebody in whenever the door rests, and out as soon as that is judged; ends with one that motion missed."""

    def __init__(self, room: RoomCamera, count: int) -> None:
        self.wakes: list[tuple[int, float]] = []
        self.missed_frames: int | None = None
        self._room = room
        self._count = count

    def resting(self, resting: bool) -> None:
        if resting:
            self._room.walk()

    def judged(self, verdict: Verdict) -> None:
        came = self._room.came
        if came is None or verdict.frame_index < came.index:
            return
        frames = verdict.frame_index - came.index
        self.wakes.append((frames, time.monotonic() - came.captured_s))
        self._room.leave()
        self._room.came = None
        if frames > CROSSING_FRAMES:
            self.missed_frames = frames
        if self.missed_frames is not None or len(self.wakes) == self._count:
            self.end()


def _run(settings: Settings, camera: RoomCamera, observer: _Ends, model: LoadModel) -> None:
    parts = Parts(lambda _: camera, lambda _: RecordOutputs(), model)
    daemon = Daemon(lambda: settings, parts, observer=observer)
    observer.stop = lambda: daemon.command(Command.STOP)
    daemon.run(LIMIT_SECONDS)
    if not observer.done:
        raise FindingError(f"a door before a still room did not rest and wake within {LIMIT_SECONDS:g} s")
