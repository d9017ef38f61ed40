"""A door changes its model while it watches: loaded beside the frames, swapped between two, left where it fails."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from daemon_door import Door, groups
from daemon_stage import BARE, EMPTY, LIMIT_S, MASKED, Live, files, scene, shows
from maskwatch import daemon as daemon_module
from maskwatch import model_watch
from maskwatch.cameras.fake import FakeCamera, Show
from maskwatch.config import AlertSettings, CameraSettings, IdleSettings, ModelSettings, Settings
from maskwatch.daemon import Daemon
from maskwatch.door import Parts
from maskwatch.errors import BundleError
from maskwatch.indicators.record import RecordOutputs
from maskwatch.model_source import in_words
from maskwatch.signals import Command
from maskwatch.slots import folder as disk
from maskwatch.slots.choice import Doubts, Look
from maskwatch.slots.running import Runner
from maskwatch.slots.states import HEALTHY_FRAMES
from maskwatch.status import Status
from maskwatch.status_keeper import StatusKeeper
from maskwatch.types import Frame, Situation, Verdict
from slots_stage import Shelf, SlotStage
from tiny_models import tiny_bundle

pytestmark = pytest.mark.usefixtures("short_pauses", "eager_looks")

FAILS = BundleError("the model fails while it runs: gather index out of bounds")

STOP_LIMIT_S = 5.0
"""The contract is 2 s; these tests share their cores with others."""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.confirm("2.0.0")
    return shelf


# The swap


def test_what_is_activated_is_loaded_beside_the_frames_and_swapped_in(
    shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    door = Door(shelf)
    held = door.stage.held["3.0.0"] = threading.Event()
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.begins("3.0.0"))
    door.when(door.at(20), held.set)
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0"]
    assert stage.names.index("tiny 3.0.0") > 20
    assert stage.load_threads == ["MainThread", "model"]
    assert [name for name, _ in stage.told] == [
        "tiny 2.0.0 (slot a)",
        "tiny 3.0.0 (slot b, on trial)",
        "tiny 3.0.0 (slot b)",
    ]
    swapped = "the model is now tiny 3.0.0 (slot b, on trial), instead of tiny 2.0.0 (slot a)"
    assert [line for line in log() if "tiny 3.0.0" in line][:2] == [swapped, "tiny 3.0.0 (slot b) is confirmed"]
    state = shelf.slots.read()
    assert (state.active, state.b.state, state.last_event.event) == ("b", "confirmed", "healthy")
    assert state.tries_left == 0


def test_a_swap_on_trial_is_confirmed_by_its_own_frames_alone(shelf: Shelf) -> None:
    door = Door(shelf)
    door.when(door.at(3 * HEALTHY_FRAMES), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b, on trial)"))
    door.when(door.at(HEALTHY_FRAMES - 10), lambda: trying.append(shelf.slots.read().trying))
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    trying: list[bool] = []
    stage = door.run()
    assert trying == [True]
    assert stage.names.count("tiny 3.0.0") >= HEALTHY_FRAMES


def test_a_first_slot_takes_over_from_the_built_in_model(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    door = Door(shelf)
    door.when(door.at(3), lambda: shelf.activate("2.0.0"))
    door.when(door.runs("tiny 2.0.0 (slot a)"), lambda: shelf.slots.roll_back("by hand", confirmed=True))
    door.when(door.runs("built-in"))
    door.when(door.at(3))
    stage = door.run()
    assert groups(stage.names) == ["built-in", "tiny 2.0.0", "built-in"]


def test_people_are_told_apart_anew_after_a_swap_and_the_light_holds(shelf: Shelf) -> None:
    door = Door(shelf, BARE)
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b, on trial)"))
    door.when(door.at(3))
    stage = door.run()
    assert set(stage.situations()) == {Situation.UNMASKED}
    assert {verdict.people[0].track_id for verdict in stage.verdicts} == {1}


def test_while_no_frame_comes_it_is_swapped_all_the_same(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            if self._steps:
                return super().read(timeout_s)
            assert swapped.wait(LIMIT_S)
            return None

    swapped = threading.Event()
    monkeypatch.setattr(daemon_module, "TICK_SECONDS", 0.01)
    stage = SlotStage(shelf, Frozen(shows(EMPTY, 1)))
    told = stage.told

    class Told(list[tuple[str, str]]):
        def append(self, item: tuple[str, str]) -> None:
            super().append(item)
            if item[0].startswith("tiny 3.0.0"):
                swapped.set()

    stage.told = Told(told)
    stage.daemon(lambda frame, verdict: shelf.activate("3.0.0")).run()
    assert [name for name, _ in stage.told] == ["tiny 2.0.0 (slot a)", "tiny 3.0.0 (slot b, on trial)"]


def test_what_an_operator_does_during_a_trial_is_followed(shelf: Shelf) -> None:
    door = Door(shelf)
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b, on trial)"), lambda: shelf.slots.roll_back("by hand"))
    door.when(door.runs("tiny 2.0.0 (slot a)"), lambda: shelf.activate("4.0.0"))
    door.when(door.runs("tiny 4.0.0 (slot b, on trial)"), shelf.slots.confirm)
    door.when(door.runs("tiny 4.0.0 (slot b)"))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0", "tiny 2.0.0", "tiny 4.0.0"]
    assert stage.loaded == ["2.0.0", "3.0.0", "4.0.0"], "what is still in memory is not loaded again"
    assert shelf.slots.read().last_event.event == "confirm"
    assert stage.told[-1][1] == "tiny 4.0.0 (slot b) is confirmed"


# What fails


@pytest.mark.parametrize(
    "fault",
    [FAILS, RuntimeError("Tensor data is null"), ValueError("Cannot set tensor"), MemoryError()],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("sound_frames", [0, 7])
def test_networks_that_fail_on_trial_are_left_and_not_one_frame_goes_unjudged(
    fault: Exception, sound_frames: int, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    door = Door(shelf)
    door.stage.eye_faults["3.0.0"] = (fault, sound_frames)
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(lambda: shelf.slots.read().b.state == "failed")
    door.when(door.at(HEALTHY_FRAMES + 10))
    stage = door.run()
    expected = ["tiny 2.0.0", *["tiny 3.0.0", "tiny 2.0.0"][: 2 * bool(sound_frames)]]
    assert groups(stage.names) == expected
    assert stage.names.count("tiny 3.0.0") == sound_frames
    assert stage.loaded == ["2.0.0", "3.0.0"], "the one before was still in memory"
    state = shelf.slots.read()
    reason = str(fault) if isinstance(fault, BundleError) else f"{type(fault).__name__}: {fault}".strip()
    assert (state.active, state.a.state, state.b.reason) == ("a", "confirmed", reason)
    (line,) = [line for line in log() if "rolled back" in line]
    assert line.startswith(f"tiny 3.0.0 (slot b, on trial) is rolled back: {reason}")
    assert line.endswith("; the door runs tiny 2.0.0 (slot a)")
    assert stage.told[-1] == ("tiny 2.0.0 (slot a)", line)


def test_networks_that_fail_on_trial_while_nothing_can_be_written_are_not_run_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(shelf)
    door.stage.eye_faults["3.0.0"] = (FAILS, 7)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b, on trial)"), lambda: monkeypatch.setattr(disk, "put", refuse))
    door.when(door.runs("tiny 2.0.0 (slot a)"))
    door.when(door.at(2 * HEALTHY_FRAMES))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0", "tiny 2.0.0"]
    assert shelf.slots.read().trying
    assert len([words for words in stage.told if "a rollback cannot be noted" in words[1]]) == 1


def test_networks_that_fail_on_trial_after_a_restart_are_left_for_what_the_disk_has(shelf: Shelf) -> None:
    shelf.activate("3.0.0")
    stage = SlotStage(shelf, files(shows(EMPTY, 10)))
    stage.eye_faults["3.0.0"] = (FAILS, 4)
    stage.daemon().run()
    assert groups(stage.names) == ["tiny 3.0.0", "tiny 2.0.0"]
    assert len(stage.names) == 10
    assert stage.loaded == ["3.0.0", "2.0.0"]


@pytest.mark.parametrize(
    "fault", [FAILS, RuntimeError("gather"), MemoryError()], ids=lambda fault: type(fault).__name__
)
def test_networks_that_fail_once_they_are_confirmed_are_left_by_this_process(
    fault: Exception, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    """They ended the run, and the next, for ever: an empty corridor had confirmed them, and then a face came."""
    shelf.confirm("3.0.0")
    before = shelf.slots.read()
    door = Door(shelf)
    door.stage.eye_faults["3.0.0"] = (fault, 4)
    door.when(door.runs("tiny 2.0.0 (slot a)"), lambda: shelf.install("4.0.0"))  # a change to look at
    door.when(door.runs("built-in"))
    door.when(door.at(HEALTHY_FRAMES))
    stage = door.run()
    assert groups(stage.names) == ["tiny 3.0.0", "tiny 2.0.0", "built-in"]
    assert stage.names.count("tiny 3.0.0") == 4
    assert stage.loaded == ["3.0.0", "2.0.0", "built-in"]
    after = shelf.slots.read()
    assert (after.active, after.b) == (before.active, before.b)
    reason = in_words(fault)
    lines = [line for line in log() if "passed over" in line]
    assert lines[0] == f"slot b is passed over: {reason}; the door runs tiny 2.0.0 (slot a)"
    assert stage.told[1] == ("tiny 2.0.0 (slot a)", lines[0])
    assert len(lines) == 2, "the second tells of the next model"


def test_where_all_slots_fail_on_a_frame_the_built_in_model_judges_it(shelf: Shelf) -> None:
    shelf.confirm("3.0.0")
    stage = SlotStage(shelf, files(shows(EMPTY, 10)))
    stage.eye_faults = {"3.0.0": (FAILS, 4), "2.0.0": (FAILS, 0)}
    stage.daemon().run()
    assert stage.names == ["tiny 3.0.0"] * 4 + ["built-in"] * 6


def test_a_built_in_model_that_fails_ends_the_run(shelf: Shelf) -> None:
    stage = SlotStage(shelf, files(shows(EMPTY, 10)))
    stage.eye_faults = {"2.0.0": (FAILS, 4), "built-in": (RuntimeError("the last resort"), 2)}
    with pytest.raises(RuntimeError, match="the last resort"):
        stage.daemon().run()
    assert groups(stage.names) == ["tiny 2.0.0", "built-in"]
    assert stage.is_dark()


def test_a_named_model_that_fails_ends_the_run(shelf: Shelf, tmp_path: Path) -> None:
    stage = SlotStage(shelf, files(shows(EMPTY, 10)))
    stage.settings = replace(stage.settings, model=ModelSettings(bundle=str(tiny_bundle(tmp_path, version="9.0.0"))))
    stage.eye_faults["9.0.0"] = (FAILS, 4)
    with pytest.raises(BundleError, match="gather index"):
        stage.daemon().run()
    assert set(stage.names) == {"tiny 9.0.0"}


def test_a_bug_of_ours_on_trial_ends_the_run_and_in_the_end_the_trial(shelf: Shelf) -> None:
    shelf.activate("3.0.0")
    ends = []
    for _ in range(4):
        stage = SlotStage(shelf, files(shows(EMPTY, 5)))
        stage.eye_faults["3.0.0"] = (ZeroDivisionError("a bug"), 2)
        try:
            stage.daemon().run()
        except ZeroDivisionError:
            ends.append("crash")
        else:
            ends.append(stage.names[-1])
        assert stage.is_dark()
    assert ends == ["crash", "crash", "crash", "tiny 2.0.0"]


@pytest.mark.parametrize("fault", [BundleError("no face finder"), RuntimeError("gather")], ids=["bundle", "runtime"])
def test_what_does_not_load_beside_the_frames_is_rolled_back_and_nothing_is_swapped(
    fault: Exception, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    door = Door(shelf)
    door.stage.faults["3.0.0"] = fault
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(lambda: len(door.stage.told) == 2)
    door.when(door.at(10))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0"]
    assert shelf.slots.read().b.state == "failed"
    (line,) = [line for line in log() if "rolled back" in line]
    assert line.startswith("slot b is rolled back: ")
    assert line.endswith("; the door runs tiny 2.0.0 (slot a)")
    assert stage.told[-1] == ("tiny 2.0.0 (slot a)", line)


def test_a_trial_whose_file_is_damaged_before_it_is_loaded_is_rolled_back(
    shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    def activate() -> None:
        shelf.install("3.0.0")
        look = shelf.slots.look

        def torn(*words: Doubts) -> Look:
            shelf.bundle_file().write_bytes(b"torn")
            shelf.slots.look = look  # type: ignore[method-assign]
            return look(*words)

        shelf.slots.look = torn  # type: ignore[method-assign]
        shelf.slots.activate()

    door = Door(shelf)
    door.when(door.at(3), activate)
    door.when(lambda: len(door.stage.told) == 2)
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0"]
    assert (shelf.slots.read().active, shelf.slots.read().b.state) == ("a", "failed")
    (line,) = [line for line in log() if "rolled back" in line]
    assert "is damaged" in line


def test_a_bug_of_ours_beside_the_frames_is_not_hidden(shelf: Shelf) -> None:
    door = Door(shelf)
    door.stage.faults["3.0.0"] = ZeroDivisionError("a bug")
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(lambda: False)
    with pytest.raises(ZeroDivisionError):
        door.run()
    assert door.stage.is_dark()


# Together with a reload


def test_a_reload_leaves_the_slots_model_alone_and_loads_nothing(shelf: Shelf) -> None:
    door = Door(shelf)

    def reload() -> None:
        door.stage.settings = replace(door.stage.settings, alert=AlertSettings(alarm_seconds=0.0))
        door.daemon.command(Command.RELOAD)

    door.when(door.at(3), reload)
    door.when(door.at(3))
    assert door.run().loaded == ["2.0.0"]


def test_a_reload_looks_at_the_slots_at_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_watch, "LOOK_SECONDS", 10 * LIMIT_S)
    door = Door(shelf)

    def activate_and_reload() -> None:
        shelf.activate("3.0.0")
        door.daemon.command(Command.RELOAD)

    door.when(door.at(3), activate_and_reload)
    door.when(door.runs("tiny 3.0.0 (slot b, on trial)"))
    assert door.run().load_threads == ["MainThread", "model"]


def test_a_reload_that_names_a_bundle_wins_over_what_is_being_loaded(
    shelf: Shelf, tmp_path: Path, log: Callable[[], list[str]]
) -> None:
    door = Door(shelf)
    held = door.stage.held["3.0.0"] = threading.Event()
    named = str(tiny_bundle(tmp_path, version="9.0.0"))

    def name(bundle: str) -> None:
        door.stage.settings = replace(door.stage.settings, model=ModelSettings(bundle=bundle))
        door.daemon.command(Command.RELOAD)

    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.begins("3.0.0"), lambda: name(named))
    door.when(door.runs("tiny 9.0.0"), held.set)
    door.when(lambda: "3.0.0" in door.stage.loaded)
    door.when(door.at(HEALTHY_FRAMES + 10), lambda: shown.append(door.stage.names[-1]))
    door.when(door.at(0), lambda: name(""))
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    shown: list[str] = []
    stage = door.run()
    assert shown == ["tiny 9.0.0"]
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 9.0.0", "tiny 3.0.0"]
    assert [line for line in log() if "is ignored" in line] == [
        f"model.bundle = {named} is named, so slot b is ignored"
    ]


def test_a_reload_with_other_threads_loads_the_slots_model_anew(shelf: Shelf) -> None:
    door = Door(shelf)

    def reload() -> None:
        door.stage.settings = replace(door.stage.settings, model=ModelSettings(threads=1))
        door.daemon.command(Command.RELOAD)

    door.when(door.at(3), reload)
    door.when(lambda: len(door.stage.loaded) == 2)
    door.when(door.at(3))
    stage = door.run()
    assert stage.loaded == ["2.0.0", "2.0.0"]
    assert stage.eyes[0].frames
    assert stage.eyes[1].frames


def test_it_stops_in_time_while_a_model_is_loaded(shelf: Shelf) -> None:
    door = Door(shelf)
    held = door.stage.held["3.0.0"] = threading.Event()
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.begins("3.0.0"), lambda: told_s.append(time.monotonic()))
    told_s: list[float] = []
    stage = door.run()
    held.set()
    assert time.monotonic() - told_s[0] < STOP_LIMIT_S
    assert groups(stage.names) == ["tiny 2.0.0"]


# At rest


def test_a_door_at_rest_confirms_by_the_frames_that_it_judges(shelf: Shelf) -> None:
    shelf.activate("3.0.0")
    seconds = HEALTHY_FRAMES + 20
    stage = SlotStage(shelf, Live(shows(EMPTY, 10 * seconds)))
    stage.settings = replace(stage.settings, idle=IdleSettings(after_seconds=0.95, look_every_seconds=0.95))
    daemon = stage.daemon()
    daemon.run()
    assert daemon.passed_frames > 8 * seconds
    assert HEALTHY_FRAMES < daemon.frames < 2 * HEALTHY_FRAMES
    assert shelf.slots.read().b.state == "confirmed"


def test_a_swap_finds_a_door_at_rest_awake(shelf: Shelf) -> None:
    stage = SlotStage(shelf, Live(shows(EMPTY, 2000)))
    stage.settings = replace(stage.settings, idle=IdleSettings(after_seconds=0.95, look_every_seconds=0.95))
    rests = []

    def judged(frame: Frame, verdict: Verdict) -> None:
        rests.append(frame.index)
        if len(rests) == 20:
            shelf.activate("3.0.0")

    stage.daemon(judged).run()
    first = stage.names.index("tiny 3.0.0")
    gaps = [later - earlier for earlier, later in itertools.pairwise(rests)]
    assert gaps[first : first + 8] == [1] * 8
    assert 10 in gaps[first + 8 :]


# Real networks


class Film(FakeCamera):
    """A live camera of ten frames a second, in real time, until `end` is called."""

    def __init__(self) -> None:
        super().__init__([])
        self._ended = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        if self._ended.wait(0.1):
            return None
        self._steps.append(Show(scene(MASKED), after_s=0.1))
        return super().read(timeout_s)

    def end(self) -> None:
        self._ended.set()


def test_real_networks_are_swapped_without_a_restart_of_the_camera_nor_a_gap(shelf: Shelf) -> None:
    sha256 = shelf.install("3.0.0")
    activation = threading.Thread(target=shelf.slots.activate)  # by another process, on a real door
    camera, lights = Film(), RecordOutputs()
    keeper = StatusKeeper()
    told: list[Status] = []
    settings = Settings(camera=CameraSettings(source="demo"), idle=IdleSettings(after_seconds=0.0))

    def judged(frame: Frame, verdict: Verdict) -> None:
        status = keeper.status(daemon.dropped_frames)
        if not told or told[-1].news != status.news:
            told.append(status)
        if daemon.frames == 5:
            activation.start()
        if (status.slot, status.trial) == ("b", "confirmed"):
            camera.end()

    daemon = Daemon(
        lambda: settings, Parts(lambda _: camera, lambda _: lights), judged, observer=keeper, slots=Runner(shelf.slots)
    )
    daemon.run(seconds=60)
    activation.join(LIMIT_S)
    models = {(status.model, status.slot, status.trial): status for status in told if status.state != "starting"}
    assert list(models) == [
        ("tiny 2.0.0", "a", "confirmed"),
        ("tiny 3.0.0", "b", "trying"),
        ("tiny 3.0.0", "b", "confirmed"),
    ]
    before, swapped, confirmed = models.values()
    assert {swapped.model_sha256, confirmed.model_sha256} == {sha256}
    assert swapped.dropped_frames - before.dropped_frames <= 2
    assert camera.calls.count("open") == 1
