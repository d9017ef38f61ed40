"""Which model a door starts with, and what becomes of one that cannot be run: a door is never without one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from daemon_stage import BARE, EMPTY, LIMIT_S, Endless, files, shows
from maskwatch import interpreter, model_watch
from maskwatch.config import IdleSettings, ModelSettings
from maskwatch.door import load_model
from maskwatch.errors import BundleError, OperatorError, RuntimeMissingError, RuntimeRefusedError
from maskwatch.golden import make_golden
from maskwatch.interpreter import TFLiteNetwork
from maskwatch.model_source import in_words
from maskwatch.signals import Command
from maskwatch.slots import folder as disk
from maskwatch.slots.states import HEALTHY_FRAMES, TRIES
from maskwatch.types import Frame, Verdict
from maskwatch_convert.pack import write_bundle
from slots_stage import Shelf, SlotStage
from tiny_models import tiny_bundle, tiny_manifest, tiny_members

pytestmark = pytest.mark.usefixtures("short_pauses", "eager_looks")

NO_NETWORK = RuntimeRefusedError("tiny: not a TFLite model that this runtime can run")
NO_FINDER = BundleError("tiny holds no face finder")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def run(shelf: Shelf, frames: int = 3, **set_up: object) -> SlotStage:
    """A daemon's life of so many frames; `set_up` sets the stage's attributes."""
    stage = SlotStage(shelf, files(shows(EMPTY, frames)))
    for name, value in set_up.items():
        setattr(stage, name, value)
    stage.daemon().run()
    assert len(stage.names) == frames
    assert stage.is_dark()
    return stage


def run_until(shelf: Shelf, name: str) -> SlotStage:
    """A daemon's life until this model is told of."""
    stage = SlotStage(shelf, camera := Endless(EMPTY))
    stage.settings = replace(stage.settings, idle=IdleSettings(after_seconds=0.0))

    def judged(frame: Frame, verdict: Verdict) -> None:
        if stage.told[-1][0] == name:
            daemon.command(Command.STOP)
        camera.judged.release()

    daemon = stage.daemon(judged)
    daemon.run(seconds=LIMIT_S)
    assert stage.told[-1][0] == name
    return stage


def test_without_a_slot_in_use_the_built_in_model_runs(shelf: Shelf, log: Callable[[], list[str]]) -> None:
    stage = run(shelf)
    assert set(stage.names) == {"built-in"}
    assert stage.told == [("built-in", "")]
    assert log()[0] == "watching demo with built-in"
    assert not shelf.slots.folder.exists()


def test_a_confirmed_slots_model_runs(shelf: Shelf, log: Callable[[], list[str]]) -> None:
    shelf.confirm("2.0.0")
    before = shelf.slots.read()
    stage = run(shelf, HEALTHY_FRAMES + 5)
    assert set(stage.names) == {"tiny 2.0.0"}
    assert stage.told == [("tiny 2.0.0 (slot a)", "")]
    assert log()[0] == "watching demo with tiny 2.0.0 (slot a)"
    assert shelf.slots.read() == before


def test_a_trial_spends_a_try_and_is_confirmed_by_its_frames(shelf: Shelf, log: Callable[[], list[str]]) -> None:
    shelf.activate("2.0.0")
    stage = run(shelf, HEALTHY_FRAMES - 1)
    assert (shelf.slots.read().trying, shelf.slots.read().tries_left) == (True, TRIES - 1)
    assert stage.told == [("tiny 2.0.0 (slot a, on trial)", "")]
    stage = run_until(shelf, "tiny 2.0.0 (slot a)")
    state = shelf.slots.read()
    assert (state.active, state.a.state, state.last_event.event) == ("a", "confirmed", "healthy")
    assert len(stage.names) >= HEALTHY_FRAMES
    assert stage.told[1:] == [("tiny 2.0.0 (slot a)", "tiny 2.0.0 (slot a) is confirmed")]
    assert log().count("tiny 2.0.0 (slot a) is confirmed") == 1


