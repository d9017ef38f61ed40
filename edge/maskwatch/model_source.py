"""Which model a door runs, and how it comes into memory: the bundle that the settings name, a slot's, or the built-in.

A bundle in a slot that cannot be run is given up, and the next best takes its place: never none at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from maskwatch.errors import BundleError, MaskwatchError
from maskwatch.observer import RunningModel
from maskwatch.slots.states import SLOT_NAMES, State
from maskwatch.slots.store import Choice

if TYPE_CHECKING:
    from maskwatch.config import ModelSettings
    from maskwatch.door import Model

LoadModel = Callable[["ModelSettings", "Model | None"], "Model"]
"""Settings that name a bundle, or none for the built-in one, and a model that may be that very one already."""

NETWORK_FAULTS = (ValueError, RuntimeError, MemoryError)
"""What networks raise when they are loaded or run: BundleError, a ValueError, by which interpreter.py passes on what a
TFLite runtime raises; the runtime's own ValueError and RuntimeError, where it does not; MemoryError where a model is
too large for this machine. Anything else is a bug of ours: it ends the process, and costs a trial one of its tries."""

UNSLOTTED = Choice(None, None, None)
"""The built-in bundle, or one that the settings name."""


class ModelSlots(Protocol):
    """The A/B slots as a daemon uses them (`slots.store.Slots`). Only `confirm` raises."""

    @property
    def state_path(self) -> Path:
        """The file that changes with each change."""

    def read(self) -> State:
        """How they are."""

    def starting(self) -> State:
        """A daemon starts: a trial spends a try."""

    def choose(self) -> Choice:
        """What to run now."""

    def abandon(self, sha256: str, reason: str) -> State:
        """This bundle cannot be run."""

    def confirm(self, event: Literal["healthy", "confirm"] = "confirm", *, sha256: str | None = None) -> State:
        """End the trial well. Raises TryAgainError or OperatorError."""


@dataclass(frozen=True, slots=True)
class Sourced:
    """A model in memory and where it is from. `faults` say what was passed over on the way to it, and why."""

    choice: Choice
    model: Model
    faults: tuple[str, ...] = ()

    def running(self) -> RunningModel:
        """The same in words for observers."""
        trial: Literal["trying", "confirmed"] = "trying" if self.choice.trying else "confirmed"
        slot = self.choice.slot
        return RunningModel(self.model.name, self.model.identity[0], slot, None if slot is None else trial)


def bring(
    load: LoadModel,
    slots: ModelSlots | None,
    settings: ModelSettings,
    loaded: Sequence[Sourced] = (),
    started: bool = False,
) -> Sourced:
    """The model to run now, loaded unless it is among those `loaded`. May take a second; any thread may do it.

    `started` is a daemon past its start, where a trial whose file is damaged is rolled back too: at the start
    `starting` has done that, and a trial that is passed over then may be innocent.

    Raises:
        BundleError: the settings' own bundle, or the built-in one, cannot be used.
        RuntimeMissingError: no TFLite runtime.
    """
    faults: list[str] = []
    if slots is not None and not settings.bundle:
        given_up: set[str | None] = set()
        for _ in SLOT_NAMES:
            before, choice = slots.read(), slots.choose()
            if started and choice.faults and before.trying and before.active != choice.slot:
                faults += _rolled_back(slots, before, choice, given_up)
            else:
                faults += [fault for fault in choice.faults if fault not in faults]
            if choice.path is None:
                break
            try:
                return Sourced(choice, _of_slot(load, choice, settings, loaded), tuple(faults))
            except NETWORK_FAULTS as error:
                # A confirmed bundle does not pay for a runtime that is missing, nor for memory that others took.
                if not choice.trying and not isinstance(error, BundleError):
                    raise
                faults.append(f"slot {choice.slot} {'is rolled back' if choice.trying else 'fails'}: {in_words(error)}")
                slots.abandon(choice.sha256 or "", in_words(error))
                given_up.add(choice.sha256)
    unslotted = next((sourced.model for sourced in loaded if sourced.choice.path is None), None)
    return Sourced(UNSLOTTED, load(settings, unslotted), tuple(faults))


def _rolled_back(slots: ModelSlots, before: State, choice: Choice, given_up: set[str | None]) -> list[str]:
    """Roll back a trial that `choose` has passed over, unless that is done; says so."""
    active = before.active_slot
    if active is None or active.sha256 in given_up:
        return []
    slots.abandon(active.sha256, "; ".join(choice.faults))
    given_up.add(active.sha256)
    return [f"slot {before.active} is rolled back: {'; '.join(choice.faults)}"]


def in_words(error: BaseException) -> str:
    """An error as a reason; one that was not raised on purpose with its kind."""
    return str(error) if isinstance(error, MaskwatchError) else f"{type(error).__name__}: {error}"


def _of_slot(load: LoadModel, choice: Choice, settings: ModelSettings, loaded: Sequence[Sourced]) -> Model:
    for sourced in loaded:
        if sourced.model.identity == (choice.sha256, settings.threads):
            return sourced.model
    model = load(replace(settings, bundle=str(choice.path)), None)
    if model.identity[0] != choice.sha256:
        raise BundleError(f"{choice.path}: changed since it was installed (SHA-256 differs)")
    return model
