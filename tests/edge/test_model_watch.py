"""The watch over the door's model, whatever comes in whatever order: always a model, and in the end the right one."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from maskwatch import model_watch
from maskwatch.config import ModelSettings
from maskwatch.door import Model
from maskwatch.errors import BundleError, OperatorError, RuntimeRefusedError, TryAgainError
from maskwatch.model_watch import LONGEST_RETRY_SECONDS, LOOK_SECONDS, RETRY_SECONDS, ModelWatch
from maskwatch.observer import RunningModel
from maskwatch.slots import folder as disk
from maskwatch.slots import states
from maskwatch.slots.running import Onlooker, Runner
from quick_slots import BUILT_IN, Eyes, QuickSlots, load
from slots_stage import Shelf
from status_stage import LIMIT_S, Clock

SETTINGS = ModelSettings()
LONG = round(RETRY_SECONDS / LOOK_SECONDS) + 2
"""So many looks later everything that has failed once has been tried again."""


class Doors(RuleBasedStateMachine):
    """One door over restarts, reloads, installations, faults that pass, and operators who change their mind."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.door = QuickSlots(Path(self.stack.enter_context(tempfile.TemporaryDirectory())))
        self.stack.enter_context(self.door.in_use())
        self.lock = self.stack.enter_context(ExitStack())  # another change that is under way
        self.locked = False
        self.named = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "named"
        self.named.write_bytes(b"named")
        self.unloadable: set[str] = set()
        self.failing: set[str] = set()
        self.damaged: set[str] = set()
        self.short_of_memory = False
        self.settings = SETTINGS
        self.clock = Clock()
        self.frames: Counter[str] = Counter()
        self.given_up: set[str] = set()  # by this process
        self.start()

    def teardown(self) -> None:
        self.watch.close(LIMIT_S)
        self.stack.close()

    def load(self, settings: ModelSettings, loaded: Model | None) -> Model:
        model = load(settings, loaded)
        if self.short_of_memory and model.identity[0] != BUILT_IN and Path(settings.bundle) != self.named:
            raise MemoryError
        if model.name in self.unloadable:
            raise BundleError(f"{model.name}: not a TFLite model")
        return model

    def start(self) -> None:
        self.told: list[tuple[RunningModel, str]] = []
        self.runner = self.door.runner()
        self.watch = ModelWatch(
            self.load, self.runner, lambda: None, lambda model, why: self.told.append((model, why)), self.clock
        )
        self.model = self.watch.open(self.settings)

    def step(self, seconds: float = LOOK_SECONDS) -> None:
        """What the daemon does between two frames, and what a job that it began comes to."""
        self.clock.now_s += seconds
        self.watch.look(self.settings)
        self.watch.close(LIMIT_S)  # joins what was begun
        self.model = self.watch.take() or self.model

    @property
    def sha256(self) -> str:
        return self.model.identity[0]

    @property
    def trying(self) -> bool:
        return self.door.read().trying

    # What operators do

    @rule(kind=st.sampled_from(["sound", "sound", "unloadable", "failing", "damaged"]))
    @precondition(lambda self: not self.trying)
    def bring(self, kind: str) -> None:
        sha256 = self.door.bring()
        if kind == "unloadable":
            self.unloadable.add(sha256)
        if kind == "failing":
            self.failing.add(sha256)
        if kind == "damaged":
            self.damaged.add(sha256)
            self.door.damage()

    @rule()
    @precondition(lambda self: self.trying)
    def operator_tries_another(self) -> None:
        """Before the watch has looked again."""
        self.door.roll_back()
        self.door.bring()

    @rule()
    @precondition(lambda self: self.trying)
    def operator_confirms(self) -> None:
        self.door.confirm()

    @rule()
    @precondition(lambda self: self.door.read().active is not None)
    def operator_rolls_back(self) -> None:
        self.door.roll_back()

    @rule()
    @precondition(lambda self: self.door.read().active is not None)
    def operator_revokes_a_key(self) -> None:
        self.door.revoke()

    @rule()
    def operator_mends_the_lists(self) -> None:
        self.door.refused.clear()

    @rule(threads=st.sampled_from([1, 2]), named=st.booleans())
    def reload(self, threads: int, named: bool) -> None:
        settings = ModelSettings(bundle=str(self.named) if named else "", threads=threads)
        try:
            sourced = self.watch.for_settings(settings, self.settings)
        except (OperatorError, TryAgainError):  # the old settings stay: what runs is damaged now, or finds no room
            return
        self.watch.adopt(sourced, settings)
        self.model, self.settings = sourced.model, settings

    # What the door does

    @rule(frames=st.sampled_from([1, states.HEALTHY_FRAMES - 20, states.HEALTHY_FRAMES]))
    def judge(self, frames: int) -> None:
        for _ in range(frames):
            while self.sha256 in self.failing:
                failed, model = self.sha256, self.watch.give_up(self.settings, RuntimeError("gather"))
                assert model is not None
                self.model = model
                self.given_up.add(failed)
            self.watch.judged()
            self.frames[self.sha256] += 1

    @rule()
    def look(self) -> None:
        self.step()

    @rule()
    def look_without_taking(self) -> None:
        self.clock.now_s += LOOK_SECONDS
        self.watch.look(self.settings)
        self.watch.close(LIMIT_S)

    @rule()
    def restart(self) -> None:
        self.watch.close(LIMIT_S)
        self.given_up.clear()
        self.start()

    # What passes

    @rule(read_only=st.booleans())
    def remount(self, read_only: bool) -> None:
        self.door.read_only = read_only

    @rule()
    def another_change_begins_or_ends(self) -> None:
        self.locked = not self.locked
        if self.locked:
            self.lock.enter_context(disk.locked(self.door.slots.folder))
        else:
            self.lock.close()

    @rule(bundles=st.booleans(), state=st.booleans())
    def reading_fails(self, bundles: bool, state: bool) -> None:
        self.door.unreadable, self.door.stateless = bundles, state

    @rule(so=st.booleans())
    def memory_is_short(self, so: bool) -> None:
        self.short_of_memory = so

    @rule(steps=st.sampled_from([1, 3 * LONG]))
    def while_nobody_can_tell_what_runs_goes_on(self, steps: int) -> None:
        self.step()  # takes what was found before
        before, told = self.sha256, len(self.told)
        self.door.stateless = True
        for _ in range(steps):
            self.step()
        assert self.sha256 == before
        assert len(self.told) <= told + 2, "that nobody can tell; and what has just been confirmed"

    # What must be so

    @invariant()
    def there_is_a_model_and_it_is_the_one_that_is_told(self) -> None:
        assert self.sha256 not in self.unloadable
        assert self.sha256 not in self.given_up or self.runner.look().choice.sha256 == self.sha256
        running = self.watch.running
        assert self.told[-1][0] == running
        assert (running.sha256, self.model.identity[1]) == (self.sha256, self.settings.threads)
        assert (running.slot is None) == (running.trial is None)
        assert all(model.trial != "confirmed" or model.sha256 in self.door.confirmed for model, _ in self.told)
        if self.settings.bundle:
            assert running.slot is None
            assert self.sha256 != BUILT_IN

    @invariant()
    def what_may_pass_fails_no_slot(self) -> None:
        state = self.door.read()
        assert not any(words in slot.reason for slot in (state.a, state.b) for words in ("revoked", "MemoryError"))

    @invariant()
    def what_it_confirms_has_judged_enough_frames(self) -> None:
        assert all(self.frames[sha256] >= states.HEALTHY_FRAMES for sha256 in self.door.healthy)

    @rule()
    def given_time_it_is_the_one_that_the_slots_choose(self) -> None:
        self.door.unreadable = self.door.stateless = self.short_of_memory = False
        for _ in range(2 * LONG):
            self.step(LONGEST_RETRY_SECONDS)
        if self.settings.bundle:
            return
        choice = self.runner.look().choice
        running = self.watch.running
        assert (self.sha256, running.slot) == (choice.sha256 or BUILT_IN, choice.slot)
        assert running.trial == (None if choice.slot is None else "trying" if choice.trying else "confirmed")
        assert self.sha256 not in self.door.refused
        state = self.door.read()
        if self.door.read_only or self.locked:
            return
        active = state.active_slot
        if active is None or active.sha256 not in self.damaged | self.given_up | self.door.refused:
            assert running.slot == state.active
        elif active.sha256 not in self.door.refused:
            assert active.state == "confirmed", "a trial that cannot be run is rolled back"


