"""A daemon with a scripted camera, recorded lights and eyes that see what a test paints: no hardware, no networks."""

from __future__ import annotations

import datetime
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from maskwatch.cameras.fake import FakeCamera, Show, Step
from maskwatch.config import AlertSettings, CameraSettings, IndicatorSettings, ModelSettings, Settings, TrackerSettings
from maskwatch.daemon import Daemon
from maskwatch.door import Model, Parts
from maskwatch.errors import BundleError, CameraError, IndicatorError
from maskwatch.indicators.base import OFF
from maskwatch.indicators.record import RecordOutputs
from maskwatch.types import Box, Face, Frame, Image, Label, Situation, Verdict

LIMIT_S = 10.0
NOON = datetime.time(12)
BARE, MASKED, EMPTY, FAR = 200, 100, 0, 50
"""Grey levels that the stub's eyes read: a bare face, a masked one, nobody, a bare face far away."""

serial = itertools.count()


def scene(level: int) -> Image:
    """A picture of one grey level, except for one pixel that makes each another: a sensor that lives."""
    picture = np.full((48, 64, 3), level, np.uint8)
    picture[-1, -1] = next(serial) % 256
    return picture


def shows(level: int, count: int = 1) -> list[Step]:
    return [Show(scene(level)) for _ in range(count)]


class StubEyes:
    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        self.frames.append(frame)
        level = int(frame.image[0, 0, 0])
        if level == EMPTY:
            return ()
        box = Box(10, 10, 20, 20) if level == FAR else Box(100, 100, 200, 220)
        masked = level == MASKED
        return (Face(box, 0.9, 0.99 if masked else 0.01, Label.WITH_MASK if masked else Label.WITHOUT_MASK),)


class Stage:
    """Hands out scripted cameras one after the other, recorded lights and stub eyes; keeps all it handed out."""

    def __init__(self, *cameras: FakeCamera, settings: Settings | None = None) -> None:
        self.waiting = deque(cameras)
        self.settings = settings or Settings(
            camera=CameraSettings(source="demo", timeout_seconds=0.5),
            tracker=TrackerSettings(votes_needed=1),
            alert=AlertSettings(hold_seconds=0.0),
        )
        self.lights: list[RecordOutputs] = []
        self.eyes: list[StubEyes] = []
        self.verdicts: list[Verdict] = []
        self.fault: Exception | None = None  # what the settings' file is wrong with
        self.bundle = "one"
        self.taken_pins: set[int] = set()

    def load_settings(self) -> Settings:
        if self.fault is not None:
            raise self.fault
        return self.settings

    def camera(self, settings: CameraSettings) -> FakeCamera:
        return self.waiting.popleft()

    def outputs(self, settings: IndicatorSettings) -> RecordOutputs:
        assert all(lights.closed for lights in self.lights), "two owners of the same pins"
        if settings.red_pin in self.taken_pins:
            raise IndicatorError(f"red_pin = {settings.red_pin} is taken")
        self.lights.append(RecordOutputs())
        return self.lights[-1]

    def model(self, settings: ModelSettings, loaded: Model | None) -> Model:
        if settings.bundle == "bad":
            raise BundleError("bad: the file is empty")
        identity = (self.bundle, settings.threads)
        if loaded is not None and loaded.identity == identity:
            return loaded
        self.eyes.append(StubEyes())
        return Model(self.eyes[-1], identity, self.bundle)

    def daemon(self, on_verdict: Callable[[Frame, Verdict], object] | None = None, **options: object) -> Daemon:
        def note(frame: Frame, verdict: Verdict) -> None:
            self.verdicts.append(verdict)
            if on_verdict is not None:
                on_verdict(frame, verdict)

        parts = Parts(self.camera, self.outputs, self.model)
        return Daemon(self.load_settings, parts, note, wall_time=lambda: NOON, **options)

    def situations(self) -> list[Situation]:
        return [verdict.situation for verdict in self.verdicts]

    def is_dark(self) -> bool:
        return all(lights.closed and lights.history[-1][1] == OFF for lights in self.lights)


def files(steps: Iterable[Step]) -> FakeCamera:
    return FakeCamera(steps, live=False)


class Live(FakeCamera):
    """Live to the daemon; and yet each frame waits until the one before was taken, so that no test runs a race."""

    @property
    def live(self) -> bool:
        return threading.current_thread().name != "capture"

    @live.setter
    def live(self, live: bool) -> None:
        pass


class Endless(FakeCamera):
    """A live camera that shows one scene after the other, each once the one before has been judged."""

    def __init__(self, level: int = BARE) -> None:
        super().__init__([])
        self.level = level
        self.judged = threading.Semaphore(1)
        self.shut = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        if not self.judged.acquire(timeout=2.0):  # a busy machine may take its time
            raise CameraError("nobody judges")
        self._steps.append(Show(scene(self.level)))
        return super().read(timeout_s)

    def close(self) -> None:
        super().close()
        self.shut.set()


class Missing(FakeCamera):
    def __init__(self, fault: Exception) -> None:
        super().__init__([])
        self.fault = fault

    def open(self) -> None:
        raise self.fault
