"""The watch over the door's model, whatever comes in whatever order: always a model, and in the end the right one."""

from __future__ import annotations

import gc
import os
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from maskwatch import model_watch
from maskwatch.config import ModelSettings
from maskwatch.door import Model
from maskwatch.errors import BundleError, OperatorError
from maskwatch.model_watch import LOOK_SECONDS, RETRY_SECONDS, ModelWatch
from maskwatch.observer import RunningModel
from maskwatch.slots import states
from maskwatch.slots.states import Slot, State
from maskwatch.slots.store import Choice
from maskwatch.types import Face, Frame
from slots_stage import Shelf
from status_stage import LIMIT_S, Clock

SETTINGS = ModelSettings()
BUILT_IN = "0" * 64
FRAME: Frame = None  # type: ignore[assignment]  # nobody looks at it


class MemorySlots:
    """Slots of the real states, in memory; a file stands for the change that a daemon sees on the disk."""

    def __init__(self, folder: Path) -> None:
        self.state_path = folder / "state.json"
        self.state = State()
        self.damaged: set[str] = set()
        self.writable = True
        self.passed_over: dict[str, int] = {}
        self.healthy: list[str] = []  # what a daemon has confirmed
        self.confirmed: set[str] = set()  # by whomever, at any time
        self._changes = 0
        self.set(State())

    def set(self, state: State) -> State:
        if not self.writable:
            raise OperatorError("the disk is read-only")
        self.state = state
        self.confirmed |= {slot.sha256 for slot in (state.a, state.b) if slot.state == "confirmed"}
        aside = self.state_path.with_suffix(".new")
        self._changes += 1
        aside.write_bytes(b"." * self._changes)
        os.replace(aside, self.state_path)
        return state

    def bring(self, sha256: str) -> None:
        self.set(states.verify(states.stage(self.state, Slot(sha256=sha256, name="tiny", version="1.0.0"))))
        self.set(states.activate(self.state))

    def read(self) -> State:
        return self.state

    def choose(self) -> Choice:
        faults = []
        for name in (self.state.active, self.state.fallback):
            if name is None:
                break
            slot = self.state.slot(name)
            if slot.sha256 in self.damaged or self.passed_over.get(slot.sha256) == self.state.changes:
                faults.append(f"slot {name} is passed over")
                continue
            path = Path(f"{slot.sha256}.maskwatch")
            trying = slot.state == "trying"
            return Choice(name, path, slot.sha256, trying, self.state.healthy_frames, tuple(faults))
        return Choice(None, None, None, faults=tuple(faults))

    def starting(self) -> State:
        active = self.state.active_slot
        if active is None or not self.state.trying:
            return self.state
        try:
            if active.sha256 in self.damaged:
                return self.set(states.roll_back(self.state, "damaged", "unfit"))
            return self.set(states.start(self.state))
        except OperatorError:
            self.passed_over[active.sha256] = self.state.changes
            return self.state

    def abandon(self, sha256: str, reason: str) -> State:
        slot = self.state.active_slot
        if slot is None or slot.sha256 != sha256:
            return self.state
        try:
            return self.set(states.roll_back(self.state, reason))
        except OperatorError:
            self.passed_over[sha256] = self.state.changes
            return self.state

    def confirm(self, event: Literal["healthy", "confirm"] = "confirm", *, sha256: str | None = None) -> State:
        slot = self.state.active_slot
        if slot is None or not self.state.trying or (sha256 is not None and slot.sha256 != sha256):
            return self.state
        if event == "healthy":
            self.healthy.append(slot.sha256)
        return self.set(states.confirm(self.state, event))


class Eyes:
    def faces(self, frame: Frame) -> tuple[Face, ...]:
        return ()


def numbers() -> Iterator[str]:
    for number in range(1, 10_000):
        yield f"{number:064x}"


