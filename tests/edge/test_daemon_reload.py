"""The daemon takes over new settings while it runs: all of them or none, and nothing else is disturbed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from daemon_stage import BARE, LIMIT_S, MASKED, Endless, Missing, Stage, shows
from maskwatch import daemon as daemon_module
from maskwatch.cameras import CameraMissingError
from maskwatch.cameras.fake import FakeCamera
from maskwatch.config import AlertSettings, IndicatorSettings, ModelSettings, TrackerSettings
from maskwatch.daemon import Daemon
from maskwatch.errors import ConfigError, IndicatorError
from maskwatch.indicators.base import OFF, Levels
from maskwatch.indicators.record import RecordOutputs
from maskwatch.signals import Command
from maskwatch.types import Frame, Label, Situation, Verdict

pytestmark = pytest.mark.usefixtures("short_pauses")


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
