"""A door at rest: what it passes over, what wakes it, and that all that counts seconds still does."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from daemon_stage import BARE, EMPTY, LIMIT_S, MASKED, Live, Stage, files, scene, shows
from maskwatch.cameras.base import FROZEN_SECONDS
from maskwatch.cameras.fake import FakeCamera, Show, Step, Vanish, noise_picture
from maskwatch.config import AlertSettings, IdleSettings, Settings, TrackerSettings
from maskwatch.errors import IndicatorError
from maskwatch.indicators.record import RecordOutputs
from maskwatch.observer import NoObserver
from maskwatch.service import FEEDS_PER_PERIOD, ServiceObserver
from maskwatch.signals import Command
from maskwatch.types import Situation, Verdict

pytestmark = pytest.mark.usefixtures("short_pauses")

FPS = 10
AFTER_FRAMES = 20
IDLE = IdleSettings(
    after_seconds=AFTER_FRAMES / FPS - 0.05, look_every_seconds=0.95
)  # not on a frame: sums are rounded
LOOK_FRAMES = 10


class Rests(NoObserver):
    """Remembers when the door went to rest, and when it woke: after so many frames were judged."""

    def __init__(self) -> None:
        self.judged_frames = 0
        self.changes: list[tuple[int, bool]] = []

    def judged(self, verdict: Verdict) -> None:
        self.judged_frames += 1

    def resting(self, resting: bool) -> None:
        self.changes.append((self.judged_frames, resting))


def door(steps: Iterable[Step], idle: IdleSettings = IDLE, camera: type[FakeCamera] = Live, **tables: object) -> Stage:
    stage = Stage(camera(steps))
    stage.settings = replace(stage.settings, idle=idle, **tables)
    return stage


def seconds(level: int, count: float) -> list[Step]:
    return shows(level, round(count * FPS))


def face_without_motion(level: int = BARE) -> Show:
    """The stub's eyes look at one pixel; motion is never one cell alone."""
    picture = scene(EMPTY)
    picture[0, 0] = level
    return Show(picture)


def judged_indices(stage: Stage) -> list[int]:
    return [verdict.frame_index for verdict in stage.verdicts]


def test_nothing_going_on_it_judges_one_frame_a_second(log: Callable[[], list[str]]) -> None:
    stage = door(seconds(EMPTY, 12))
    rests = Rests()
    daemon = stage.daemon(observer=rests)
    daemon.run()
    assert judged_indices(stage) == [*range(20), *range(29, 120, LOOK_FRAMES)]
    assert (daemon.frames, daemon.passed_frames, daemon.dropped_frames) == (30, 90, 0)
    assert rests.changes == [(20, True)]
    assert log()[-1] == "stopped after 30 frames; 0 more gave way to newer ones, 90 were watched for motion alone"
    assert set(stage.situations()) == {Situation.NOBODY}
    assert stage.is_dark()


@pytest.mark.parametrize("level", [BARE, MASKED])
def test_motion_is_judged_in_its_first_frame_and_so_is_all_that_follows(level: int) -> None:
    stage = door([*seconds(EMPTY, 4.5), *shows(level, 5), *seconds(EMPTY, 30)])
    rests = Rests()
    stage.daemon(observer=rests).run()
    wakes = judged_indices(stage).index(45)
    assert judged_indices(stage)[wakes - 2 : wakes + 20] == [29, 39, *range(45, 65)]
    assert stage.verdicts[wakes].people
    assert [resting for _, resting in rests.changes] == [True, False, True]


def test_a_face_that_came_without_a_motion_wakes_it_at_the_next_look() -> None:
    stage = door([*seconds(EMPTY, 4.1), *(face_without_motion() for _ in range(30)), *seconds(EMPTY, 1)])
    stage.daemon().run()
    assert judged_indices(stage)[20:] == [29, 39, *range(49, 81)]
    assert stage.verdicts[22].situation is Situation.UNMASKED


def test_somebody_who_stands_still_keeps_it_awake() -> None:
    stage = door(face_without_motion(MASKED) for _ in range(80))
    daemon = stage.daemon()
    daemon.run()
    assert (daemon.frames, daemon.passed_frames) == (80, 0)


