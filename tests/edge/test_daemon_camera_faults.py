"""Whatever a camera does wrong: what the door shows, what the log says in one line, and that the door recovers."""

from __future__ import annotations

import datetime
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import capture as capture_module
from maskwatch.cameras.base import FROZEN_SECONDS
from maskwatch.cameras.fake import FakeCamera, Show, Silence, Step, Vanish, plain_picture
from maskwatch.config import AlertSettings, CameraSettings, IndicatorSettings, Settings, TrackerSettings
from maskwatch.daemon import Daemon
from maskwatch.darkness import DARK_SECONDS
from maskwatch.door import Model, Parts
from maskwatch.indicators.base import OFF, Levels
from maskwatch.indicators.patterns import pattern_for
from maskwatch.indicators.record import RecordOutputs
from maskwatch.service import ServiceObserver
from maskwatch.types import Box, Face, Frame, Image, Label, Situation, Verdict

LIMIT_S = 10.0
MASKED, EMPTY = 100, 50
"""Grey levels that the stub's eyes read: someone masked, nobody."""

serial = itertools.count()


def scene(level: int, width_px: int = 64, height_px: int = 48) -> Image:
    """A grey picture with a sensor's noise, so that each is another one."""
    noise = np.random.default_rng(next(serial)).integers(-9, 10, (height_px, width_px, 3))
    return (level + noise).astype(np.uint8)


class Eyes:
    def faces(self, frame: Frame) -> tuple[Face, ...]:
        if abs(float(frame.image.mean()) - MASKED) > 10:
            return ()
        return (Face(Box(100, 100, 200, 220), 0.9, 0.99, Label.WITH_MASK),)