class Doors(RuleBasedStateMachine):
    """One door over restarts, reloads, installations, power cuts between them, and operators who change their mind."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.slots = MemorySlots(Path(self.folder.name))
        self.numbers = numbers()
        self.unloadable: set[str] = set()
        self.failing: set[str] = set()
        self.settings = SETTINGS
        self.clock = Clock()
        self.frames: Counter[str] = Counter()
        self.given_up: set[str] = set()  # by this process
        self.start()

    def teardown(self) -> None:
        self.watch.close(LIMIT_S)
        self.folder.cleanup()

    def load(self, settings: ModelSettings, loaded: Model | None) -> Model:
        sha256 = Path(settings.bundle).stem if settings.bundle else BUILT_IN
        if sha256 in self.unloadable:
            raise BundleError(f"{sha256}: not a TFLite model")
        return Model(Eyes(), (sha256, settings.threads), sha256)

    def start(self) -> None:
        self.told: list[tuple[RunningModel, str]] = []
        self.watch = ModelWatch(
            self.load, self.slots, lambda: None, lambda model, why: self.told.append((model, why)), self.clock
        )
        self.model = self.watch.open(self.settings)

    def step(self) -> None:
        """What the daemon does between two frames, and what a job that it began comes to."""
        self.clock.now_s += LOOK_SECONDS
        self.watch.look(self.settings)
        self.watch.close(LIMIT_S)  # joins what was begun
        self.model = self.watch.take() or self.model

    @property
    def sha256(self) -> str:
        return self.model.identity[0]

    @rule(kind=st.sampled_from(["sound", "sound", "unloadable", "failing", "damaged"]))
    @precondition(lambda self: not self.slots.state.trying and self.slots.writable)
    def bring(self, kind: str) -> None:
        sha256 = next(self.numbers)
        if kind == "unloadable":
            self.unloadable.add(sha256)
        if kind == "failing":
            self.failing.add(sha256)
        if kind == "damaged":
            self.slots.damaged.add(sha256)
        self.slots.bring(sha256)

    @rule(frames=st.sampled_from([1, states.HEALTHY_FRAMES - 20, states.HEALTHY_FRAMES]))
    def judge(self, frames: int) -> None:
        for _ in range(frames):
            if self.sha256 in self.failing:
                # One that an operator confirmed in spite of its faults ends the process: no business of the watch.
                failed, model = self.sha256, self.watch.give_up(self.settings, RuntimeError("gather"))
                if model is not None:
                    self.model = model
                    self.given_up.add(failed)
            else:
                self.watch.judged()
                self.frames[self.sha256] += 1

    @rule()
    @precondition(lambda self: self.slots.writable and self.slots.state.trying)
    def operator_tries_another(self) -> None:
        """Before the watch has looked again."""
        self.operator_rolls_back()
        self.bring("sound")

    @rule()
    def look(self) -> None:
        self.step()

    @rule()
    @precondition(lambda self: self.slots.writable and self.slots.state.trying)
    def operator_confirms_and_that_is_not_taken_in_yet(self) -> None:
        self.slots.confirm()
        self.look_without_taking()

    @rule()
    @precondition(lambda self: not self.slots.state.trying and self.slots.writable)
    def bring_what_is_not_taken_in_yet(self) -> None:
        self.bring("sound")
        self.look_without_taking()

    @rule()
    def look_without_taking(self) -> None:
        self.clock.now_s += LOOK_SECONDS
        self.watch.look(self.settings)
        self.watch.close(LIMIT_S)

    @rule()
    @precondition(lambda self: self.slots.writable)
    def operator_confirms(self) -> None:
        self.slots.confirm()

    @rule()
    @precondition(lambda self: self.slots.writable and self.slots.state.active is not None)
    def operator_rolls_back(self) -> None:
        self.slots.set(states.roll_back(self.slots.state, "by hand"))

    @rule()
    def restart(self) -> None:
        self.watch.close(LIMIT_S)
        self.slots.passed_over.clear()
        self.given_up.clear()
        self.start()

    @rule(threads=st.sampled_from([1, 2]), named=st.booleans())
    def reload(self, threads: int, named: bool) -> None:
        settings = ModelSettings(bundle=f"{'f' * 64}.maskwatch" if named else "", threads=threads)
        sourced = self.watch.for_settings(settings, self.settings)
        self.watch.adopt(sourced, settings)
        self.model, self.settings = sourced.model, settings

    @rule(writable=st.booleans())
    def remount(self, writable: bool) -> None:
        self.slots.writable = writable

    @invariant()
    def there_is_a_model_and_it_is_the_one_that_is_told(self) -> None:
        assert self.sha256 not in self.unloadable
        assert self.sha256 not in self.given_up or self.slots.choose().sha256 == self.sha256
        running = self.watch.running
        assert self.told[-1][0] == running
        assert (running.sha256, self.model.identity[1]) == (self.sha256, self.settings.threads)
        assert (running.slot is None) == (running.trial is None)
        assert all(model.trial != "confirmed" or model.sha256 in self.slots.confirmed for model, _ in self.told)
        if self.settings.bundle:
            assert self.sha256 == "f" * 64

    @invariant()
    def what_it_confirms_has_judged_enough_frames(self) -> None:
        assert all(self.frames[sha256] >= states.HEALTHY_FRAMES for sha256 in self.slots.healthy)

    @rule()
    def given_time_it_is_the_one_that_the_slots_choose(self) -> None:
        for _ in range(round(RETRY_SECONDS / LOOK_SECONDS) + 2):
            self.step()
        if self.settings.bundle:
            return
        choice = self.slots.choose()
        if choice.sha256 in self.unloadable:  # the fallback of one that is passed over, as nothing can be written
            choice = Choice(None, None, None)
        running = self.watch.running
        assert (self.sha256, running.slot) == (choice.sha256 or BUILT_IN, choice.slot)
        assert running.trial == (None if choice.slot is None else "trying" if choice.trying else "confirmed")
        state = self.slots.state
        if self.slots.writable and state.trying:
            assert choice.slot == state.active or state.active_slot.sha256 in self.slots.passed_over  # type: ignore[union-attr]


Doors.TestCase.settings = hypothesis_settings(deadline=None, max_examples=150, stateful_step_count=30)
TestDoors = Doors.TestCase


# What seldom comes together


class Watched:
    """A watch over slots in memory, to be led step by step."""

    def __init__(self, folder: Path) -> None:
        self.slots, self.clock = MemorySlots(folder), Clock()
        self.told: list[RunningModel] = []
        self.watch = ModelWatch(
            self.load, self.slots, lambda: None, lambda model, why: self.told.append(model), self.clock
        )
        self.watch.open(SETTINGS)

    @staticmethod
    def load(settings: ModelSettings, loaded: Model | None) -> Model:
        sha256 = Path(settings.bundle).stem if settings.bundle else BUILT_IN
        return Model(Eyes(), (sha256, settings.threads), sha256)

    def begin(self) -> None:
        """Look, and let what that began come to its end, which is not taken yet."""
        self.clock.now_s += LOOK_SECONDS
        self.watch.look(SETTINGS)
        self.watch.close(LIMIT_S)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.begin()
            self.watch.take()

    def judge(self, frames: int) -> None:
        for _ in range(frames):
            self.watch.judged()

    def on_trial(self, sha256: str) -> None:
        if self.slots.state.trying:
            self.slots.set(states.roll_back(self.slots.state, "by hand"))
        self.slots.bring(sha256)


ONE, TWO = "1" * 64, "2" * 64
LONG = round(RETRY_SECONDS / LOOK_SECONDS) + 2


def test_what_was_loaded_before_a_trial_failed_is_not_taken_after_it(tmp_path: Path) -> None:
    door = Watched(tmp_path)
    door.on_trial(ONE)
    door.step()
    door.slots.confirm()
    door.begin()  # finds the failing one confirmed
    assert door.watch.give_up(SETTINGS, RuntimeError("gather")) is not None
    assert door.watch.take() is None
    assert door.watch.running.sha256 == BUILT_IN
    door.step(LONG)
    assert [model.sha256 for model in door.told] == [BUILT_IN, ONE, BUILT_IN]


def test_a_trial_that_takes_the_place_of_a_healthy_one_has_to_be_healthy_itself(tmp_path: Path) -> None:
    door = Watched(tmp_path)
    door.on_trial(ONE)
    door.step()
    door.judge(states.HEALTHY_FRAMES)
    door.on_trial(TWO)
    door.step(LONG)
    assert [(model.sha256, model.trial) for model in door.told[1:]] == [(ONE, "trying"), (TWO, "trying")]
    assert door.slots.healthy == []


def test_frames_of_one_trial_do_not_count_for_the_next(tmp_path: Path) -> None:
    door = Watched(tmp_path)
    for sha256 in (ONE, TWO):
        door.on_trial(sha256)
        door.step()
        door.judge(states.HEALTHY_FRAMES - 1)
        door.step(LONG)
    assert door.slots.healthy == []
    door.judge(1)
    door.step()
    assert door.slots.healthy == [TWO]
    assert door.told[-1] == RunningModel(TWO, TWO, "a", "confirmed")


# What it loads


def test_a_file_that_changes_between_a_look_and_its_loading_is_not_run(tmp_path: Path) -> None:
    slots = MemorySlots(tmp_path)
    slots.bring("1" * 64)

    def load(settings: ModelSettings, loaded: Model | None) -> Model:
        return Model(Eyes(), ("2" * 64 if settings.bundle else BUILT_IN, settings.threads), "tiny")

    told: list[tuple[RunningModel, str]] = []
    watch = ModelWatch(load, slots, lambda: None, lambda model, why: told.append((model, why)), Clock())
    assert watch.open(SETTINGS).identity[0] == BUILT_IN
    assert "changed since it was installed" in told[0][1]
    assert slots.state.a.state == "failed"


# What it keeps


def test_the_model_before_is_kept_in_memory_for_as_long_as_the_trial_lasts(tmp_path: Path) -> None:
    slots, clock = MemorySlots(tmp_path), Clock()
    eyes: list[weakref.ref[Eyes]] = []

    def load(settings: ModelSettings, loaded: Model | None) -> Model:
        made = Eyes()
        eyes.append(weakref.ref(made))
        return Model(made, (Path(settings.bundle).stem if settings.bundle else BUILT_IN, settings.threads), "tiny")

    watch = ModelWatch(load, slots, lambda: None, lambda model, why: None, clock)

    def step() -> None:
        clock.now_s += LOOK_SECONDS
        watch.look(SETTINGS)
        watch.close(LIMIT_S)
        watch.take()
        gc.collect()

    watch.open(SETTINGS)
    slots.bring("1" * 64)
    step()
    assert [ref() is None for ref in eyes] == [False, False]
    for _ in range(states.HEALTHY_FRAMES):
        watch.judged()
    step()
    assert slots.healthy == ["1" * 64]
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
        shelf.slots,
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
    slots = MemorySlots(tmp_path)
    named = replace(SETTINGS, bundle="named.maskwatch")
    told: list[str] = []
    watch = ModelWatch(
        lambda settings, loaded: Model(Eyes(), (settings.bundle, settings.threads), settings.bundle),
        slots,
        lambda: told.append("announced"),
        lambda model, why: told.append(str(model)),
        Clock(),
    )
    watch.open(named)
    slots.bring("1" * 64)
    for _ in range(5):
        watch.look(named)
        watch.close(LIMIT_S)
        assert watch.take() is None
    assert told == ["named.maskwatch"]
