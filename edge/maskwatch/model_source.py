"""Which model a door runs, and how it comes into memory: the bundle that the settings name, a slot's, or the built-in.

A bundle in a slot that cannot be run is left, and the next best takes its place: never none at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from maskwatch.errors import BundleError, MaskwatchError, RuntimeRefusedError
from maskwatch.observer import RunningModel
from maskwatch.slots.choice import Choice, Look
from maskwatch.slots.slot_files import lasts
from maskwatch.slots.states import State

if TYPE_CHECKING:
    from maskwatch.config import ModelSettings
    from maskwatch.door import Model

LoadModel = Callable[["ModelSettings", "Model | None"], "Model"]
"""Settings that name a bundle, or none for the built-in one, and a model that may be that very one already."""

NETWORK_FAULTS = (ValueError, RuntimeError, MemoryError)
"""What networks raise when they are loaded or run: BundleError, a ValueError, by which interpreter.py passes on what a
TFLite runtime raises; the runtime's own ValueError and RuntimeError, where it does not; MemoryError where there is no
room for a model now. Anything else is a bug of ours: it ends the process, and costs a trial one of its tries."""

UNSLOTTED = Choice(None, None, None)
"""The built-in bundle, or one that the settings name."""

MOST_LOOKS = 8
"""So often at most `bring` looks for a bundle in the slots; both can fail in four, unless somebody brings others."""


class ModelSlots(Protocol):
    """The A/B slots as a daemon uses them (`slots.running`). Only `confirm` raises."""

    @property
    def state_path(self) -> Path:
        """The file that changes with each change."""

    def read(self) -> State:
        """How they are."""

    def look(self, without: Collection[str] = ()) -> Look:
        """How they are, and what to run now of all but these SHA-256s."""

    def starting(self) -> None:
        """A daemon starts: a trial spends a try."""

    def settle(self) -> None:
        """Note what could not be noted so far."""

    def abandon(self, sha256: str, reason: str, *, confirmed: bool = False) -> bool:
        """This bundle cannot be run; whether it is rolled back now: a trial is, a confirmed one if `confirmed`."""

    def confirm(self, sha256: str) -> State:
        """End this bundle's trial well. Raises TryAgainError or OperatorError."""


@dataclass(frozen=True, slots=True)
class Sourced:
    """A model in memory and where it is from. `faults` say what was passed over on the way to it, and why.

    `again`: look again in a while, as another one may be to run then. `kept`: nobody can tell now what is to run.
    """

    choice: Choice
    model: Model
    faults: tuple[str, ...] = ()
    again: bool = False
    kept: bool = False

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
    keep: Choice | None = None,
) -> Sourced:
    """The model to run now, loaded unless it is among those `loaded`. May take a second; any thread may do it.

    `keep` is what runs already: that is returned where nobody can tell now what is to run, unless that one may not.

    Raises:
        BundleError: the settings' own bundle, or the built-in one, cannot be used.
        RuntimeMissingError: no TFLite runtime.
    """
    if slots is None or settings.bundle:
        return Sourced(UNSLOTTED, _loaded(load, UNSLOTTED, settings, loaded))
    faults: list[str] = []
    unread: set[str] = set()
    for _ in range(MOST_LOOKS):
        state, choice = slots.look(unread)
        active = state.active_slot
        unfit = None if active is None else dict(choice.unfit).get(active.sha256)
        if active is not None and state.trying and unfit is not None:
            if slots.abandon(active.sha256, unfit):
                faults.append(f"slot {state.active} is rolled back: {unfit}")
            continue
        faults += [fault for fault in choice.faults if fault not in faults]
        if choice.unsure and keep is not None and not choice.bars(keep.sha256):
            return Sourced(keep, _loaded(load, keep, settings, loaded), tuple(faults), again=True, kept=True)
        try:
            return Sourced(choice, _loaded(load, choice, settings, loaded), tuple(faults), choice.again)
        except NETWORK_FAULTS as error:
            if choice.sha256 is None:
                raise
            if _may_pass(error):
                unread.add(choice.sha256)
                faults.append(f"slot {choice.slot} is not run yet: {in_words(error)}")
            elif slots.abandon(choice.sha256, in_words(error), confirmed=_is_the_files(error)):
                faults.append(f"slot {choice.slot} is rolled back: {in_words(error)}")
    return Sourced(UNSLOTTED, _loaded(load, UNSLOTTED, settings, loaded), tuple(faults), again=True)


def in_words(error: BaseException) -> str:
    """An error as a reason; one that was not raised on purpose with its kind."""
    return str(error) if isinstance(error, MaskwatchError) else f"{type(error).__name__}: {error}"


def _may_pass(error: BaseException) -> bool:
    """Whether a bundle could not be loaded for a reason that may pass: no memory, or a file that cannot be read now."""
    return any(
        isinstance(cause, MemoryError) or (isinstance(cause, OSError) and not lasts(cause)) for cause in _causes(error)
    )


def _is_the_files(error: BaseException) -> bool:
    """Whether it is the fault of the bundle's own bytes, which no other process will find any better."""
    return isinstance(error, BundleError) and not any(
        isinstance(cause, RuntimeRefusedError) for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _loaded(load: LoadModel, choice: Choice, settings: ModelSettings, loaded: Sequence[Sourced]) -> Model:
    if choice.path is None:
        return load(settings, next((sourced.model for sourced in loaded if sourced.choice.path is None), None))
    for sourced in loaded:
        if sourced.model.identity == (choice.sha256, settings.threads):
            return sourced.model
    model = load(replace(settings, bundle=str(choice.path)), None)
    if model.identity[0] != choice.sha256:
        raise BundleError(f"{choice.path}: changed since it was installed (SHA-256 differs)")
    return model
