"""The slots over one daemon's life: what it may run, what it has to note of that, and what it cannot run."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from maskwatch.errors import MaskwatchError
from maskwatch.slots.choice import TOLD_ALREADY, Doubt, Look
from maskwatch.slots.states import SlotName, State
from maskwatch.slots.store import Slots

_NO_TRIAL = -1

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Left:
    """A bundle that this process does not run, and why; `unnoted` says why its rollback is not on the disk yet.

    `trial` is the number of changes at which it is on trial, or _NO_TRIAL: once that is another, it is another trial.
    """

    reason: str
    confirmed: bool = False
    unnoted: str = ""
    trial: int | None = None


class Onlooker:
    """Runs what the slots choose and leaves what fails, while nothing is written: for a run by hand.

    What it runs counts for nothing: it spends no try, and neither confirms a trial nor rolls it back.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._left: dict[str, _Left] = {}  # by SHA-256
        self._unnoted_start = ""

    @property
    def state_path(self) -> Path:
        """The file that changes, as a whole, with each change."""
        return self._slots.state_path

    def read(self) -> State:
        """How the slots are. Never raises."""
        return self._slots.read()

    def look(self, without: Collection[str] = ()) -> Look:
        """How they are, and what to run now of all but these SHA-256s. Never raises."""

        def doubts(state: State, name: SlotName) -> Doubt | None:
            return TOLD_ALREADY if state.slot(name).sha256 in without else self._doubt(state, name)

        return self._slots.look(doubts)

    def starting(self) -> None:
        """A daemon starts, and will load a model."""

    def settle(self) -> None:
        """Note what could not be noted so far."""

    def abandon(self, sha256: str, reason: str, *, confirmed: bool = False) -> bool:
        """This bundle cannot be run: pass over it from now on, unless it is on trial anew. False: that is not noted."""
        self._left[sha256] = _Left(reason, confirmed)
        return False

    def confirm(self, sha256: str) -> State:
        """The bundle on trial has judged enough frames."""
        return self.read()

    def _doubt(self, state: State, name: SlotName) -> Doubt | None:
        slot = state.slot(name)
        trying = slot.state == "trying"
        left = self._left.get(slot.sha256)
        if left is not None:
            trial = state.changes if trying else _NO_TRIAL
            left.trial = trial if left.trial is None else left.trial
            if left.trial == trial:
                why = f"slot {name} is passed over: {left.reason}"
                if left.unnoted:
                    return Doubt(f"{why}; a rollback cannot be noted: {left.unnoted}", "waits")
                return Doubt(why, "left")
            self._left.pop(slot.sha256, None)
        if trying and self._unnoted_start:
            why = f"slot {name} is not run yet: the start of a trial cannot be noted: {self._unnoted_start}"
            return Doubt(why, "waits")
        return None


class Runner(Onlooker):
    """The same for the service, whose runs count: they spend tries, confirm trials and roll them back, on the disk."""

    def starting(self) -> None:
        """A trial spends a try, and with none left is rolled back. Never raises.

        A trial whose start cannot be noted is not run, as it might never run out of tries: `settle` tries that again.
        """
        before = self.read()
        try:
            after = self._slots.start()
        except MaskwatchError as error:
            self._unnoted_start = str(error)
            return
        self._unnoted_start = ""
        if before.active not in (None, after.active) and after.last_event is not None:
            logger.warning("slot %s is rolled back: %s", before.active, after.last_event.reason)

    def settle(self) -> None:
        """Note a start or a rollback that could not be noted when it came. Never raises."""
        if self._unnoted_start:
            self.starting()
        for sha256, left in list(self._left.items()):
            if left.unnoted:
                self._roll_back(sha256, left)

    def abandon(self, sha256: str, reason: str, *, confirmed: bool = False) -> bool:
        """This bundle cannot be run: roll back its trial, or the bundle though it is `confirmed`. Never raises.

        False where it is not rolled back: this process passes over it all the same, unless it is on trial anew.
        """
        left = self._left[sha256] = _Left(reason, confirmed)
        return self._roll_back(sha256, left)

    def confirm(self, sha256: str) -> State:
        """The bundle on trial has judged enough frames: it stays. Raises TryAgainError or OperatorError."""
        return self._slots.confirm("healthy", sha256=sha256)

    def _roll_back(self, sha256: str, left: _Left) -> bool:
        try:
            self._slots.known()
            state = self._slots.roll_back(left.reason, sha256=sha256, confirmed=left.confirmed)
        except MaskwatchError as error:
            left.unnoted = str(error)
            return False
        left.unnoted = ""
        if any(name is not None and state.slot(name).sha256 == sha256 for name in (state.active, state.fallback)):
            return False
        self._left.pop(sha256, None)
        return True
