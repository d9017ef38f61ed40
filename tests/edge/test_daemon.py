"""The daemon with a scripted camera, recorded lights and eyes that see what a test paints: no hardware, no networks."""

from __future__ import annotations

import datetime
import itertools
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from maskwatch import capture as capture_module
from maskwatch import daemon as daemon_module
from maskwatch.cameras import CameraMissingError
from maskwatch.cameras.fake import FakeCamera, Show, Silence, Step, Vanish
from maskwatch.config import (
    AlertSettings,
    CameraSettings,
    IndicatorSettings,
    ModelSettings,
    Settings,
    TrackerSettings,
)
from maskwatch.daemon import Daemon
from maskwatch.door import Model, Parts
from maskwatch.errors import BundleError, CameraError, ConfigError, IndicatorError
from maskwatch.indicators.base import OFF, Levels
from maskwatch.indicators.record import RecordOutputs
from maskwatch.signals import Command, commands_from_signals, hung_up
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


class Endless(FakeCamera):
    """A live camera that shows one scene after the other, each once the one before has been judged."""

    def __init__(self, level: int = BARE) -> None:
        super().__init__([])
        self.level = level
        self.judged = threading.Semaphore(1)
        self.shut = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        if not self.judged.acquire(timeout=0.2):
            raise CameraError("nobody judges")
        self._steps.append(Show(scene(self.level)))
        return super().read(timeout_s)

    def close(self) -> None:
        super().close()
        self.shut.set()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(capture_module, "LONGEST_PAUSE_SECONDS", 0.002)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "maskwatch")
    return lambda: [record.getMessage() for record in caplog.records]


def test_files_are_judged_to_the_last_frame_and_leave_the_lights_off(log: Callable[[], list[str]]) -> None:
    camera = files(shows(EMPTY) + shows(BARE, 2) + shows(MASKED, 8) + shows(EMPTY, 30))
    stage = Stage(camera)
    daemon = stage.daemon()
    daemon.run()
    order = [situation for situation, _ in itertools.groupby(stage.situations())]
    assert order == [Situation.NOBODY, Situation.UNMASKED, Situation.ALL_MASKED, Situation.NOBODY]
    assert (daemon.frames, daemon.dropped_frames) == (41, 0)
    assert [verdict.frame_index for verdict in stage.verdicts] == list(range(41))
    assert stage.is_dark()
    assert camera.calls[-1] == "close"
    assert log() == [
        "watching demo with one",
        "the door shows nobody: 0 seen, 0 unmasked",
        "the door shows unmasked: 1 seen, 1 unmasked",
        "the door shows all_masked: 1 seen, 0 unmasked",
        "the door shows nobody: 0 seen, 0 unmasked",
        "stopped after 41 frames; 0 more gave way to newer ones",
    ]


def test_faces_far_away_are_ignored() -> None:
    stage = Stage(files(shows(FAR, 5)))
    stage.daemon().run()
    assert set(stage.situations()) == {Situation.NOBODY}
    stage = Stage(files(shows(FAR, 5)), settings=replace(stage.settings, model=ModelSettings(min_face_height_px=10)))
    stage.daemon().run()
    assert set(stage.situations()) == {Situation.UNMASKED}


def test_quiet_hours_are_judged_by_the_injected_time() -> None:
    for hours, alarm in (("11:00-13:00", False), ("13:00-11:00", True)):
        stage = Stage(files(shows(BARE)))
        stage.settings = replace(stage.settings, alert=AlertSettings(quiet_hours=hours))
        stage.daemon().run()
        assert stage.verdicts[0].alarm is alarm


def test_a_lost_camera_shows_at_once_and_comes_back_by_itself(log: Callable[[], list[str]]) -> None:
    later = [Show(scene(EMPTY), after_s=60.0)]  # the tracker has forgotten whoever stood there
    stage = Stage(files([*shows(MASKED), Vanish(refused_opens=5), *later, Silence(), *later]))
    stage.daemon().run()
    assert stage.situations() == [Situation.ALL_MASKED, Situation.NOBODY, Situation.NOBODY]
    lines = log()
    assert lines[2:-1] == [
        "the door shows no_camera: the fake camera is unplugged; trying again",  # once, not for each try
        "the door shows nobody: 0 seen, 0 unmasked",
        "the door shows no_camera: the fake camera gave no picture for 0.5 seconds: check its cable; trying again",
        "the door shows nobody: 0 seen, 0 unmasked",
    ]
    assert stage.is_dark()