Doors.TestCase.settings = hypothesis_settings(deadline=None, max_examples=100, stateful_step_count=30)
TestDoors = Doors.TestCase


# What seldom comes together


class Watched:
    """A watch over quick slots, to be led step by step."""

    def __init__(self, folder: Path, slots: type[Onlooker] = Runner) -> None:
        self.slots, self.clock = QuickSlots(folder), Clock()
        self.runner = slots(self.slots.slots)
        self.told: list[RunningModel] = []
        self.whys: list[str] = []
        self.watch = ModelWatch(self.load, self.runner, lambda: None, self._tell, self.clock)
        self.loads = 0
        self.fault: Exception | None = None  # of loading
        self.fault_of_slots: Exception | None = None  # of loading what is not built-in

    def _tell(self, model: RunningModel, why: str) -> None:
        self.told.append(model)
        self.whys.append(why)

    def load(self, settings: ModelSettings, loaded: Model | None) -> Model:
        self.loads += 1
        if self.fault is not None:
            raise self.fault
        if self.fault_of_slots is not None and settings.bundle:
            raise self.fault_of_slots
        return load(settings, loaded)

    def begin(self, seconds: float = LOOK_SECONDS) -> None:
        """Look, and let what that began come to its end, which is not taken yet."""
        self.clock.now_s += seconds
        self.watch.look(SETTINGS)
        self.watch.close(LIMIT_S)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.begin()
            self.watch.take()

    def judge(self, frames: int) -> None:
        for _ in range(frames):
            self.watch.judged()

    def on_trial(self) -> str:
        """Another trial, whatever was on trial before; its SHA-256."""
        if self.slots.read().trying:
            self.slots.roll_back()
        return self.slots.bring()

    @property
    def runs(self) -> str:
        return self.watch.running.sha256


