"""Faults of the slots that pass: they cost no door a good model, no trial its place, and the log no line each time."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from daemon_door import Door, groups
from maskwatch import model_watch
from maskwatch.errors import BundleError
from maskwatch.slots import folder as disk
from maskwatch.slots.states import HEALTHY_FRAMES, TRIES
from slots_stage import Shelf

pytestmark = pytest.mark.usefixtures("short_pauses", "eager_looks")


@pytest.fixture(autouse=True)
def _eager_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_watch, "RETRY_SECONDS", 0.0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.confirm("2.0.0")
    return shelf


class Unreadable:
    """Bundles that the disk does not give while `is_so`, by an error that may pass; counts how often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.is_so: Callable[[], bool] = lambda: False
        self.times = 0
        read_file = disk.read_file

        def read(path: Path, most_bytes: int) -> bytes:
            if self.is_so():
                self.times += 1
                raise OSError(number, os.strerror(number), str(path))
            return read_file(path, most_bytes)

        monkeypatch.setattr(disk, "read_file", read)


@pytest.fixture(params=[errno.EMFILE, errno.ENOMEM], ids=["files", "memory"])
def unreadable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Unreadable:
    return Unreadable(monkeypatch, request.param)


def beside_the_frames() -> bool:
    return threading.current_thread().name == "model"


def test_a_model_that_was_just_confirmed_goes_on(
    shelf: Shelf, unreadable: Unreadable, log: Callable[[], list[str]]
) -> None:
    """The door went back to the fallback, for good, though the slots said otherwise."""
    shelf.activate("3.0.0")
    unreadable.is_so = lambda: (
        beside_the_frames() and shelf.slots.read().b.state == "confirmed" and unreadable.times < 4
    )
    door = Door(shelf)
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    door.when(lambda: unreadable.times == 4)
    door.when(door.at(20))
    stage = door.run()
    assert groups(stage.names) == ["tiny 3.0.0"]
    assert stage.loaded == ["3.0.0"]
    (line,) = [line for line in log() if os.strerror(errno.EMFILE) in line or os.strerror(errno.ENOMEM) in line]
    assert "; the door runs tiny 3.0.0 (slot b" in line


def test_a_trial_that_cannot_be_read_now_is_taken_up_later(
    shelf: Shelf, unreadable: Unreadable, log: Callable[[], list[str]]
) -> None:
    """It was rolled back on the disk."""
    unreadable.is_so = lambda: beside_the_frames() and unreadable.times < 3
    door = Door(shelf)
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0"]
    assert shelf.slots.read().b.state == "confirmed"
    assert unreadable.times == 3
    assert [name for name, why in stage.told if "bundle.maskwatch" in why] == ["tiny 2.0.0 (slot a)"]
    assert not any("rolled back" in line for line in log())


def unopened() -> BundleError:
    error = BundleError("cannot be read")
    error.__cause__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return error


@pytest.mark.parametrize(
    ("fault", "words"),
    [(unopened(), "cannot be read"), (MemoryError("std::bad_alloc"), "MemoryError: std::bad_alloc")],
    ids=["files", "memory"],
)
def test_a_trial_whose_bundle_cannot_be_loaded_now_is_taken_up_later(
    fault: Exception, words: str, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    faults = iter(range(3))
    door = Door(shelf)
    load = door.stage.model

    def model(settings: object, loaded: object) -> object:
        if beside_the_frames() and next(faults, None) is not None:
            raise fault
        return load(settings, loaded)  # type: ignore[arg-type]

    door.give(model)
    door.when(door.at(3), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0"]
    told = [line for line in log() if words in line]
    assert told == [f"slot b is not run yet: {words}; the door runs tiny 2.0.0 (slot a)"]


def test_a_model_that_cannot_be_read_at_the_start_is_gone_over_to_later(
    shelf: Shelf, unreadable: Unreadable, log: Callable[[], list[str]]
) -> None:
    shelf.confirm("3.0.0")
    before = shelf.slots.read()
    readable = threading.Event()
    unreadable.is_so = lambda: not readable.is_set()
    door = Door(shelf)
    door.when(door.runs("built-in"))
    door.when(lambda: unreadable.times > 10, readable.set)
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    stage = door.run()
    assert groups(stage.names) == ["built-in", "tiny 3.0.0"]
    assert shelf.slots.read() == before
    assert len([line for line in log() if "bundle.maskwatch" in line]) == 1
    assert "the model is now tiny 3.0.0 (slot b), instead of built-in" in log()


@pytest.mark.parametrize("how", ["away", "torn"])
def test_while_nobody_can_tell_what_is_active_what_runs_goes_on(
    how: str, shelf: Shelf, log: Callable[[], list[str]]
) -> None:
    """The door changed to the built-in model, and back."""
    path = shelf.slots.state_path
    text = path.read_bytes()

    def spoil() -> None:
        path.unlink()
        if how == "torn":
            path.write_bytes(text[:50])

    def mend() -> None:
        path.with_name("whole").write_bytes(text)
        path.with_name("whole").rename(path)

    door = Door(shelf)
    door.when(door.at(3), spoil)
    door.when(lambda: len(door.stage.told) == 2)
    door.when(door.at(30), mend)
    door.when(door.at(30), lambda: shelf.activate("3.0.0"))
    door.when(door.runs("tiny 3.0.0 (slot b)"))
    stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0"]
    (line,) = [line for line in log() if "nobody can tell" in line]
    assert line.endswith("; the door runs tiny 2.0.0 (slot a)")


def test_a_trial_whose_start_another_change_kept_from_being_noted_is_taken_up_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    """It was passed over until the next start, was said to fail, and no other could be installed."""
    monkeypatch.setattr(disk, "LOCK_WAIT_S", 0.01)
    shelf.activate("3.0.0")
    door = Door(shelf)
    with ExitStack() as change:
        change.enter_context(disk.locked(shelf.slots.folder))
        door.when(door.at(20), change.close)
        door.when(door.runs("tiny 3.0.0 (slot b, on trial)"), lambda: tries.append(shelf.slots.read().tries_left))
        tries: list[int] = []
        door.when(door.runs("tiny 3.0.0 (slot b)"))
        stage = door.run()
    assert groups(stage.names) == ["tiny 2.0.0", "tiny 3.0.0"]
    assert tries == [TRIES - 1]
    assert stage.names.count("tiny 3.0.0") >= HEALTHY_FRAMES
    (line,) = [line for line in log() if "cannot be noted" in line]
    assert line.startswith("slot b is not run yet: the start of a trial cannot be noted: ")
    assert "another change is under way" in line


def test_a_model_that_fails_while_nobody_can_tell_what_is_next_is_left_all_the_same(shelf: Shelf) -> None:
    shelf.confirm("3.0.0")
    path = shelf.slots.state_path
    away = path.with_name("away")
    door = Door(shelf)
    door.stage.eye_faults["3.0.0"] = (RuntimeError("gather"), 10)
    door.when(door.at(3), lambda: path.rename(away))
    door.when(door.runs("built-in"), lambda: away.rename(path))
    door.when(door.runs("tiny 2.0.0 (slot a)"))
    stage = door.run()
    assert groups(stage.names) == ["tiny 3.0.0", "built-in", "tiny 2.0.0"]