def test_files_are_judged_frame_by_frame_and_so_is_all_where_that_was_asked_for() -> None:
    for camera, idle in ((files, IDLE), (Live, IdleSettings(after_seconds=0.0))):
        stage = door(seconds(EMPTY, 30), idle, camera)  # type: ignore[arg-type]
        daemon = stage.daemon()
        daemon.run()
        assert (daemon.frames, daemon.passed_frames, daemon.dropped_frames) == (300, 0, 0)


def test_by_default_it_rests_after_ten_seconds() -> None:
    stage = door(seconds(EMPTY, 30), Settings().idle)
    stage.daemon().run()
    assert 100 <= next(index for index in range(300) if index not in judged_indices(stage)) <= 102


def test_every_frame_of_a_camera_is_judged_passed_over_or_dropped() -> None:
    stage = door(seconds(EMPTY, 30), camera=FakeCamera)
    daemon = stage.daemon()
    daemon.run()
    assert daemon.frames + daemon.passed_frames + daemon.dropped_frames == 300


# What counts seconds


def test_a_light_is_held_to_its_end_before_it_rests() -> None:
    stage = door([*shows(BARE, 5), *seconds(EMPTY, 20)], alert=AlertSettings(hold_seconds=8.0))
    stage.daemon().run()
    last_held = max(index for index, verdict in enumerate(stage.verdicts) if verdict.situation is Situation.UNMASKED)
    assert judged_indices(stage)[: last_held + 1] == list(range(last_held + 1))
    assert stage.verdicts[last_held].captured_s - stage.verdicts[4].captured_s == pytest.approx(8 + 1, abs=0.3)
    assert stage.situations()[-1] is Situation.NOBODY


@pytest.mark.parametrize(("cool_down_s", "sounds"), [(15.0, True), (60.0, False)])
def test_a_cool_down_goes_on_while_it_rests(cool_down_s: float, sounds: bool) -> None:
    alert = AlertSettings(hold_seconds=0.0, cool_down_seconds=cool_down_s)
    stage = door([*shows(BARE, 3), *seconds(EMPTY, 20), *shows(BARE, 3)], alert=alert)
    stage.daemon().run()
    assert len(stage.verdicts) < 100
    assert stage.verdicts[0].alarm
    assert [verdict.alarm for verdict in stage.verdicts[-3:]] == [sounds] * 3


def test_who_was_lost_from_sight_is_forgotten_on_time() -> None:
    tracker = TrackerSettings(votes_needed=1, max_missed_seconds=5.05)  # between two frames
    stage = door([*shows(MASKED, 3), *seconds(EMPTY, 20), *shows(MASKED, 1)], tracker=tracker)
    stage.daemon().run()
    remembered = [verdict.frame_index for verdict in stage.verdicts if verdict.people][:-1]
    assert remembered == list(range(53)), "awake, as long as anybody is remembered"
    assert stage.verdicts[-1].people[0].track_id == 2


def test_the_watchdog_is_fed_while_it_rests() -> None:
    """By the frame that is judged now and then; one that is watched for motion alone does not count."""
    period_s = 3.0 * FEEDS_PER_PERIOD

    class Manager:
        watchdog_seconds = period_s

        def send(self, *words: str) -> bool:
            fed_s.extend([stage.verdicts[-1].captured_s] * ("WATCHDOG=1" in words))
            return True

    fed_s: list[float] = []
    stage = door(seconds(EMPTY, 60))
    service = ServiceObserver(Manager(), clock=lambda: stage.verdicts[-1].captured_s)  # type: ignore[arg-type]
    stage.daemon(observer=service).run()
    assert len(fed_s) >= 15
    assert max(later - earlier for earlier, later in itertools.pairwise(fed_s)) < 3 + 1.1


# What goes wrong while it rests