def test_a_trial_that_is_never_confirmed_ends_with_its_tries(shelf: Shelf, log: Callable[[], list[str]]) -> None:
    shelf.confirm("2.0.0")
    shelf.activate("3.0.0")
    for tries_left in (2, 1, 0):
        assert set(run(shelf).names) == {"tiny 3.0.0"}
        assert shelf.slots.read().tries_left == tries_left
    assert set(run(shelf).names) == {"tiny 2.0.0"}
    assert "slot b is rolled back: not confirmed in 3 starts" in log()
    assert shelf.slots.read().active == "a"


@pytest.mark.parametrize("confirmed_before", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        NO_NETWORK,
        NO_FINDER,
        RuntimeMissingError("this model runs without XNNPACK"),
        RuntimeError("AllocateTensors"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_trial_that_does_not_load_is_rolled_back_at_once(
    fault: Exception, confirmed_before: bool, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    if confirmed_before:
        shelf.confirm("2.0.0")
    shelf.activate("3.0.0")
    stage = run(shelf, faults={"3.0.0": fault})
    name, place = ("tiny 2.0.0", " (slot a)") if confirmed_before else ("built-in", "")
    assert set(stage.names) == {name}
    reason = str(fault) if isinstance(fault, ValueError) else f"{type(fault).__name__}: {fault}"
    slot = "b" if confirmed_before else "a"
    state = shelf.slots.read()
    assert (state.active, state.slot(slot).state) == ("a" if confirmed_before else None, "failed")
    assert state.slot(slot).reason == reason
    (line,) = [line for line in log() if "rolled back" in line]
    assert line == f"slot {slot} is rolled back: {reason}; the door runs {name}{place}"
    assert stage.told == [(f"{name}{place}", f"slot {slot} is rolled back: {reason}")]


def test_a_trial_without_a_face_finder_is_rolled_back(shelf: Shelf, tmp_path: Path) -> None:
    """With the real loader: what `install` lets pass, since other verbs can use it, a door cannot."""
    network = tiny_members()["classifier.tflite"]
    golden = make_golden(TFLiteNetwork(network), "classifier.tflite", ("one",))
    manifest = tiny_manifest(finder=None, golden=golden, version="3.0.0")
    bundle = write_bundle(tmp_path, manifest, {"classifier.tflite": network}).path
    shelf.confirm("2.0.0")
    shelf.activate_file(bundle)
    stage = SlotStage(shelf, files(shows(BARE, 3)))
    stage.model = load_model  # type: ignore[method-assign]
    stage.daemon().run()
    assert stage.told[0][0] == "tiny 2.0.0 (slot a)"
    assert "holds no face finder" in shelf.slots.read().b.reason


@pytest.mark.parametrize("damage", ["torn", "absent", "another"])
@pytest.mark.parametrize("state", ["trying", "confirmed"])
def test_a_slot_whose_file_is_damaged_is_left(
    damage: str, state: str, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    shelf.confirm("2.0.0")
    shelf.activate("3.0.0")
    if state == "confirmed":
        shelf.slots.confirm()
    path = shelf.bundle_file()
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "absent":
        path.unlink()
    else:
        path.write_bytes((shelf.slots.folder / "a" / "bundle.maskwatch").read_bytes())
    stage = run(shelf)
    assert set(stage.names) == {"tiny 2.0.0"}
    assert shelf.slots.read().b.state == "failed"
    assert any("slot b is rolled back: " in line and "is damaged" in line for line in log())


def test_a_confirmed_slot_whose_bundle_cannot_be_used_is_left_for_the_built_in(
    shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    shelf.confirm("2.0.0")
    stage = run(shelf, faults={"2.0.0": NO_FINDER})
    assert set(stage.names) == {"built-in"}
    assert f"slot a is rolled back: {NO_FINDER}; the door runs built-in" in log()
    assert shelf.slots.read().a.state == "failed"


@pytest.mark.parametrize("versions", [("2.0.0",), ("1.0.0", "2.0.0")], ids=["built-in", "fallback"])
@pytest.mark.parametrize(
    "fault",
    [RuntimeMissingError("this model runs without XNNPACK"), RuntimeError("AllocateTensors"), NO_NETWORK],
    ids=lambda fault: type(fault).__name__,
)
def test_a_confirmed_slot_that_this_process_cannot_load_is_passed_over(
    fault: Exception, versions: tuple[str, ...], shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    """It ended the start, and the next, though another would have loaded."""
    for version in versions:
        shelf.confirm(version)
    before = shelf.slots.read()
    stage = run(shelf, faults={"2.0.0": fault})
    name = "tiny 1.0.0" if len(versions) == 2 else "built-in"
    assert set(stage.names) == {name}
    assert shelf.slots.read() == before, "the next start may have more luck"
    (line,) = [line for line in log() if "passed over" in line]
    assert line == f"slot {before.active} is passed over: {in_words(fault)}; the door runs {stage.told[0][0]}"


def test_a_confirmed_slot_that_the_real_runtime_refuses_is_passed_over(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was failed on the disk, and its fallback after it."""
    shelf.confirm("1.0.0")
    shelf.confirm("2.0.0")
    before = shelf.slots.read()
    runtime = interpreter.load_runtime()
    refusals = iter([RuntimeError("failed to allocate")])

    def make(**options: object) -> object:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        return runtime.Interpreter(**options)

    monkeypatch.setattr(
        interpreter, "load_runtime", lambda: SimpleNamespace(Interpreter=make, __name__=runtime.__name__)
    )
    stage = SlotStage(shelf, files(shows(BARE, 3)))
    stage.model = load_model  # type: ignore[method-assign]
    stage.daemon().run()
    ((name, why),) = stage.told
    assert name == "tiny 1.0.0 (slot a)"
    assert why.startswith("slot b is passed over: ")
    assert "failed to allocate" in why
    assert shelf.slots.read() == before


def test_a_runtime_that_is_missing_ends_the_start_and_costs_no_confirmed_model(shelf: Shelf) -> None:
    shelf.confirm("1.0.0")
    shelf.confirm("2.0.0")
    before = shelf.slots.read()
    stage = SlotStage(shelf, files(shows(EMPTY, 3)))
    missing = RuntimeMissingError("no TFLite runtime")
    stage.faults = {"1.0.0": missing, "2.0.0": missing, "built-in": missing}
    with pytest.raises(RuntimeMissingError):
        stage.daemon().run()
    assert shelf.slots.read() == before


def test_a_door_without_any_model_ends_in_one_line(shelf: Shelf) -> None:
    shelf.activate("2.0.0")
    stage = SlotStage(shelf, files(shows(EMPTY, 3)))
    stage.faults = {"2.0.0": NO_NETWORK, "built-in": BundleError("data: 0 built-in bundles")}
    with pytest.raises(BundleError, match="0 built-in bundles"):
        stage.daemon().run()


# A folder that is no good


def spoil(shelf: Shelf, how: str) -> None:
    folder = shelf.slots.folder
    if how == "a file":
        folder.write_bytes(b"no folder")
    elif how == "garbage":
        (folder / "state.json").write_bytes(b"\0" * 500)
    elif how == "a folder as state":
        (folder / "state.json").unlink()
        (folder / "state.json").mkdir()
    elif how == "newer":
        (folder / "state.json").write_text('{"schema_version": 2}')
    elif how == "no state":
        (folder / "state.json").unlink()


@pytest.mark.parametrize("how", ["a file", "garbage", "a folder as state", "newer", "no state"])
def test_a_folder_that_is_no_good_stops_no_door_and_is_told_in_one_line(
    how: str, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    if how != "a file":
        shelf.confirm("2.0.0")
    spoil(shelf, how)
    stage = run(shelf, 60)
    assert set(stage.names) == {"built-in"}
    (line,) = [line for line in log() if "nobody can tell which bundle is active" in line]
    assert line.endswith("; the door runs built-in")
    assert str(shelf.slots.folder) in line


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux does with a worn-out card: root may not write either."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk, "put", refuse)


def test_a_trial_that_cannot_be_counted_is_not_run(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    """It would never run out of tries."""
    shelf.confirm("2.0.0")
    shelf.activate("3.0.0")
    make_read_only(monkeypatch)
    stage = run(shelf, 3 * HEALTHY_FRAMES)
    assert set(stage.names) == {"tiny 2.0.0"}
    assert stage.loaded == ["2.0.0"]
    told = [line for line in log() if "the start of a trial cannot be noted" in line]
    assert len(told) == 1
    assert "the disk is read-only" in told[0]
    assert shelf.slots.read().trying


def test_a_trial_that_does_not_load_and_cannot_be_rolled_back_is_passed_over(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    shelf.confirm("2.0.0")
    shelf.activate("3.0.0")
    stage = SlotStage(shelf, files(shows(EMPTY, 3 * HEALTHY_FRAMES)))
    starting = stage.slots.starting

    def started() -> None:
        starting()
        make_read_only(monkeypatch)

    monkeypatch.setattr(stage.slots, "starting", started)
    stage.faults = {"3.0.0": NO_NETWORK}
    stage.daemon().run()
    assert set(stage.names) == {"tiny 2.0.0"}
    assert stage.loaded == ["3.0.0", "2.0.0"]
    (line,) = [line for line in log() if "a rollback cannot be noted" in line]
    assert line.startswith(f"slot b is passed over: {NO_NETWORK}; ")


def test_a_confirmation_that_cannot_be_written_is_told_once_and_tried_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    shelf.activate("2.0.0")
    monkeypatch.setattr(model_watch, "RETRY_SECONDS", 0.0)
    confirm = shelf.slots.confirm
    refusals = iter(range(5))

    def confirmed(*words: object, **more: object) -> object:
        if next(refusals, None) is None:
            return confirm(*words, **more)  # type: ignore[arg-type]
        raise OperatorError("slots: the disk is full: free some room")

    monkeypatch.setattr(shelf.slots, "confirm", confirmed)
    run_until(shelf, "tiny 2.0.0 (slot a)")
    assert shelf.slots.read().a.state == "confirmed"
    told = [line for line in log() if "which cannot be noted" in line]
    assert told == [
        "tiny 2.0.0 (slot a, on trial) is healthy, which cannot be noted: slots: the disk is full: free some room"
    ]


# Who decides


@pytest.mark.parametrize("state", ["trying", "confirmed"])
def test_a_bundle_that_the_settings_name_wins(
    state: str, shelf: Shelf, tmp_path: Path, log: Callable[[], list[str]]
) -> None:
    shelf.activate("2.0.0")
    if state == "confirmed":
        shelf.slots.confirm()
    before = shelf.slots.read()
    named = tiny_bundle(tmp_path, version="9.0.0")
    stage = SlotStage(shelf, files(shows(EMPTY, HEALTHY_FRAMES + 10)))
    stage.settings = replace(stage.settings, model=ModelSettings(bundle=str(named)))
    stage.daemon().run()
    assert set(stage.names) == {"tiny 9.0.0"}
    assert shelf.slots.read() == before
    assert [line for line in log() if "slot" in line] == [f"model.bundle = {named} is named, so slot a is ignored"]
    assert stage.told == [("tiny 9.0.0", "")]


def test_a_named_bundle_that_cannot_be_used_ends_the_start_as_ever(shelf: Shelf, tmp_path: Path) -> None:
    shelf.confirm("2.0.0")
    stage = SlotStage(shelf, files(shows(EMPTY, 3)))
    stage.settings = replace(stage.settings, model=ModelSettings(bundle=str(tmp_path / "absent.maskwatch")))
    with pytest.raises(BundleError, match="absent"):
        stage.daemon().run()