def make_unreadable(slot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slot's bundle, by an error that may pass."""
    read_file = disk.read_file

    def read(path: Path, most_bytes: int) -> bytes:
        if path.parent.name == slot:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return read_file(path, most_bytes)

    monkeypatch.setattr(disk, "read_file", read)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Watched]:
    door = Watched(tmp_path)
    with door.slots.in_use():
        door.watch.open(SETTINGS)
        yield door


def test_what_was_loaded_before_a_trial_failed_is_not_taken_after_it(door: Watched) -> None:
    one = door.on_trial()
    door.step()
    door.slots.confirm()
    door.begin()  # finds the failing one confirmed
    assert door.watch.give_up(SETTINGS, RuntimeError("gather")) is not None
    assert door.watch.take() is None
    assert door.runs == BUILT_IN
    door.step(LONG)
    assert [model.sha256 for model in door.told] == [BUILT_IN, one, BUILT_IN]


def test_a_trial_that_takes_the_place_of_a_healthy_one_has_to_be_healthy_itself(door: Watched) -> None:
    one = door.on_trial()
    door.step()
    door.judge(states.HEALTHY_FRAMES)
    two = door.on_trial()
    door.step(LONG)
    assert [(model.sha256, model.trial) for model in door.told[1:]] == [(one, "trying"), (two, "trying")]
    assert door.slots.healthy == []


def test_frames_of_one_trial_do_not_count_for_the_next(door: Watched) -> None:
    for _ in range(2):
        sha256 = door.on_trial()
        door.step()
        door.judge(states.HEALTHY_FRAMES - 1)
        door.step(LONG)
    assert door.slots.healthy == []
    door.judge(1)
    door.step()
    assert door.slots.healthy == [sha256]
    assert door.told[-1] == RunningModel(sha256, sha256, "a", "confirmed")


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


def refused(words: str) -> BundleError:
    """As a network that the runtime refuses comes out of a bundle."""
    try:
        try:
            raise RuntimeRefusedError(words)
        except RuntimeRefusedError as error:
            raise BundleError(f"tiny: finder.tflite: {words}") from error
    except BundleError as error:
        return error


def wrapped(cause: BaseException) -> BundleError:
    error = BundleError("tiny: cannot be read")
    error.__cause__ = cause
    return error


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


# A run that counts for nothing


