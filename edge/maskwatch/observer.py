"""What a daemon tells whoever looks after it: a service manager, a test, nobody."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from maskwatch.types import Label, Verdict


class Observer(Protocol):
    """Called by the daemon's own thread, between two frames: nothing here may wait, or raise."""

    def judged(self, verdict: Verdict) -> None:
        """A frame has been judged, and its verdict is shown."""

    def lost_camera(self, reason: str) -> None:
        """There is no camera, for this reason; told at each try while that lasts."""

    def reloading(self) -> AbstractContextManager[None]:
        """Around a reload, whether it succeeds or leaves the old settings in force."""

    def stopping(self) -> None:
        """The daemon is about to end, for whatever reason; told once."""


class NoObserver:
    """Nobody looks after this daemon."""

    def judged(self, verdict: Verdict) -> None:
        """Pass over it."""

    def lost_camera(self, reason: str) -> None:
        """Pass over it."""

    def reloading(self) -> AbstractContextManager[None]:
        """Pass over it."""
        return nullcontext()

    def stopping(self) -> None:
        """Pass over it."""


def in_words(verdict: Verdict) -> str:
    """What a verdict shows, in a few words; it counts people and says nothing else about them."""
    unmasked = sum(person.label is Label.WITHOUT_MASK for person in verdict.people)
    return f"{verdict.situation.value}: {len(verdict.people)} seen, {unmasked} unmasked"
