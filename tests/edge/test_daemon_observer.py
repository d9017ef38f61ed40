"""What a daemon tells whoever looks after it, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from maskwatch import capture as capture_module
from maskwatch.cameras import CameraMissingError
from maskwatch.cameras.fake import FakeCamera, Show, Step, Vanish, noise_picture
from maskwatch.config import AlertSettings, CameraSettings, IndicatorSettings, ModelSettings, Settings
from maskwatch.daemon import Daemon
from maskwatch.door import Model, Parts
from maskwatch.errors import BundleError, ConfigError
from maskwatch.indicators.record import RecordOutputs
from maskwatch.observer import RunningModel
from maskwatch.signals import Command
from maskwatch.types import Face, Frame, Situation, Verdict

LIMIT_S = 10.0


class NobodyThere:
    """Eyes that see no face."""

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        return ()


class Log:
    """An observer that remembers what it was told, in its order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.models: list[tuple[RunningModel, str]] = []
        self.threads: set[int] = set()

    def _tell(self, words: str) -> None:
        self.told.append(words)
        self.threads.add(threading.get_ident())

    def watching(self, source: str, model: str) -> None:
        self._tell(f"watching {source} with {model}")

    def runs(self, model: RunningModel, why: str) -> None:
        self.models.append((model, why))
        self.threads.add(threading.get_ident())

    def judged(self, verdict: Verdict) -> None:
        self._tell(f"judged {verdict.frame_index} {verdict.situation.value}")

    def lost_camera(self, reason: str) -> None:
        self._tell(f"lost: {reason}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        self._tell("reloading")
        yield
        self._tell("reloaded")

    def stopping(self) -> None:
        self._tell("stopping")


class Door:
    """A daemon's parts: a scripted camera, recorded lights, eyes that see nobody."""

    def __init__(self, camera: FakeCamera) -> None:
        self.camera = camera
        self.lights = RecordOutputs()
        self.settings = Settings(
            CameraSettings(source="demo", timeout_seconds=0.5), alert=AlertSettings(hold_seconds=0)
        )
        self.fault: Exception | None = None

    def load_settings(self) -> Settings:
        if self.fault is not None:
            raise self.fault
        return self.settings

    def model(self, settings: ModelSettings, loaded: Model | None) -> Model:
        if settings.bundle == "bad":
            raise BundleError("bad: the file is empty")
        return loaded or Model(NobodyThere(), ("one", 1), "one")

    def outputs(self, settings: IndicatorSettings) -> RecordOutputs:
        return self.lights

    def daemon(self, log: Log, **options: object) -> Daemon:
        return Daemon(
            self.load_settings, Parts(lambda _: self.camera, self.outputs, self.model), observer=log, **options
        )


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(capture_module, "LONGEST_PAUSE_SECONDS", 0.002)


def frames(count: int, seed: int = 0) -> list[Step]:
    return [Show(noise_picture(seed + index)) for index in range(count)]


def test_it_is_told_of_each_frame_of_the_lost_camera_and_of_the_end_in_order() -> None:
    camera = FakeCamera([*frames(2), Vanish(refused_opens=1), *frames(1, seed=9)], live=False)
    log = Log()
    Door(camera).daemon(log).run(seconds=LIMIT_S)
    assert log.told == [
        "watching demo with one",
        "judged 0 nobody",
        "judged 1 nobody",
        "lost: the fake camera is unplugged",  # once for each try
        "lost: the fake camera is unplugged",
        "judged 0 nobody",
        "stopping",
    ]
    assert log.models == [(RunningModel("one", "one"), "")]
    assert log.threads == {threading.get_ident()}


def test_a_frame_is_told_of_after_it_was_shown_and_noted() -> None:
    order = []
    log = Log()
    log._tell = order.append  # type: ignore[method-assign]
    door = Door(FakeCamera(frames(1), live=False))
    door.daemon(log, on_verdict=lambda frame, verdict: order.append("on_verdict")).run(seconds=LIMIT_S)
    assert order == ["watching demo with one", "on_verdict", "judged 0 nobody", "stopping"]


def test_a_frame_that_could_not_be_judged_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(NobodyThere, "faces", fail)
    log = Log()
    with pytest.raises(ZeroDivisionError):
        Door(FakeCamera(frames(3), live=False)).daemon(log).run(seconds=LIMIT_S)
    assert log.told == ["watching demo with one", "stopping"]


@pytest.mark.parametrize("fault", [None, ConfigError("config.toml: unknown key"), "bundle"])
def test_a_reload_is_told_of_at_its_start_and_end_whether_it_succeeds_or_not(fault: Exception | str | None) -> None:
    door, log = Door(FakeCamera([], live=False)), Log()
    daemon = door.daemon(log)
    if fault == "bundle":
        door.settings = Settings(door.settings.camera, ModelSettings(bundle="bad"))
    elif isinstance(fault, Exception):
        door.fault = fault
    daemon.command(Command.RELOAD)
    daemon.command(Command.STOP)
    daemon.run(seconds=LIMIT_S)
    taken_over = ["watching demo with one"] if fault is None else []
    assert log.told == ["watching demo with one", "reloading", *taken_over, "reloaded", "stopping"]


class Late(FakeCamera):
    """A camera that is plugged in after some tries."""

    def __init__(self, tries: int) -> None:
        super().__init__(frames(1), live=False)
        self.tries = tries

    def open(self) -> None:
        if self.tries:
            self.tries -= 1
            raise CameraMissingError("/dev/video9 is not there")
        super().open()


def test_a_camera_that_is_missing_at_the_start_is_waited_for_where_that_is_asked_for() -> None:
    """A service whose lights stayed dark while it was started over and over told nobody what was missing."""
    door, log = Door(Late(tries=3)), Log()
    daemon = door.daemon(log, wait_for_camera=True)
    shown = []
    judged = log.judged

    def look(verdict: Verdict) -> None:
        shown.append(verdict.situation)
        judged(verdict)

    log.judged = look  # type: ignore[method-assign]
    daemon.run(seconds=LIMIT_S)
    assert log.told[1:] == [*["lost: /dev/video9 is not there"] * 3, "judged 0 nobody", "stopping"]
    assert shown == [Situation.NOBODY]


def test_without_being_asked_it_does_not_wait_for_a_camera() -> None:
    log = Log()
    with pytest.raises(CameraMissingError):
        Door(Late(tries=3)).daemon(log).run(seconds=LIMIT_S)
    assert log.told == ["watching demo with one", "stopping"]
