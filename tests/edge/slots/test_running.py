"""The slots over one daemon's life: what it notes, what it passes over, and what it tries again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from maskwatch.slots import folder as disk
from maskwatch.slots.running import Onlooker, Runner
from maskwatch.slots.states import TRIES
from maskwatch.slots.store import Slots
from nobody import NOBODY
from slot_shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(Slots(tmp_path / "slots", NOBODY))
    shelf.bring("1.0.0")
    return shelf


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and nothing can be written until monkeypatch.undo()."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    return lambda: monkeypatch.setattr(disk, "put", refuse)


def runs(daemon: Onlooker) -> tuple[str | None, bool]:
    """Which slot it is to run, and whether that may be another one soon."""
    choice = daemon.look().choice
    return choice.slot, choice.again


def test_a_start_waits_for_a_lock_that_another_holds_and_is_noted_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was passed over for the life of the process, and stayed on trial on the disk."""
    monkeypatch.setattr(disk, "LOCK_WAIT_S", 0.05)
    shelf.try_out("2.0.0")
    daemon = Runner(shelf.slots)
    with disk.locked(shelf.folder):
        daemon.starting()
        daemon.settle()
        assert (runs(daemon), daemon.look().choice.unsure) == (("a", True), False)
        (fault,) = daemon.look().choice.faults
        assert "the start of a trial cannot be noted: " in fault
        assert "another change is under way" in fault
    assert shelf.slots.read().tries_left == TRIES
    daemon.settle()
    assert (runs(daemon), shelf.slots.read().tries_left) == (("b", False), TRIES - 1)
    daemon.settle()
    assert shelf.slots.read().tries_left == TRIES - 1, "one start is noted once"


