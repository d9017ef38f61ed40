"""Which of the slots' bundles a door runs: the first of the active one and its fallback that nothing speaks against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from maskwatch.slots.states import SlotName, State


@dataclass(frozen=True, slots=True)
class Choice:
    """The bundle that a daemon is to run now: `path` and `sha256` of a slot's file, or None for the built-in one.

    Who opens `path` compares the opened bundle's sha256 with this. `faults` say what was passed over, and why. By their
    SHA-256s, `unfit` are those that will never be fit again, each with the reason, and `refused` those that are not
    signed as this machine asks now. `unsure` means that nobody can tell now what is to run, and `again` that it may be
    another one soon, for that reason or another.
    """

    slot: SlotName | None
    path: Path | None
    sha256: str | None
    trying: bool = False
    healthy_frames: int = 0
    faults: tuple[str, ...] = ()
    unfit: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, ...] = ()
    unsure: bool = False
    again: bool = False

    def bars(self, sha256: str | None) -> bool:
        """Whether a bundle is not to run in any case: not even on, where it does already."""
        return sha256 in self.refused or any(sha256 == unfit for unfit, _ in self.unfit)


class Look(NamedTuple):
    """The slots at one moment, and what is to run by them."""

    state: State
    choice: Choice


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against a slot's bundle.

    It is unfit for good, or refused for its signature, or this process has left it, or it waits for something to be
    noted, or nobody can tell now.
    """

    why: str
    kind: Literal["unfit", "refused", "left", "waits", "unsure"]


TOLD_ALREADY = Doubt("", "unsure")
"""Nobody can tell now, and whoever asks knows why: that is no fault to be told again."""

Doubts = Callable[[State, SlotName], Doubt | None]
"""What speaks against the bundle of one slot, if anything."""


def choose(state: State, fault: str | None, doubts: Doubts, file_of: Callable[[SlotName], Path]) -> Choice:
    """What to run by a State; `fault` says what is wrong with that itself."""
    against: list[tuple[str, Doubt]] = []
    chosen: SlotName | None = None
    for name in (state.active, state.fallback):
        if name is None:
            break
        doubt = doubts(state, name)
        if doubt is None:
            chosen = name
            break
        against.append((state.slot(name).sha256, doubt))
    kinds = {doubt.kind for _, doubt in against}
    unsure = fault is not None or "unsure" in kinds
    choice = Choice(
        None,
        None,
        None,
        faults=tuple(why for why in (fault, *(doubt.why for _, doubt in against)) if why),
        unfit=tuple((sha256, doubt.why) for sha256, doubt in against if doubt.kind == "unfit"),
        refused=tuple(sha256 for sha256, doubt in against if doubt.kind == "refused"),
        unsure=unsure,
        again=unsure or not kinds.isdisjoint({"waits", "refused"}),
    )
    if chosen is None:
        return choice
    slot = state.slot(chosen)
    return replace(
        choice,
        slot=chosen,
        path=file_of(chosen),
        sha256=slot.sha256,
        trying=slot.state == "trying",
        healthy_frames=state.healthy_frames,
    )
