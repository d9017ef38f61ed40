"""What keeps a model from running: for a moment, for want of memory, by its own fault, or by its signature."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch.errors import TryAgainError
from maskwatch.model_watch import LONGEST_RETRY_SECONDS, RETRY_SECONDS
from maskwatch.observer import RunningModel
from maskwatch.slots import states
from quick_slots import BUILT_IN
from watched_door import LONG, SETTINGS, Watched, make_unreadable, refused, wrapped


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Watched]:
    door = Watched(tmp_path)
    with door.slots.in_use():
        door.watch.open(SETTINGS)
        yield door


# What passes


def test_a_confirmation_that_cannot_be_written_is_tried_again_after_a_pause(
    door: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries_s: list[float] = []
    confirm = door.runner.confirm

    def counted(sha256: str) -> states.State:
        tries_s.append(door.clock.now_s)
        return confirm(sha256)

    monkeypatch.setattr(door.runner, "confirm", counted)
    sha256 = door.on_trial()
    door.step()
    door.slots.read_only = True
    door.judge(states.HEALTHY_FRAMES)
    door.step(3 * round(RETRY_SECONDS))
    assert [later - tries_s[0] for later in tries_s] == [0.0, RETRY_SECONDS, 2 * RETRY_SECONDS]
    door.slots.read_only = False
    door.step(LONG)
    assert door.slots.healthy == [sha256]
    assert len(tries_s) == 4, "it is done"
    door.judge(2 * states.HEALTHY_FRAMES)
    door.step(LONG)
    assert len(tries_s) == 4


def test_a_trial_that_follows_one_that_was_confirmed_has_to_be_healthy_itself(door: Watched) -> None:
    """Its frames are counted from the first, and it is not confirmed by those of the one before."""
    first = door.on_trial()
    door.step()
    door.judge(states.HEALTHY_FRAMES)
    door.step()
    assert door.slots.healthy == [first]
    second = door.on_trial()
    door.step(LONG)
    assert door.watch.running.trial == "trying"
    door.judge(states.HEALTHY_FRAMES - 1)
    door.step(LONG)
    assert door.slots.healthy == [first]
    door.judge(1)
    door.step(LONG)
    assert door.slots.healthy == [first, second]


@pytest.fixture
def looks_s(door: Watched, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the slots were looked at."""
    looks_s: list[float] = []
    look = door.runner.look

    def counted(*words: set[str]) -> object:
        looks_s.append(door.clock.now_s)
        return look(*words)

    monkeypatch.setattr(door.runner, "look", counted)
    return looks_s


def pauses_s(looks_s: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(looks_s)]


def test_it_looks_again_after_ever_longer_pauses_until_it_is_sure(door: Watched, looks_s: list[float]) -> None:
    """A fault that stays, as a read-only disk does, had it check signatures every 10 s for ever."""
    sha256 = door.on_trial()
    door.slots.unreadable = True
    door.step(1200)
    assert pauses_s(looks_s) == [10.0, 20.0, 40.0, 80.0, 160.0, LONGEST_RETRY_SECONDS, LONGEST_RETRY_SECONDS]
    assert len(door.told) == 2, "why it does not run is told once"
    assert "Too many open files" in door.whys[1]
    door.slots.unreadable = False
    door.step(round(LONGEST_RETRY_SECONDS))
    assert door.runs == sha256
    looks_s.clear()
    door.step(2 * round(LONGEST_RETRY_SECONDS))
    assert looks_s == [], "it is sure"
    door.slots.unreadable = True
    door.slots.touch()
    door.step(LONG)
    assert pauses_s(looks_s) == [10.0], "what came back is another matter"


@pytest.mark.parametrize("change", ["slots", "reason"])
def test_what_changes_has_it_look_again_soon(door: Watched, looks_s: list[float], change: str) -> None:
    door.on_trial()
    door.slots.unreadable = True
    door.step(100)
    assert pauses_s(looks_s) == [10.0, 20.0, 40.0]
    looks_s.clear()
    if change == "slots":
        door.slots.touch()
    else:
        door.slots.stateless = True
    door.step(100)
    assert pauses_s(looks_s)[:2] == [10.0, 20.0]