def test_a_start_that_cannot_be_noted_reads_no_bundle(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try on a read-only disk read the bundles four times, and asked ssh-keygen about each."""
    shelf.try_out("2.0.0")
    daemon = Runner(shelf.slots)
    read: list[Path] = []
    read_file = disk.read_file

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def noted(path: Path, most_bytes: int) -> bytes:
        read.append(path)
        return read_file(path, most_bytes)

    monkeypatch.setattr(disk, "locked", refuse)
    monkeypatch.setattr(disk, "read_file", noted)
    daemon.starting()
    daemon.settle()
    assert [path for path in read if path.name == "bundle.maskwatch"] == []
    assert runs(daemon) == ("a", True)
    assert [path.parent.name for path in read if path.name == "bundle.maskwatch"] == ["a"], "and no more than it runs"


def test_a_start_of_a_trial_reads_its_bundle_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.try_out("2.0.0")
    read: list[str] = []
    read_file = disk.read_file

    def noted(path: Path, most_bytes: int) -> bytes:
        read.append(path.parent.name)
        return read_file(path, most_bytes)

    monkeypatch.setattr(disk, "read_file", noted)
    for _ in range(TRIES):
        shelf.slots.start()
    assert [name for name in read if name in "ab"] == ["b"] * TRIES
    shelf.spoil("a")
    assert shelf.slots.start().active is None, "what comes after it is looked at too"


def test_a_start_that_could_see_no_state_is_noted_once_it_does(shelf: Shelf) -> None:
    shelf.try_out("2.0.0")
    path = shelf.slots.state_path
    away = path.rename(path.with_name("away"))
    daemon = Runner(shelf.slots)
    daemon.starting()
    assert (runs(daemon), daemon.look().choice.unsure) == ((None, True), True)
    away.rename(path)
    assert runs(daemon) == ("a", True)
    daemon.settle()
    assert (runs(daemon), shelf.slots.read().tries_left) == (("b", False), TRIES - 1)


def test_a_start_too_many_rolls_back_and_says_so(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.try_out("2.0.0")
    for _ in range(TRIES):
        Runner(shelf.slots).starting()
    assert caplog.messages == []
    daemon = Runner(shelf.slots)
    daemon.starting()
    assert caplog.messages == ["slot b is rolled back: not confirmed in 3 starts"]
    assert runs(daemon) == ("a", False)


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_trial_that_cannot_be_run_is_rolled_back(shelf: Shelf, confirmed: bool) -> None:
    sha256 = shelf.try_out("2.0.0").b.sha256
    daemon = Runner(shelf.slots)
    assert daemon.abandon(sha256, "not a TFLite model", confirmed=confirmed)
    state = shelf.slots.read()
    assert (runs(daemon), state.b.state, state.b.reason) == (("a", False), "failed", "not a TFLite model")
    shelf.try_out("2.0.0")
    assert runs(daemon) == ("b", False), "it may be tried once more"


def test_a_confirmed_model_is_rolled_back_only_where_it_shall_be(shelf: Shelf) -> None:
    sha256 = shelf.bring("2.0.0").b.sha256
    before = shelf.slots.read()
    daemon = Runner(shelf.slots)
    assert not daemon.abandon(sha256, "gather")
    state, choice = daemon.look()
    assert (state, choice.slot, choice.unsure, choice.unfit) == (before, "a", False, ())
    assert choice.faults == ("slot b is passed over: gather",)
    daemon.settle()
    assert runs(daemon) == ("a", False)
    assert runs(Runner(shelf.slots)) == ("b", False), "another process may have more luck"
    assert daemon.abandon(sha256, "not a TFLite model", confirmed=True)
    assert shelf.slots.read().b.state == "failed"


def test_a_fallback_that_cannot_be_run_is_passed_over(shelf: Shelf) -> None:
    fallback = shelf.slots.read().a.sha256
    shelf.bring("2.0.0")
    shelf.spoil("b")
    daemon = Runner(shelf.slots)
    assert runs(daemon) == ("a", False)
    assert not daemon.abandon(fallback, "gather")
    assert runs(daemon) == (None, False)


def test_what_is_passed_over_gets_another_chance_in_another_trial(shelf: Shelf) -> None:
    """Not by what is installed beside it."""
    sha256 = shelf.bring("2.0.0").b.sha256
    daemon = Runner(shelf.slots)
    daemon.abandon(sha256, "gather")
    shelf.install("3.0.0")
    assert daemon.look().choice.faults == ("slot b is passed over: gather",)
    shelf.slots.roll_back("by hand", confirmed=True)
    shelf.try_out("2.0.0")
    daemon.settle()
    assert daemon.look().choice.sha256 == sha256
    shelf.slots.confirm()
    assert daemon.look().choice.sha256 == sha256, "and stays then"


def test_a_rollback_that_cannot_be_noted_is_noted_later(
    shelf: Shelf, read_only: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial stayed on the disk, and nothing else could be installed until the next start."""
    sha256 = shelf.try_out("2.0.0").b.sha256
    daemon = Runner(shelf.slots)
    read_only()
    assert not daemon.abandon(sha256, "gather")
    daemon.settle()
    assert runs(daemon) == ("a", True)
    (fault,) = daemon.look().choice.faults
    assert fault.startswith("slot b is passed over: gather; a rollback cannot be noted: ")
    assert shelf.slots.read().trying
    monkeypatch.undo()
    daemon.settle()
    assert (runs(daemon), daemon.look().choice.faults) == (("a", False), ())
    assert shelf.slots.read().b.reason == "gather"


def test_what_an_operator_confirms_is_not_rolled_back_later(
    shelf: Shelf, read_only: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = shelf.try_out("2.0.0").b.sha256
    daemon = Runner(shelf.slots)
    read_only()
    daemon.abandon(sha256, "gather")
    assert runs(daemon) == ("a", True)
    monkeypatch.undo()
    state = shelf.slots.confirm()
    daemon.settle()
    assert shelf.slots.read() == state
    assert runs(daemon) == ("b", False)


def test_all_but_some_can_be_asked_for(shelf: Shelf) -> None:
    sha256 = shelf.bring("2.0.0").b.sha256
    choice = Runner(shelf.slots).look({sha256}).choice
    assert (choice.slot, choice.unsure, choice.again, choice.faults) == ("a", True, True, ())


def test_a_healthy_trial_is_confirmed_and_no_other(shelf: Shelf) -> None:
    old = shelf.slots.read().a.sha256
    state = shelf.try_out("2.0.0")
    daemon = Runner(shelf.slots)
    assert daemon.confirm(old) == state
    state = daemon.confirm(state.b.sha256)
    assert (state.b.state, state.last_event and state.last_event.event) == ("confirmed", "healthy")


def test_an_onlooker_runs_what_is_on_trial_and_changes_nothing(shelf: Shelf) -> None:
    sha256 = shelf.try_out("2.0.0").b.sha256
    before = shelf.slots.state_path.stat().st_mtime_ns
    for _ in range(TRIES + 1):
        onlooker = Onlooker(shelf.slots)
        onlooker.starting()
        assert (runs(onlooker), onlooker.look().choice.trying) == (("b", False), True)
        assert onlooker.confirm(sha256).trying
    assert not onlooker.abandon(sha256, "gather", confirmed=True)
    onlooker.settle()
    assert runs(onlooker) == ("a", False)
    assert onlooker.look().choice.faults == ("slot b is passed over: gather",)
    assert shelf.slots.state_path.stat().st_mtime_ns == before