class Lights(RecordOutputs):
    """Recorded lights that a test can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self.captions: list[str] = []

    def set(self, levels: Levels) -> None:
        super().set(levels)
        with self._changed:
            if levels != OFF and self.captions[-1:] != [levels.caption]:
                self.captions.append(levels.caption)
                self._changed.notify_all()

    def wait_for(self, situation: Situation) -> None:
        caption = pattern_for(situation, alarm=False)[0].levels.caption
        with self._changed:
            assert self._changed.wait_for(lambda: self.captions[-1:] == [caption], LIMIT_S), (caption, self.captions)


class ShownCamera(FakeCamera):
    """A scripted camera that comes back only once the lights have told that it was lost.

    It goes on only once they have told what it showed last: else a loss that is over at once would be passed over.
    """

    def __init__(self, script: Sequence[Step], lights: Lights) -> None:
        super().__init__(script, live=False, clock=lambda: 1000.0)
        self._lights = lights
        self._waits = False
        self.shown = threading.Semaphore(0)

    def open(self) -> None:
        if "open" in self.calls:
            self._lights.wait_for(Situation.NO_CAMERA)
        super().open()

    def read(self, timeout_s: float) -> Frame | None:
        if self._waits:
            assert self.shown.acquire(timeout=LIMIT_S)
        self._waits = False
        frame = super().read(timeout_s)
        self._waits = frame is not None
        return frame


class Scene:
    """A daemon before a scripted camera; the script goes on as soon as the lights show what came before."""

    def __init__(self, *script: Step) -> None:
        self.lights = Lights()
        self.camera = ShownCamera(script, self.lights)
        self.verdicts: list[Verdict] = []
        self.told: list[str] = []
        self._seconds = itertools.count()

    watchdog_seconds = None

    def send(self, *words: str) -> bool:
        """As a Notifier does."""
        self.told.extend(words)
        return True

    def run(self) -> Daemon:
        chosen = Settings(
            camera=CameraSettings(source="demo", timeout_seconds=0.5),
            tracker=TrackerSettings(votes_needed=1),
            alert=AlertSettings(hold_seconds=0.0),
        )

        def outputs(_: IndicatorSettings) -> Lights:
            return self.lights

        parts = Parts(lambda _: self.camera, outputs, lambda _, __: Model(Eyes(), ("one", 1), "one"))
        observer = ServiceObserver(self, clock=lambda: float(next(self._seconds)))
        daemon = Daemon(lambda: chosen, parts, self._judged, wall_time=lambda: datetime.time(12), observer=observer)
        daemon.run(seconds=60)
        return daemon

    def _judged(self, frame: Frame, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.lights.wait_for(verdict.situation)
        self.camera.shown.release()


@pytest.fixture(autouse=True, scope="module")
def _short_pauses() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.001)
        patch.setattr(capture_module, "LONGEST_PAUSE_SECONDS", 0.002)
        yield


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level(logging.INFO, "maskwatch")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


@dataclass(frozen=True)
class Fault:
    """What the camera does, how many of its pictures are still judged, and why it counts as lost then."""

    steps: tuple[Step, ...]
    judged: int
    reason: str


STILL = scene(MASKED)
STEP_S = 0.125
"""Between two pictures: a power of two, so that sums of it are exact."""


def show(level: int) -> Show:
    return Show(scene(level), after_s=STEP_S)


FREEZE_COUNT = round(FROZEN_SECONDS / STEP_S)
DARK_COUNT = round(DARK_SECONDS / STEP_S)

FAULTS = {
    "freezes": Fault(
        (Show(STILL, FREEZE_COUNT + 1, STEP_S),),
        FREEZE_COUNT,
        "the fake camera is frozen: the very same picture for 10 seconds",
    ),
    "vanishes": Fault((Vanish(),), 0, "the fake camera is unplugged"),
    "vanishes for long": Fault((Vanish(refused_opens=9),), 0, "the fake camera is unplugged"),
    "is silent": Fault((Silence(),), 0, "the fake camera gave no picture for 0.5 seconds: check its cable"),
    "shrinks": Fault(
        (Show(scene(MASKED, 32, 24), after_s=STEP_S),),
        0,
        "the fake camera changed its picture size to 32×24 while running",
    ),
    "shrinks to nothing": Fault(
        (Show(plain_picture(MASKED, 1, 1), after_s=STEP_S),),
        0,
        "the fake camera gives pictures of 1×1 pixels: check its cable and its driver",
    ),
    "jumps back in time": Fault(
        (Show(scene(MASKED), after_s=-3600.0),), 0, "the fake camera is stuck: its time stamps no longer advance"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_shown_told_in_one_line_and_healed(name: str, log: Callable[[], list[tuple[str, str]]]) -> None:
    fault = FAULTS[name]
    stage = Scene(show(MASKED), *fault.steps, *(show(MASKED) for _ in range(4)))
    daemon = stage.run()
    assert stage.lights.captions == ["thank you", "no camera", "thank you"]
    assert stage.lights.history[-1][1] == OFF
    assert log() == [
        ("INFO", "watching demo with one"),
        ("INFO", "the door shows all_masked: 1 seen, 0 unmasked"),
        ("WARNING", f"the door shows no_camera: {fault.reason}; trying again"),
        ("INFO", "the door shows all_masked: 1 seen, 0 unmasked"),
        ("INFO", f"stopped after {1 + fault.judged + 4} frames; 0 more gave way to newer ones"),
    ]
    assert [words for words in stage.told if words.startswith("STATUS=no_camera")] == [
        f"STATUS=no_camera: {fault.reason}; trying again"
    ]
    assert stage.told[-2:] == ["STATUS=all_masked: 1 seen, 0 unmasked", "STOPPING=1"]
    assert daemon.frames == len(stage.verdicts)
    assert stage.camera.calls[-1] == "close"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([fault for name, fault in FAULTS.items() if name != "is silent"]), max_size=8))
def test_any_faults_in_any_order_are_healed(faults: list[Fault]) -> None:
    script: list[Step] = [show(MASKED)]
    for fault in faults:
        script += [*fault.steps, show(MASKED)]
    stage = Scene(*script)
    daemon = stage.run()
    assert daemon.frames == 1 + sum(fault.judged + 1 for fault in faults)
    assert {verdict.situation for verdict in stage.verdicts} == {Situation.ALL_MASKED}
    assert stage.lights.captions == ["thank you", *["no camera", "thank you"] * len(faults)]


def test_fifty_losses_are_fifty_returns() -> None:
    loss = (Vanish(refused_opens=1), show(MASKED))
    stage = Scene(show(MASKED), *loss * 50)
    assert stage.run().frames == 51
    assert stage.lights.captions.count("no camera") == 50


def test_a_camera_that_stays_small_is_watched_as_it_is(log: Callable[[], list[tuple[str, str]]]) -> None:
    stage = Scene(show(MASKED), *(Show(scene(EMPTY, 32, 24), after_s=60.0) for _ in range(3)))
    assert stage.run().frames == 3  # the first small one is the fault itself
    assert stage.lights.captions == ["thank you", "no camera", "ready"]


def test_a_moment_of_black_is_nobody(log: Callable[[], list[tuple[str, str]]]) -> None:
    black = Show(plain_picture(0), count=DARK_COUNT, after_s=STEP_S)
    stage = Scene(show(EMPTY), black, show(EMPTY))
    stage.run()
    assert not any(verdict.dark for verdict in stage.verdicts)
    assert stage.lights.captions == ["ready"]
    assert len(log()) == 3


def test_a_covered_lens_is_told_once_and_so_is_the_light(log: Callable[[], list[tuple[str, str]]]) -> None:
    """The log and the status said "nobody" for ever of a door that could see nothing at all."""
    black = Show(plain_picture(0), count=DARK_COUNT + 100, after_s=STEP_S)
    stage = Scene(show(EMPTY), black, show(EMPTY), show(MASKED))
    stage.run()
    words = "nobody: 0 seen, 0 unmasked"
    dark = f"{words}; the picture is black: uncover the lens, or give the door some light"
    assert log()[1:-1] == [
        ("INFO", f"the door shows {words}"),
        ("WARNING", f"the door shows {dark}"),
        ("INFO", f"the door shows {words}"),
        ("INFO", "the door shows all_masked: 1 seen, 0 unmasked"),
    ]
    assert [line for line in stage.told if line.startswith("STATUS")][:2] == [f"STATUS={words}", f"STATUS={dark}"]
    is_dark = [verdict.dark for verdict in stage.verdicts]
    assert (is_dark.index(True), is_dark.count(True)) == (1 + DARK_COUNT, 100)
    assert stage.lights.captions == ["ready", "thank you"]  # night is no fault: the lights go on as before


def test_blackness_before_a_loss_does_not_count_after_it(log: Callable[[], list[tuple[str, str]]]) -> None:
    black = Show(plain_picture(0), count=DARK_COUNT, after_s=STEP_S)
    stage = Scene(black, Vanish(), black)
    stage.run()
    assert not any(verdict.dark for verdict in stage.verdicts)