def test_a_reload_has_it_look_again_at_once(door: Watched, looks_s: list[float]) -> None:
    """Whoever mended what it could not do need not wait for five minutes."""
    sha256 = door.on_trial()
    door.slots.unreadable = True
    door.step(400)
    door.slots.unreadable = False
    door.watch.for_settings(SETTINGS, SETTINGS)
    door.step()
    assert door.runs == sha256
    looks_s.clear()
    door.watch.for_settings(SETTINGS, SETTINGS)
    door.step()
    assert looks_s == [], "it is sure"


def test_what_waits_for_the_disk_keeps_no_door_from_what_is_sure(door: Watched) -> None:
    """A trial that could not be rolled back kept the door with whatever it ran then."""
    first = door.on_trial()
    door.step()
    door.slots.confirm()
    door.slots.bring()
    door.slots.damage()
    door.slots.read_only = True
    door.step(2 * LONG)
    assert door.watch.running == RunningModel(first, first, "a", "confirmed")
    assert len(door.told) == 3, "the built-in one, a trial, its confirmation in one line with the next one's fault"
    door.slots.read_only = False
    door.step(LONG)
    assert not door.slots.read().trying


def test_a_reason_that_comes_back_is_told_again(door: Watched) -> None:
    for _ in range(2):
        door.slots.stateless = True
        door.slots.set(door.slots.read())
        door.step(2 * LONG)
        door.slots.stateless = False
        door.step(2 * LONG)
    assert [model.sha256 for model in door.told] == [BUILT_IN] * 3