class Missing(FakeCamera):
    def __init__(self, fault: Exception) -> None:
        super().__init__([])
        self.fault = fault

    def open(self) -> None:
        raise self.fault


def test_a_camera_that_is_missing_at_the_start_ends_the_run_in_silence(log: Callable[[], list[str]]) -> None:
    stage = Stage(Missing(CameraMissingError("/dev/video9 is not there")))
    with pytest.raises(CameraMissingError, match="is not there"):
        stage.daemon().run()
    assert stage.is_dark()
    assert log() == []  # the command line says it, once


@pytest.mark.parametrize("place", ["camera", "eyes", "observer"])
def test_any_exception_in_any_thread_leaves_the_lights_off(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    stage = Stage(files(shows(BARE, 3)))
    if place == "camera":
        monkeypatch.setattr(FakeCamera, "read", fail)
    if place == "eyes":
        monkeypatch.setattr(StubEyes, "faces", fail)
    with pytest.raises(ZeroDivisionError):
        stage.daemon(fail if place == "observer" else None).run()
    assert len(stage.lights) == 1
    assert stage.is_dark()


def test_lights_that_fail_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(lights: RecordOutputs, levels: object) -> None:
        failed.set()
        raise IndicatorError("a wire is loose")

    monkeypatch.setattr(RecordOutputs, "set", fail)
    stage = Stage(FakeCamera([*shows(BARE, 1), *(Silence() for _ in range(1000))]))
    monkeypatch.setattr(daemon_module, "TICK_SECONDS", 0.01)
    with pytest.raises(IndicatorError, match="a wire is loose"):
        stage.daemon().run(seconds=LIMIT_S)
    assert failed.is_set()
    assert stage.is_dark()


def test_it_stops_after_the_time_that_was_asked_for() -> None:
    now_s = itertools.count(0.0, 0.25)
    camera = Endless()
    stage = Stage(camera)
    stage.daemon(lambda frame, verdict: camera.judged.release(), clock=lambda: next(now_s)).run(seconds=20)
    assert stage.verdicts
    assert stage.is_dark()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_while_the_camera_is_frozen(number: signal.Signals) -> None:
    class Frozen(FakeCamera):
        release = threading.Event()

        def read(self, timeout_s: float) -> Frame | None:
            asked.release()
            self.release.wait(LIMIT_S)
            return None

    asked = threading.Semaphore(0)
    stage = Stage(Frozen([]))
    daemon = stage.daemon()
    before = signal.getsignal(number)

    def send() -> None:
        assert asked.acquire(timeout=LIMIT_S)
        signal.pthread_kill(threading.main_thread().ident, number)

    sender = threading.Thread(target=send)
    sender.start()
    with commands_from_signals(daemon.command):
        daemon.run(seconds=LIMIT_S)
    sender.join(LIMIT_S)
    Frozen.release.set()
    assert signal.getsignal(number) is before
    assert stage.is_dark()


def test_a_camera_that_hangs_is_shown_as_lost_and_at_last_given_up(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    now_s, inside, release = [0.0], threading.Event(), threading.Event()

    class Frozen(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            inside.set()
            release.wait(LIMIT_S)
            return None

    def clock() -> float:
        if inside.is_set():
            now_s[0] += 1.0
        return now_s[0]

    monkeypatch.setattr(daemon_module, "TICK_SECONDS", 0.005)
    stage = Stage(Frozen([]))
    with pytest.raises(CameraError, match="hangs inside its driver: demo; only a restart"):
        stage.daemon(clock=clock).run()
    release.set()
    assert log()[0] == "the door shows no_camera: the camera hangs inside its driver: demo; trying again"
    assert stage.is_dark()


def reload_after_first(stage: Stage, camera: Endless, change: Callable[[], None], frames: int = 6) -> Daemon:
    """Run until so many frames were judged; after the first, `change` is called and a reload asked for."""

    def judged(frame: Frame, verdict: Verdict) -> None:
        if len(stage.verdicts) == 1:
            change()
            daemon.command(Command.RELOAD)
        if len(stage.verdicts) == frames:
            daemon.command(Command.STOP)
        camera.judged.release()

    daemon = stage.daemon(judged)
    daemon.run(seconds=LIMIT_S)
    assert len(stage.verdicts) >= frames
    assert stage.is_dark()
    return daemon


def test_a_reload_takes_over_the_alert_and_leaves_camera_lights_and_networks_alone() -> None:
    camera = Endless()
    stage = Stage(camera)

    def change() -> None:
        stage.settings = replace(stage.settings, alert=AlertSettings(alarm_seconds=0.0))

    reload_after_first(stage, camera, change)
    assert stage.verdicts[0].alarm
    assert not stage.verdicts[-1].alarm
    assert (len(stage.lights), len(stage.eyes), camera.calls.count("open")) == (1, 1, 1)


def test_a_reload_takes_over_the_tracker() -> None:
    camera = Endless()
    stage = Stage(camera)

    def change() -> None:
        stage.settings = replace(stage.settings, tracker=TrackerSettings(votes_needed=9))

    reload_after_first(stage, camera, change)
    assert stage.situations()[0] is Situation.UNMASKED
    assert stage.verdicts[-1].people[0].label is None


@pytest.mark.parametrize("changed", ["file", "threads"])
def test_a_reload_takes_over_another_bundle(changed: str) -> None:
    camera = Endless()
    stage = Stage(camera)

    def change() -> None:
        if changed == "file":
            stage.bundle = "two"
        else:
            stage.settings = replace(stage.settings, model=ModelSettings(threads=1))

    reload_after_first(stage, camera, change)
    assert (len(stage.eyes), camera.calls.count("open")) == (2, 1)
    assert len(stage.eyes[0].frames) + len(stage.eyes[1].frames) == len(stage.verdicts)
    assert stage.eyes[1].frames


def test_a_reload_moves_the_lights_and_shows_the_last_verdict_on_them() -> None:
    camera = Endless()
    stage = Stage(camera)

    def change() -> None:
        stage.settings = replace(stage.settings, indicator=IndicatorSettings(red_pin=5))

    reload_after_first(stage, camera, change)
    old, new = stage.lights
    assert old.history[-1][1] == OFF
    assert old.history[-1][0] <= new.history[0][0]


def test_lights_that_a_reload_moves_do_not_wait_for_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    lit = threading.Event()

    class OneFrame(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            if self._steps:
                return super().read(timeout_s)
            assert lit.wait(LIMIT_S), "the new lights stayed dark"
            return None

    def note(lights: RecordOutputs, levels: Levels) -> None:
        if len(stage.lights) == 2 and levels != OFF:
            lit.set()

    def judged(frame: Frame, verdict: Verdict) -> None:
        stage.settings = replace(stage.settings, indicator=IndicatorSettings(red_pin=5))
        daemon.command(Command.RELOAD)

    monkeypatch.setattr(RecordOutputs, "set", note)
    monkeypatch.setattr(daemon_module, "TICK_SECONDS", 10 * LIMIT_S)  # nor for the next look at the lights
    stage = Stage(OneFrame(shows(BARE)))
    daemon = stage.daemon(judged)
    daemon.run()
    assert lit.is_set()


def test_a_reload_opens_another_camera_after_closing_the_old_one() -> None:
    old, new = Endless(), Endless(MASKED)
    stage = Stage(old, new)
    opened_after_close = []
    new_open = new.open
    new.open = lambda: (opened_after_close.append(old.shut.is_set()), new_open())  # type: ignore[method-assign]

    def judged(frame: Frame, verdict: Verdict) -> None:
        if len(stage.verdicts) == 1:
            stage.settings = replace(stage.settings, camera=replace(stage.settings.camera, source="v4l2:1"))
            daemon.command(Command.RELOAD)
        elif frame.image[0, 0, 0] == MASKED:
            daemon.command(Command.STOP)
        new.judged.release()

    daemon = stage.daemon(judged)
    daemon.run(seconds=LIMIT_S)
    assert opened_after_close[:1] == [True]
    assert stage.verdicts[-1].people[0].face.label is Label.WITH_MASK
    assert (old.calls[-1], stage.is_dark()) == ("close", True)


def test_a_camera_that_a_reload_names_and_that_is_not_there_is_waited_for(log: Callable[[], list[str]]) -> None:
    camera = Endless()
    stage = Stage(camera, Missing(CameraMissingError("/dev/video1 is not there")))

    def judged(frame: Frame, verdict: Verdict) -> None:
        stage.settings = replace(stage.settings, camera=replace(stage.settings.camera, source="v4l2:1"))
        daemon.command(Command.RELOAD)

    daemon = stage.daemon(judged)
    logging.getLogger("maskwatch.daemon").addFilter(watcher := stop_at("no_camera: /dev/video1", daemon))
    try:
        daemon.run(seconds=LIMIT_S)
    finally:
        logging.getLogger("maskwatch.daemon").removeFilter(watcher)
    assert "the door shows no_camera: /dev/video1 is not there; trying again" in log()
    assert stage.is_dark()


def stop_at(words: str, daemon: Daemon) -> Callable[[logging.LogRecord], bool]:
    """A filter of the log that stops the daemon once it has said these words."""

    def watch(record: logging.LogRecord) -> bool:
        if words in record.getMessage():
            daemon.command(Command.STOP)
        return True

    return watch


@pytest.mark.parametrize("what", ["file", "bundle", "pins"])
def test_a_bad_reload_changes_nothing_and_says_one_line(what: str, log: Callable[[], list[str]]) -> None:
    camera = Endless()
    stage = Stage(camera)

    def change() -> None:
        new = replace(stage.settings, alert=AlertSettings(alarm_seconds=0.0))
        if what == "file":
            stage.fault = ConfigError("config.toml: unknown key alert.alarm_second")
        if what == "bundle":
            new = replace(new, model=ModelSettings(bundle="bad"))
        if what == "pins":
            stage.taken_pins = {5}
            new = replace(new, indicator=IndicatorSettings(red_pin=5))
        stage.settings = new

    reload_after_first(stage, camera, change)
    assert all(verdict.alarm for verdict in stage.verdicts)
    assert (len(stage.eyes), camera.calls.count("open")) == (1, 1)
    (line,) = (line for line in log() if "the old settings stay in force" in line)
    fault = {"file": "config.toml: unknown key", "bundle": "bad: the file is empty", "pins": "red_pin = 5 is taken"}
    assert line.startswith(fault[what])


def test_lights_that_cannot_be_had_back_end_the_run() -> None:
    camera = Endless()
    stage = Stage(camera)

    def change() -> None:
        stage.taken_pins = {5, 17}
        stage.settings = replace(stage.settings, indicator=IndicatorSettings(red_pin=5))

    with pytest.raises(IndicatorError, match="red_pin = 17 is taken"):
        reload_after_first(stage, camera, change)
    assert stage.is_dark()


def test_a_slow_judge_sees_the_newest_frame() -> None:
    total = 200
    camera = FakeCamera(shows(BARE, total))
    stage = Stage(camera)
    drained = threading.Event()
    read = camera.read

    def watched_read(timeout_s: float) -> Frame | None:
        taken = read(timeout_s)
        if taken is None:
            drained.set()
            assert released.wait(LIMIT_S)
        return taken

    released = threading.Event()
    camera.read = watched_read  # type: ignore[method-assign]

    def judged(frame: Frame, verdict: Verdict) -> None:
        assert drained.wait(LIMIT_S)  # judging takes as long as the camera's whole script
        if frame.index == total - 1:
            released.set()

    daemon = stage.daemon(judged)
    daemon.run(seconds=LIMIT_S)
    assert [verdict.frame_index for verdict in stage.verdicts][1:] in ([total - 1], [])
    assert daemon.frames + daemon.dropped_frames == total


def test_a_hung_up_signal_reloads_unless_its_terminal_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Command] = []
    for terminals, expected in (
        ([False], Command.RELOAD),
        ([True, True], Command.RELOAD),
        ([True, False], Command.STOP),
    ):
        answers = deque(terminals)
        monkeypatch.setattr("os.isatty", lambda descriptor, answers=answers: answers.popleft())
        with commands_from_signals(commands.append):
            signal.raise_signal(signal.SIGHUP)
        assert commands.pop() is expected


def test_a_terminal_is_hung_up_when_its_other_end_is_closed() -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    assert not hung_up(theirs)
    os.close(ours)
    assert hung_up(theirs)
    os.close(theirs)
