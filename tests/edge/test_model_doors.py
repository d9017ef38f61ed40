"""Whatever happens to a door, in whatever order, it runs a model that it may run."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from maskwatch.config import ModelSettings
from maskwatch.door import Model
from maskwatch.errors import BundleError, OperatorError, TryAgainError
from maskwatch.model_watch import LONGEST_RETRY_SECONDS, LOOK_SECONDS, ModelWatch
from maskwatch.observer import RunningModel
from maskwatch.slots import folder as disk
from maskwatch.slots import states
from quick_slots import BUILT_IN, QuickSlots, load
from status_stage import LIMIT_S, Clock
from watched_door import LONG, SETTINGS


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
