"""Which of the slots' bundles a door runs: the first of the active one and its fallback that nothing speaks against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from maskwatch.slots.states import SlotName, State


@dataclass(frozen=True, slots=True)
class Choice:
    """The bundle that a daemon is to run now: `path` and `sha256` of a slot's file, or None for the built-in one.

    Who opens `path` compares the opened bundle's sha256 with this. `faults` say what was passed over, and why: `unfit`
    are the SHA-256s of what will never be fit again; `unsure` means that nobody can tell now what is to run, and
    `again` that it may be another one soon, for that reason or another.
    """

    slot: SlotName | None
    path: Path | None
    sha256: str | None
    trying: bool = False
    healthy_frames: int = 0
    faults: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    unsure: bool = False
    again: bool = False


class Look(NamedTuple):
    """The slots at one moment, and what is to run by them."""

    state: State
    choice: Choice


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against a slot's bundle; without `why` that is nobody's business.

    It is unfit for good, or this process has left it, or it waits for something to be noted, or nobody can tell now.
    """

    why: str
    kind: Literal["unfit", "left", "waits", "unsure"]


Doubts = Callable[[State, SlotName], Doubt | None]
"""What speaks against the bundle of one slot, if anything."""


def choose(state: State, fault: str | None, doubts: Doubts, file_of: Callable[[SlotName], Path]) -> Choice:
    """What to run by a State; `fault` says what is wrong with that itself."""
    faults, unsure = ([], False) if fault is None else ([fault], True)
    again, unfit = unsure, list[str]()
    for name in (state.active, state.fallback):
        if name is None:
            break
        slot, doubt = state.slot(name), doubts(state, name)
        if doubt is None:
            trying, frames = slot.state == "trying", state.healthy_frames
            return Choice(name, file_of(name), slot.sha256, trying, frames, tuple(faults), tuple(unfit), unsure, again)
        unsure = unsure or doubt.kind == "unsure"
        again = again or doubt.kind in ("waits", "unsure")
        if doubt.why:
            faults.append(doubt.why)
        if doubt.kind == "unfit":
            unfit.append(slot.sha256)
    return Choice(None, None, None, faults=tuple(faults), unfit=tuple(unfit), unsure=unsure, again=again)
