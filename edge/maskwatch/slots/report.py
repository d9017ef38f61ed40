"""The slots, told to people and to machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from maskwatch.slots.choice import Look
from maskwatch.slots.states import SLOT_NAMES, SLOT_STATES, SlotName, State

SHA256_DIGITS = 12
"""Enough to tell bundles apart; the whole is in the JSON."""


def plain_of(look: Look) -> dict[str, object]:
    """All of state.json, as plain values, and what a daemon would run now: `runs` null means the built-in bundle."""
    return dataclasses.asdict(look.state) | {"runs": look.choice.slot, "faults": list(look.choice.faults)}


def lines_of(look: Look) -> Iterator[str]:
    """A few lines; the first says what a daemon would run now. Faults are not among them."""
    state, choice = look
    yield f"runs      {_place(choice.slot)}{f': {_bundle(state, choice.slot)}' if choice.slot else ''}"
    width = max(map(len, SLOT_STATES))
    for name in SLOT_NAMES:
        slot = state.slot(name)
        signed = f", signed by {slot.signer}" if slot.signer is not None else ""
        bundle = f"  {_bundle(state, name)}, SHA-256 {slot.sha256[:SHA256_DIGITS]}…{signed}" if slot.sha256 else ""
        reason = f": {slot.reason}" if slot.reason else ""
        yield f"slot {name}    {f'{slot.state:<{width}}{bundle}{reason}'.rstrip()}"
    if state.active is not None:
        yield f"fallback  {_place(state.fallback)}"
    if state.trying:
        yield (
            f"trial     {state.healthy_frames} judged frames confirm it, "
            f"{state.tries_left} more starts without them roll it back"
        )
    if state.last_event is not None:
        last = state.last_event
        yield f"last      {last.event}, slot {last.slot}{f': {last.reason}' if last.reason else ''}"


def _place(name: SlotName | None) -> str:
    return "the built-in bundle" if name is None else f"slot {name}"


def _bundle(state: State, name: SlotName) -> str:
    return f"{state.slot(name).name} {state.slot(name).version}"