def test_an_onlooker_tries_what_the_slots_choose_and_writes_nothing(tmp_path: Path) -> None:
    door = Watched(tmp_path, Onlooker)
    with door.slots.in_use():
        sha256 = door.slots.bring()
        before = door.slots.slots.state_path.stat().st_mtime_ns
        door.watch.open(SETTINGS)
        door.judge(2 * states.HEALTHY_FRAMES)
        door.step(2 * LONG)
        assert door.told == [RunningModel(sha256, sha256, "a", "trying")]
        assert door.watch.give_up(SETTINGS, RuntimeError("gather")) is not None
        door.step(2 * LONG)
        assert door.runs == BUILT_IN
        assert door.whys[-1] == f"slot a is passed over: RuntimeError: gather; the door runs {BUILT_IN}"
        assert door.slots.slots.state_path.stat().st_mtime_ns == before


# What it loads


def test_a_file_that_changes_between_a_look_and_its_loading_is_not_run(tmp_path: Path) -> None:
    slots = QuickSlots(tmp_path)
    slots.bring()

    def other(settings: ModelSettings, loaded: Model | None) -> Model:
        return Model(Eyes(), ("2" * 64 if settings.bundle else BUILT_IN, settings.threads), "tiny")

    told: list[tuple[RunningModel, str]] = []
    watch = ModelWatch(other, slots.runner(), lambda: None, lambda model, why: told.append((model, why)), Clock())
    assert watch.open(SETTINGS).identity[0] == BUILT_IN
    assert "changed since it was installed" in told[0][1]
    assert slots.read().a.state == "failed"


# What it keeps


def test_the_model_before_is_kept_in_memory_for_as_long_as_the_trial_lasts(tmp_path: Path) -> None:
    door = Watched(tmp_path)
    eyes: list[weakref.ref[Eyes]] = []

    def weak(settings: ModelSettings, loaded: Model | None) -> Model:
        model = load(settings, loaded)
        eyes.append(weakref.ref(model.eyes))  # type: ignore[arg-type]
        return model

    with door.slots.in_use():
        door.watch = ModelWatch(weak, door.runner, lambda: None, lambda model, why: None, door.clock)
        door.watch.open(SETTINGS)
        sha256 = door.on_trial()
        door.step()
        gc.collect()
        assert [ref() is None for ref in eyes] == [False, False]
        door.judge(states.HEALTHY_FRAMES)
        door.step()
        gc.collect()
        assert door.slots.healthy == [sha256]
        assert [ref() is None for ref in eyes] == [True, False]


# How often it looks


def test_it_looks_once_a_second_however_many_frames_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path)
    shelf.confirm("2.0.0")
    clock = Clock()
    stats = []
    stat = Path.stat

    def counted(path: Path, **more: bool) -> os.stat_result:
        if path == shelf.slots.state_path:
            stats.append(clock.now_s)
        return stat(path, **more)

    watch = ModelWatch(
        lambda settings, loaded: Model(Eyes(), (shelf.slots.read().a.sha256, 2), "tiny"),
        Runner(shelf.slots),
        lambda: None,
        lambda model, why: None,
        clock,
    )
    watch.open(SETTINGS)
    monkeypatch.setattr(Path, "stat", counted)
    opened = []
    monkeypatch.setattr(model_watch, "bring", lambda *words, **more: opened.append(words))
    for _ in range(600):
        clock.now_s += 0.05
        watch.look(SETTINGS)
    assert 29 <= len(stats) <= 31
    assert opened == [], "nothing is read while nothing has changed"


def test_settings_that_name_a_bundle_have_it_look_at_nothing(tmp_path: Path) -> None:
    slots = QuickSlots(tmp_path)
    named = replace(SETTINGS, bundle="named.maskwatch")
    told: list[str] = []
    watch = ModelWatch(
        lambda settings, loaded: Model(Eyes(), (settings.bundle, settings.threads), settings.bundle),
        slots.runner(),
        lambda: told.append("announced"),
        lambda model, why: told.append(str(model)),
        Clock(),
    )
    watch.open(named)
    slots.bring()
    for _ in range(5):
        watch.look(named)
        watch.close(LIMIT_S)
        assert watch.take() is None
    assert told == ["named.maskwatch"]
