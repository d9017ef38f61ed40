"""The A/B slots on the disk: which bundle a door runs, and how it is changed so that no door is ever without one.

SLOTS/state.json is the only truth and is replaced as a whole; SLOTS/a and SLOTS/b hold a bundle each. What is active is
never written to. Whoever changes something holds SLOTS/lock. Nothing here asks what time it is.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from maskwatch.atomic import sync_folder
from maskwatch.errors import MaskwatchError, OperatorError, SignatureError, TryAgainError
from maskwatch.installer import places
from maskwatch.slots import folder as disk
from maskwatch.slots import states
from maskwatch.slots.choice import Choice, Doubt, Doubts, Look, choose
from maskwatch.slots.slot_files import BUNDLE_FILE, check_room, damage_of, fill, put_signature, unfit
from maskwatch.slots.state_file import StateFileError, read_state, to_json
from maskwatch.slots.states import Slot, SlotName, State
from maskwatch.trust import Trust

SLOTS = Path(places.SLOTS)
INCOMING = "incoming"
"""The folder of uploads that are under way, in SLOTS."""

STATE_FILE = "state.json"
BUILT_IN = "the built-in bundle is active"

logger = logging.getLogger(__name__)


class Slots:
    """The slots in one folder. What nobody in `trust` has signed is neither put there nor run from there."""

    def __init__(self, folder: Path, trust: Trust) -> None:
        self.folder = folder
        self._trust = trust

    @property
    def state_path(self) -> Path:
        """The file that changes, as a whole, with each change: a daemon watches it."""
        return self.folder / STATE_FILE

    # Looking

    def look(self, doubts: Doubts = lambda state, name: None) -> Look:
        """How they are, and what to run by that: the active bundle, its fallback, or the built-in one. Never raises.

        `doubts` are what the caller has against a slot's bundle. Reads the bundle's file and checks its signature: for
        when state.json changed, not for each frame.
        """

        def all_doubts(state: State, name: SlotName) -> Doubt | None:
            return doubts(state, name) or self._doubt(state, name)

        state, fault = self._seen()
        words = None if fault is None else f"{fault}: nobody can tell which bundle is active"
        return Look(state, choose(state, words, all_doubts, self._bundle))

    def read(self) -> State:
        """How they are. Never raises: damage reads as that both are empty, and a `look` says what is wrong."""
        return self._seen()[0]

    def known(self) -> State:
        """How they are. Raises OperatorError where nobody can tell."""
        state, fault = self._seen()
        if fault is not None:
            raise OperatorError(fault)
        return state

    def choose(self) -> Choice:
        """What to run now. Never raises."""
        return self.look().choice

    # Changes; each raises TryAgainError where another change is under way, OperatorError where the disk refuses

    def install(
        self,
        data: bytes,
        signature: bytes | None,
        *,
        force: bool = False,
        progress: Callable[[str], None] | None = None,
        origin: Path | None = None,
    ) -> State:
        """Verify a bundle, its golden vectors included, and bring it into the spare slot; it is not tried yet.

        Nothing to do where it is the active one, or there already. `force` allows a lower version of the same name.
        `progress` gets a few words at each step; messages call the bundle `origin`. Raises SignatureError or
        BundleError for a bundle that may not be tried, TryAgainError during a trial.
        """
        from maskwatch.slots.admission import admit, prove, refuse_downgrade

        tell = progress or (lambda words: None)
        tell("checking signature, hashes and schema")
        candidate, bundle = admit(data, signature, self._trust, origin or Path("the bundle"))

        def is_wanted(state: State) -> bool:
            if self._is_there(state, candidate):
                return False
            if self._lacks_signature(state, candidate):
                return True
            if state.trying:
                raise TryAgainError(self._on_trial(state))
            if not force:
                refuse_downgrade(state, candidate, bundle.path)
            return True

        with disk.plain_faults(self.folder):
            proven = is_wanted(self._without_damaged(self.read()))  # before the lock, for which nobody shall wait
            if proven:
                tell("running the golden vectors")
                prove(bundle)
            disk.prepare(self.folder)
        with self._changing() as read:
            state = self._without_damaged(read)
            if not is_wanted(state):
                return state if state is read else self._write(state)
            if not proven:  # what made it unwanted has just gone
                prove(bundle)
            if signature is not None and self._lacks_signature(state, candidate):
                put_signature(self.folder / str(state.active), signature)
                return self._write(states.signed(state, candidate.signer))
            name = state.spare
            check_room(self.folder / name, len(data) + len(signature or b""))
            tell(f"writing to slot {name}")
            staged = self._write(states.stage(state, candidate))
            try:
                fill(self.folder / name, data, signature)
            except (OSError, MaskwatchError) as error:
                self._give_up(staged, disk.fault_words(error) if isinstance(error, OSError) else str(error))
                raise
            return self._write(states.verify(staged))

    def activate(self, *, sha256: str | None = None) -> State:
        """The verified bundle becomes active, on trial. Nothing to do during a trial.

        With `sha256` only that bundle does, and there is nothing to do where it is active already. Raises OperatorError
        where it, or any, is not verified.
        """
        with self._changing() as state:
            active, name, slot = state.active_slot, state.spare, state.slot(state.spare)
            if active is not None and (active.sha256 == sha256 or (sha256 is None and state.trying)):
                return state
            if state.trying:
                raise TryAgainError(self._on_trial(state))
            if slot.state != "verified" or sha256 not in (None, slot.sha256):
                what = "that bundle" if sha256 else "a bundle"
                raise OperatorError(f"no slot holds {what}, verified (slot {name} is {slot.state}): install it first")
            damage = unfit(self.folder / name, slot.sha256, self._trust)
            if damage is not None:
                self._write(states.lose_verified(state, damage))
                raise OperatorError(f"{damage}: install the bundle again")
            return self._write(states.activate(state))

    def confirm(self, event: Literal["healthy", "confirm"] = "confirm", *, sha256: str | None = None) -> State:
        """End the trial well; `healthy` from a daemon that saw enough frames. Nothing to do where it is confirmed.

        With `sha256`, nothing to do unless that is the active bundle. Raises OperatorError where no slot is active.
        """
        with self._changing() as state:
            slot = state.active_slot
            if sha256 is not None and (slot is None or slot.sha256 != sha256):
                return state
            if slot is None:
                raise OperatorError(f"nothing is on trial: {BUILT_IN}")
            return self._write(states.confirm(state, event)) if state.trying else state

    def roll_back(self, reason: str, *, sha256: str | None = None, confirmed: bool = False) -> State:
        """End the trial badly: back to the fallback. Nothing to do without a trial, unless `confirmed`.

        `confirmed`: leave a confirmed bundle too. With `sha256`, nothing to do unless that is the active bundle.
        """
        with self._changing() as state:
            slot = state.active_slot
            if slot is None or (sha256 is not None and slot.sha256 != sha256):
                return state
            return self._write(states.roll_back(state, reason)) if state.trying or confirmed else state

    def start(self) -> State:
        """A daemon's start, before it loads a model: a trial spends a try, or is rolled back with none left.

        An active bundle that is damaged is left. Raises OperatorError, too, where nobody can tell what is active, or
        whether that is damaged.
        """
        state = self.known()
        with disk.plain_faults(self.folder):
            # nothing to note, and no lock to wait for; of a trial there always is
            if not state.trying and self._started(state) is state:
                if state.active is not None:
                    sync_folder(self.folder)  # or a power cut might still undo what runs now
                return state
        with self._changing() as state:
            return self._write(self._started(state))

    # Inside

    def _seen(self) -> tuple[State, str | None]:
        """The State, and what is wrong with its file."""
        try:
            state = read_state(self.state_path)
            if state == State() and any(self._bundle(name).exists() for name in states.SLOT_NAMES):
                return state, f"{self.state_path} is missing"
            return state, None
        except StateFileError as error:
            return State(), str(error)
        except OSError as error:
            return State(), f"{self.state_path}: {disk.fault_words(error)}"

    def _doubt(self, state: State, name: SlotName) -> Doubt | None:
        try:
            fault = unfit(self.folder / name, state.slot(name).sha256, self._trust)
        except OSError as error:
            return Doubt(f"{self._bundle(name)}: {disk.fault_words(error)}", "unsure")
        except SignatureError as error:
            return Doubt(f"slot {name} is not run: {error}", "refused")
        except OperatorError as error:  # nobody can tell whether it is signed
            return Doubt(f"slot {name} is not run: {error}", "unsure")
        return None if fault is None else Doubt(fault, "unfit")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[State]:
        """Hold the lock, and give the State as it is then. A damaged one is begun anew."""
        with disk.plain_faults(self.folder), disk.locked(self.folder):
            sync_folder(self.folder)  # or a power cut might still undo what this change is built on
            try:
                state = read_state(self.state_path)
            except StateFileError as error:
                logger.warning("%s: %s, and the slots begin anew", error, BUILT_IN)
                state = State()
            yield state

    def _write(self, state: State) -> State:
        disk.put(self.state_path, to_json(state))
        return state

    def _started(self, state: State) -> State:
        """What a start makes of a State; the same object where it makes nothing of it."""
        state = self._without_damaged(state)
        if not state.trying:
            return state
        started = states.start(state)
        return started if started.active == state.active else self._without_damaged(started)

    def _without_damaged(self, state: State) -> State:
        """The State once an active slot whose file is damaged is left, and its fallback too where that is damaged."""
        while state.active is not None:
            damage = damage_of(self.folder / state.active, state.slot(state.active).sha256)
            if damage is None:
                break
            state = states.roll_back(state, damage, "damaged")
        return state

    def _is_there(self, state: State, candidate: Slot) -> bool:
        """Whether the bundle is active, or verified and as well signed."""
        active, name = state.active_slot, state.spare
        if active is not None and active.sha256 == candidate.sha256:
            return not self._lacks_signature(state, candidate)
        spare = state.slot(name)
        if (spare.state, spare.sha256, spare.signer) != ("verified", candidate.sha256, candidate.signer):
            return False
        return self._counts(name, spare)

    def _lacks_signature(self, state: State, candidate: Slot) -> bool:
        """Whether the bundle is active, and not signed there as this machine asks by now."""
        active = state.active_slot
        if state.active is None or active is None or active.sha256 != candidate.sha256:
            return False
        return not self._counts(state.active, active)

    def _counts(self, name: SlotName, slot: Slot) -> bool:
        """Whether a slot's bundle is whole, and signed as this machine asks by now."""
        try:
            return unfit(self.folder / name, slot.sha256, self._trust) is None
        except SignatureError:
            return False

    def _give_up(self, staged: State, reason: str) -> None:
        """Take back what was staged, as far as the disk lets us; a staged slot that stays so harms nobody."""
        with contextlib.suppress(OSError):
            disk.sweep(self.folder / staged.spare)
        with contextlib.suppress(OSError):
            self._write(states.refuse(staged, reason))

    @staticmethod
    def _on_trial(state: State) -> str:
        return f"slot {state.active} is on trial: confirm it or roll it back first"

    def _bundle(self, name: SlotName) -> Path:
        return self.folder / name / BUNDLE_FILE