def test_a_camera_that_is_lost_and_comes_back_finds_it_awake() -> None:
    stage = door([*seconds(EMPTY, 4.5), Vanish(refused_opens=2), *seconds(EMPTY, 1)])
    shown = []
    rests = Rests()
    rests.lost_camera = lambda reason: shown.append((rests.changes[-1][1], len(stage.verdicts)))  # type: ignore[method-assign]
    stage.daemon(observer=rests).run()
    assert shown[0] == (True, 22)
    assert judged_indices(stage)[20:] == [29, 39, *range(10)]  # a camera counts from 0 when it was opened
    assert [resting for _, resting in rests.changes] == [True, False]


def test_a_camera_that_was_away_for_longer_than_it_takes_to_rest_finds_it_awake() -> None:
    """Its first frame alone was judged; then the door went to rest, as if nothing had gone on for all that time."""
    stage = door([*seconds(EMPTY, 1), Vanish(refused_opens=2), Show(scene(EMPTY), after_s=20.0), *seconds(EMPTY, 5)])
    stage.daemon().run()
    assert judged_indices(stage)[:10] == list(range(10))
    assert judged_indices(stage)[10:] == [*range(AFTER_FRAMES), 29, 39, 49]


def test_few_frames_a_second_are_all_judged_while_somebody_stands_there() -> None:
    """Of one each 2 s only every fifth was, while the buzzer sounded."""
    picture = face_without_motion(BARE).image
    steps = [Show(np.where(picture == BARE, picture, index % 2).astype(np.uint8), after_s=2.0) for index in range(30)]
    stage = door(steps, IdleSettings(after_seconds=1.0, look_every_seconds=10.0))
    stage.daemon().run()
    assert judged_indices(stage) == list(range(30))
    assert {verdict.situation for verdict in stage.verdicts} == {Situation.UNMASKED}


def test_a_frozen_camera_is_noticed(log: Callable[[], list[str]]) -> None:
    picture = noise_picture(1)
    picture[0, 0] = EMPTY
    stage = door([Show(picture, count=round(FROZEN_SECONDS * FPS) + 2), *shows(EMPTY, 1)])
    stage.daemon().run()
    assert len(stage.verdicts) < 40
    assert any("is frozen" in line for line in log())


def test_lights_that_fail_are_noticed_with_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    class Watched(Live):
        def read(self, timeout_s: float) -> object:
            if self._index == 40:
                monkeypatch.setattr(RecordOutputs, "set", fail)
            if self._index > 42:
                assert failed.wait(LIMIT_S)
                for thread in threading.enumerate():
                    if thread.name == "indicator":
                        thread.join(LIMIT_S)
            return super().read(timeout_s)

    def fail(lights: RecordOutputs, levels: object) -> None:
        failed.set()
        raise IndicatorError("a wire is loose")

    stage = door(seconds(EMPTY, 60), IdleSettings(after_seconds=2.0, look_every_seconds=10.0), Watched)
    daemon = stage.daemon()
    with pytest.raises(IndicatorError, match="a wire is loose"):
        daemon.run()
    assert 40 <= daemon.frames + daemon.passed_frames <= 44
    assert stage.is_dark()


def test_a_reload_finds_it_awake_and_takes_over_how_it_rests() -> None:
    stage = door([*seconds(EMPTY, 5), *seconds(EMPTY, 5)])

    class Reloads(Rests):
        def resting(self, resting: bool) -> None:
            super().resting(resting)
            stage.settings = replace(stage.settings, idle=IdleSettings(after_seconds=0.0))
            daemon.command(Command.RELOAD)

    rests = Reloads()
    daemon = stage.daemon(observer=rests)
    daemon.run()
    assert [resting for _, resting in rests.changes] == [True, False]
    assert daemon.passed_frames <= 2
    assert daemon.frames + daemon.passed_frames == 100


def test_it_stops_on_time_while_it_rests() -> None:
    now_s = itertools.count(0.0, 0.01)
    stage = door(seconds(EMPTY, 3600))
    daemon = stage.daemon(clock=lambda: next(now_s))
    daemon.run(seconds=20)
    assert daemon.passed_frames > 100
    assert daemon.frames + daemon.passed_frames < 36_000
    assert stage.is_dark()
