"""What a daemon tells whoever looks after it: a service manager, a test, nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from maskwatch.slots.states import SlotName
from maskwatch.status import DARK, Trial
from maskwatch.types import Label, Verdict


@dataclass(frozen=True, slots=True)
class RunningModel:
    """The model that judges frames: its bundle's name and SHA-256, the slot that it is from, and how its trial stands.

    `slot` and `trial` are None where the bundle is built in, or named in the settings.
    """

    name: str
    sha256: str
    slot: SlotName | None = None
    trial: Trial | None = None

    def __str__(self) -> str:
        """For people."""
        if self.slot is None:
            return self.name
        return f"{self.name} (slot {self.slot}{', on trial' if self.trial == 'trying' else ''})"


class Observer(Protocol):
    """Called by the daemon's own thread, between two frames: nothing here may wait, or raise."""

    def watching(self, source: str, model: str) -> None:
        """This source is watched with this model from now on: told at the start, and after a reload that succeeded."""

    def runs(self, model: RunningModel, why: str) -> None:
        """This model judges the frames from now on, or its trial stands differently; `why` says so in one line.

        Told at the start too, where `why` is empty unless another model should have run.
        """

    def judged(self, verdict: Verdict) -> None:
        """A frame has been judged, and its verdict is shown."""

    def resting(self, resting: bool) -> None:
        """From now on only a few frames are judged, because nothing goes on; or all of them again."""

    def lost_camera(self, reason: str) -> None:
        """There is no camera, for this reason; told at each try while that lasts."""

    def reloading(self) -> AbstractContextManager[None]:
        """Around a reload, whether it succeeds or leaves the old settings in force."""

    def stopping(self) -> None:
        """The daemon is about to end, for whatever reason; told once."""


class NoObserver:
    """Nobody looks after this daemon."""

    def watching(self, source: str, model: str) -> None:
        """Pass over it."""

    def runs(self, model: RunningModel, why: str) -> None:
        """Pass over it."""

    def judged(self, verdict: Verdict) -> None:
        """Pass over it."""

    def resting(self, resting: bool) -> None:
        """Pass over it."""

    def lost_camera(self, reason: str) -> None:
        """Pass over it."""

    def reloading(self) -> AbstractContextManager[None]:
        """Pass over it."""
        return nullcontext()

    def stopping(self) -> None:
        """Pass over it."""


class Observers:
    """Passes all on to several observers, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def watching(self, source: str, model: str) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.watching(source, model)

    def runs(self, model: RunningModel, why: str) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.runs(model, why)

    def judged(self, verdict: Verdict) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.judged(verdict)

    def resting(self, resting: bool) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.resting(resting)

    def lost_camera(self, reason: str) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.lost_camera(reason)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell all of them of the start and the end."""
        with ExitStack() as ends:
            for observer in self._observers:
                ends.enter_context(observer.reloading())
            yield

    def stopping(self) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.stopping()


def in_words(verdict: Verdict) -> str:
    """What a verdict shows, in a few words; it counts people and says nothing else about them."""
    unmasked = sum(person.label is Label.WITHOUT_MASK for person in verdict.people)
    words = f"{verdict.situation.value}: {len(verdict.people)} seen, {unmasked} unmasked"
    return f"{words}; {DARK}" if verdict.dark else words
