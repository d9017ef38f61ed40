"""The daemon from its first frame to its end: what is judged, what is told, and that the lights are off after it."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from daemon_stage import BARE, EMPTY, FAR, LIMIT_S, MASKED, Endless, Stage, StubEyes, files, scene, shows
from maskwatch import daemon as daemon_module
from maskwatch.cameras.fake import FakeCamera, Show, Silence
from maskwatch.config import AlertSettings, CameraSettings, ModelSettings
from maskwatch.darkness import DARK_SECONDS
from maskwatch.errors import IndicatorError
from maskwatch.indicators.record import RecordOutputs
from maskwatch.signals import Command, commands_from_signals
from maskwatch.types import Frame, Situation, Verdict

pytestmark = pytest.mark.usefixtures("short_pauses")


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


def test_blackness_before_another_cameras_picture_does_not_count_for_it() -> None:
    """A reload took the seconds for which one camera was covered for those of the next one."""

    def black(count: int, start_s: float) -> FakeCamera:
        return FakeCamera([Show(scene(0), after_s=1.0) for _ in range(count)], live=False, clock=lambda: start_s)

    total = 25
    stage = Stage(black(total, 0.0), black(total, float(total)))
    adopted = []

    def reload(frame: Frame, verdict: Verdict) -> None:
        if frame.index == total - 10 and not adopted:
            adopted.append(frame)
            stage.settings = replace(stage.settings, camera=CameraSettings(source="demo", timeout_seconds=0.7))
            daemon.command(Command.RELOAD)

    daemon = stage.daemon(reload)
    daemon.run()
    assert not stage.waiting
    assert stage.verdicts[-1].captured_s == 2 * total
    assert total < DARK_SECONDS < 2 * total
    assert not any(verdict.dark for verdict in stage.verdicts)
