"""What rest saves is measured on real daemons; no test here cares how long anything takes."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from maskwatch import idle_bench
from maskwatch.bench import HEIGHT_PX, WIDTH_PX, Spread
from maskwatch.config import CameraSettings, ModelSettings
from maskwatch.door import Model
from maskwatch.errors import FindingError
from maskwatch.idle_bench import CROSSING_FRAMES, WALK_PX, Resting, RoomCamera, measure_resting, still_room, time_looks
from maskwatch.motion import Motion
from maskwatch.types import Face, Frame, Image


@pytest.fixture(scope="module")
def room() -> list[Image]:
    return still_room()


class NobodyThere:
    def faces(self, frame: Frame) -> tuple[Face, ...]:
        return ()


def nobody(settings: ModelSettings, loaded: Model | None) -> Model:
    return Model(NobodyThere(), ("none", 1), "none")


class QuickRoom(RoomCamera):
    """Its thread reads two more frames whenever somebody is about to be let out."""

    walks = 0

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._frames = 0
        self._read = threading.Condition()

    def read(self, timeout_s: float) -> Frame | None:
        frame = super().read(timeout_s)
        with self._read:
            self._frames += 1
            self._read.notify_all()
        return frame

    def walk(self) -> None:
        QuickRoom.walks += 1
        super().walk()

    def leave(self) -> None:
        with self._read:
            enough = self._frames + 2
            assert self._read.wait_for(lambda: self._frames >= enough, 60.0)
        super().leave()


def test_the_room_is_still_and_yet_no_picture_is_like_another(room: list[Image]) -> None:
    motion = Motion()
    assert not any(motion.look(Frame(room[index % len(room)], index / 10)) for index in range(50))
    assert {picture.shape for picture in room} == {(HEIGHT_PX, WIDTH_PX, 3)}
    assert all((one != other).any() for one, other in itertools.combinations(room, 2))


def test_the_rooms_camera_keeps_its_pace_and_lets_people_in_and_out(room: list[Image]) -> None:
    now_s = [100.0]
    pauses_s = []

    def pause(seconds: float) -> None:
        pauses_s.append(seconds)
        now_s[0] += seconds

    camera = RoomCamera(CameraSettings(frames_per_second=10.0), room, lambda: now_s[0], pause)
    frames = [camera.read(1.0) for _ in range(3)]
    camera.walk()
    frames += [camera.read(1.0) for _ in range(2)]
    came = camera.came
    camera.leave()
    frames.append(camera.read(1.0))
    assert pauses_s == pytest.approx([0.0] + [0.1] * 5)
    assert [frame.index for frame in frames] == list(range(6))
    assert came is frames[3]
    darkened = [(frame.image < room[index % len(room)]).any(axis=(0, 2)).sum() for index, frame in enumerate(frames)]
    assert darkened == [0, 0, 0, WALK_PX, 2 * WALK_PX, 0]


def test_looks_are_timed_one_by_one(room: list[Image]) -> None:
    clock = itertools.count(0.0, 2.0)
    assert time_looks(room, 10.0, lambda: next(clock)) == Spread(2000.0, 2000.0, 2000.0)


def test_a_door_is_measured_awake_at_rest_and_waking(tiny_bundle_path: Path) -> None:
    asked = []

    def load(settings: ModelSettings, loaded: Model | None) -> Model:
        asked.append(settings.bundle)
        return nobody(settings, loaded)

    resting = measure_resting(tiny_bundle_path, seconds=0.5, wakes=2, model=load)
    assert asked == [str(tiny_bundle_path)] * 3
    assert resting.awake_cpu_ratio > 0
    assert resting.resting_cpu_ratio > 0
    assert resting.wakes == 2
    assert 0 <= resting.wake_frames <= CROSSING_FRAMES // 2, "motion sees within two; a busy machine may drop some"
    assert resting.wake_seconds > 0
    assert Resting(0.4, 0.1, resting.look, 1, 0, 0.1).saved_ratio == pytest.approx(0.75)


def test_each_wake_is_of_a_walk_of_its_own(monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path) -> None:
    """The camera's thread took somebody who was about to be let out for the next one: a wake by nobody, in 0 frames."""
    monkeypatch.setattr(idle_bench, "RoomCamera", QuickRoom)
    monkeypatch.setattr(QuickRoom, "walks", 0)
    assert measure_resting(tiny_bundle_path, seconds=0.1, wakes=2, model=nobody).wakes == 2
    assert QuickRoom.walks == 2


def test_a_walker_whom_motion_does_not_see_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path
) -> None:
    """It waited for a minute, then said of the door that it does not rest."""
    monkeypatch.setattr(Motion, "look", lambda motion, frame: False)
    monkeypatch.setattr(idle_bench, "CROSSING_FRAMES", 2)
    monkeypatch.setattr(idle_bench, "RARE_LOOK_SECONDS", 2.0)
    with pytest.raises(FindingError, match=r"motion did not see .* did, \d+ frames later"):
        measure_resting(tiny_bundle_path, seconds=0.1, wakes=2, model=nobody)


def test_a_door_that_never_rests_is_a_finding(monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path) -> None:
    monkeypatch.setattr(idle_bench, "LIMIT_SECONDS", 0.3)
    with pytest.raises(FindingError, match="did not rest and wake"):
        measure_resting(tiny_bundle_path, seconds=10.0, wakes=1)