def test_where_not_even_the_built_in_model_loads_what_runs_goes_on_and_it_is_tried_again(
    door: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    sha256 = door.on_trial()
    door.slots.confirm()
    door.step()
    door.slots.roll_back()
    door.fault = MemoryError("std::bad_alloc")
    door.step(3 * LONG)
    assert door.runs == sha256
    assert caplog.messages.count(f"MemoryError: std::bad_alloc; the door goes on with {door.told[-1]}") == 1
    door.fault = None
    door.step(4 * LONG)
    assert door.runs == BUILT_IN


# No memory


@pytest.mark.parametrize("fault", [MemoryError("std::bad_alloc"), wrapped(MemoryError())], ids=["bare", "wrapped"])
@pytest.mark.parametrize("confirmed", [False, True], ids=["trial", "confirmed"])
def test_a_model_that_finds_no_memory_is_loaded_later(door: Watched, fault: Exception, confirmed: bool) -> None:
    """A trial was rolled back on the disk, and a confirmed model passed over until the next start."""
    first = door.on_trial()
    door.slots.confirm()
    door.step()
    second = door.on_trial()
    if confirmed:
        door.slots.confirm()
    before = door.slots.read()
    door.fault = fault
    door.step(100)
    assert door.runs == first
    assert door.slots.read() == before
    assert door.loads == 1 + 1 + 4, "the built-in one, the first, and four tries"
    assert [why for why in door.whys if "slot b is not run yet" in why] == [door.whys[-1]]
    door.fault = None
    door.step(100)
    assert door.runs == second


def test_a_trial_that_finds_no_memory_spends_a_try_at_each_start_until_none_is_left(tmp_path: Path) -> None:
    door = Watched(tmp_path)
    with door.slots.in_use():
        door.slots.bring()
        for tries_left in (2, 1, 0, 0):
            started = Watched(tmp_path)
            started.fault_of_slots = MemoryError()
            started.watch.open(SETTINGS)
            started.step(400)
            state = door.slots.read()
            assert (started.runs, state.tries_left) == (BUILT_IN, tries_left)
        assert (state.a.state, state.a.reason) == ("failed", "not confirmed in 3 starts")


def test_a_reload_that_finds_no_memory_leaves_the_old_settings_in_force(door: Watched) -> None:
    """The daemon ended."""
    sha256 = door.on_trial()
    door.slots.confirm()
    door.step()
    door.fault = MemoryError("std::bad_alloc")
    with pytest.raises(TryAgainError, match="MemoryError: std::bad_alloc"):
        door.watch.for_settings(replace(SETTINGS, threads=1), SETTINGS)
    assert door.runs == sha256


# Whose fault it is


def test_a_confirmed_model_that_the_runtime_refuses_is_passed_over_and_stays(tmp_path: Path) -> None:
    """Both slots were failed on the disk, for what may have been the machine's fault."""
    door = Watched(tmp_path)
    with door.slots.in_use():
        for _ in range(2):
            door.slots.bring()
            door.slots.confirm()
        before = door.slots.read()
        door.fault_of_slots = refused("failed to allocate")
        door.watch.open(SETTINGS)
        assert door.runs == BUILT_IN
        door.step(400)
        assert door.slots.read() == before
        assert door.loads == 3, "not again in this process"
        again = Watched(tmp_path)
        again.watch.open(SETTINGS)
        assert again.runs == before.b.sha256


def test_a_trial_that_the_runtime_refuses_is_rolled_back(door: Watched) -> None:
    door.fault_of_slots = refused("gather")
    door.on_trial()
    door.step()
    state = door.slots.read()
    assert (state.active, state.a.state, state.a.reason) == (None, "failed", "tiny: finder.tflite: gather")


def test_a_trial_that_is_damaged_is_told_without_the_damage_of_the_other_slot(door: Watched) -> None:
    """Its reason named the other slot's, too, which was told twice then."""
    door.on_trial()
    door.slots.confirm()
    door.slots.damage()
    second = door.on_trial()
    door.slots.damage()
    door.step()
    state = door.slots.read()
    assert (door.runs, state.b.sha256, state.b.state) == (BUILT_IN, second, "failed")
    a, b = (door.slots.slots.folder / name / "bundle.maskwatch" for name in ("a", "b"))
    damaged = "is damaged: its SHA-256 is not the one that was installed"
    assert state.b.reason == f"{b} {damaged}"
    assert door.whys[-1] == f"slot b is rolled back: {b} {damaged}; {a} {damaged}; the door runs {BUILT_IN}"


# Whose signature counts


@pytest.mark.parametrize("trying", [False, True], ids=["confirmed", "trial"])
def test_a_revoked_model_is_left_until_its_signature_counts_again(door: Watched, trying: bool) -> None:
    first = door.on_trial()
    door.slots.confirm()
    second = door.on_trial()
    if not trying:
        door.slots.confirm()
    door.step()
    assert door.runs == second
    door.slots.revoke()
    before = door.slots.read()
    door.step()
    assert door.runs == first
    assert "slot b is not run: " in door.whys[-1]
    told = len(door.whys)
    door.step(400)
    assert (door.slots.read(), len(door.whys)) == (before, told)
    door.slots.refused.clear()
    door.step(round(LONGEST_RETRY_SECONDS))
    assert door.runs == second


def test_a_revoked_model_does_not_go_on_while_nobody_can_tell_about_the_other(
    door: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = door.on_trial()
    door.slots.confirm()
    second = door.on_trial()
    door.slots.confirm()
    door.step()
    assert door.runs == second
    make_unreadable("a", monkeypatch)
    door.slots.revoke()
    door.step()
    assert door.runs == BUILT_IN
    monkeypatch.undo()
    door.step(LONG)
    assert door.runs == first


def test_a_reload_keeps_the_bundle_that_runs_while_nobody_can_tell(door: Watched) -> None:
    sha256 = door.on_trial()
    door.slots.confirm()
    door.step()
    door.slots.stateless = True
    sourced = door.watch.for_settings(replace(SETTINGS, threads=1), SETTINGS)
    assert sourced.model.identity == (sha256, 1)
    door.watch.adopt(sourced, replace(SETTINGS, threads=1))
    assert door.watch.running == RunningModel(sha256, sha256, "a", "confirmed")


def test_what_is_unfit_is_not_kept_though_nobody_can_tell_of_the_next(
    door: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is revoked, say."""
    door.on_trial()
    door.slots.confirm()
    sha256 = door.on_trial()
    door.slots.confirm()
    door.step()
    assert door.runs == sha256
    door.slots.damage()
    make_unreadable("a", monkeypatch)
    door.slots.set(replace(door.slots.read(), changes=99))
    door.step()
    assert door.runs == BUILT_IN


def test_from_a_named_bundle_a_reload_goes_to_the_best_that_is_sure(
    door: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallback = door.on_trial()
    door.slots.confirm()
    door.on_trial()
    door.slots.confirm()
    named = replace(SETTINGS, bundle=str(tmp_path / "named"))
    Path(named.bundle).write_bytes(b"named")
    door.watch.adopt(door.watch.for_settings(named, SETTINGS), named)
    make_unreadable("b", monkeypatch)
    door.watch.adopt(door.watch.for_settings(SETTINGS, named), SETTINGS)
    assert door.runs == fallback
