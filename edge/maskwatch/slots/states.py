"""The states of a slot and what moves it from one to another, as a table; and those of both slots together. Pure.

A door runs the active slot's bundle, or the built-in one where no slot is active. The file state.json is one State.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

from maskwatch.strict_json import MAX_INTEGER, Between, Pattern

SlotName = Literal["a", "b"]
SlotState = Literal["empty", "staged", "verified", "trying", "confirmed", "failed"]
Event = Literal["stage", "verify", "refuse", "activate", "start", "healthy", "confirm", "roll_back", "spent", "damaged"]

SLOT_NAMES: tuple[SlotName, ...] = get_args(SlotName)
SLOT_STATES: tuple[SlotState, ...] = get_args(SlotState)
EVENTS: tuple[Event, ...] = get_args(Event)

TRIES = 3
"""How many starts of the daemon a trial may take until it is confirmed."""

HEALTHY_FRAMES = 50
"""How many judged frames confirm a trial."""

MAX_REASON = 300
"""Characters of a reason that are kept."""

TRANSITIONS: dict[tuple[SlotState, Event], SlotState] = {
    ("empty", "stage"): "staged",
    ("staged", "stage"): "staged",
    ("verified", "stage"): "staged",
    ("confirmed", "stage"): "staged",  # of the slot that is not active
    ("failed", "stage"): "staged",
    ("staged", "verify"): "verified",
    ("staged", "refuse"): "failed",
    ("verified", "activate"): "trying",
    ("verified", "damaged"): "failed",
    ("trying", "start"): "trying",
    ("trying", "healthy"): "confirmed",
    ("trying", "confirm"): "confirmed",
    ("trying", "roll_back"): "failed",
    ("trying", "spent"): "failed",
    ("trying", "damaged"): "failed",
    ("confirmed", "roll_back"): "failed",
    ("confirmed", "damaged"): "failed",
}
"""What each event makes of a slot in each state; a pair that is not here never happens. docs/slots.md shows it."""

RUNNABLE: tuple[SlotState, ...] = ("trying", "confirmed")
"""The states that the active slot may be in."""

_LINE = Pattern(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*", "one line of text")
_SHA256 = Pattern(r"([0-9a-f]{64})?", "a SHA-256 in 64 hexadecimal digits")
_VERSION = Pattern(r"([0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6})?", "a version like '1.4.0'")
_Text = Annotated[str, _LINE, Between(0, MAX_REASON)]


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot: its state, and of which bundle; all empty where it holds none. `reason` says why it failed."""

    state: SlotState = "empty"
    sha256: Annotated[str, _SHA256] = ""
    name: _Text = ""
    version: Annotated[str, _VERSION] = ""
    signer: _Text | None = None
    reason: _Text = ""


@dataclass(frozen=True, slots=True)
class LastEvent:
    """What happened last, to which slot, and why."""

    event: Event
    slot: SlotName
    reason: _Text = ""


@dataclass(frozen=True, slots=True)
class State:
    """Both slots, and which is active: `active` and `fallback` None mean the built-in bundle.

    `tries_left` starts and `healthy_frames` judged frames count for a trial only. `changes` grows with each change.
    """

    active: SlotName | None = None
    fallback: SlotName | None = None
    tries_left: Annotated[int, Between(0, TRIES)] = 0
    healthy_frames: Annotated[int, Between(0, 100_000)] = 0
    a: Slot = Slot()
    b: Slot = Slot()
    last_event: LastEvent | None = None
    changes: Annotated[int, Between(0, MAX_INTEGER)] = 0
    schema_version: Literal[1] = 1

    def slot(self, name: SlotName) -> Slot:
        """One of both."""
        return self.a if name == "a" else self.b

    @property
    def active_slot(self) -> Slot | None:
        """The active one; None where the built-in bundle is."""
        return None if self.active is None else self.slot(self.active)

    @property
    def trying(self) -> bool:
        """Whether the active slot is on trial."""
        return self.active_slot is not None and self.active_slot.state == "trying"

    @property
    def spare(self) -> SlotName:
        """The slot that the next bundle goes to, and that `activate` takes: never the active one."""
        if self.active is not None:
            return other(self.active)
        return "b" if self.b.state in ("staged", "verified") else "a"


class EventError(ValueError):
    """The event cannot happen in this state: whoever calls must have looked before."""


def other(name: SlotName) -> SlotName:
    """The slot beside this one."""
    return "b" if name == "a" else "a"


def next_state(state: SlotState, event: Event) -> SlotState:
    """What the table says. Raises EventError for a pair that is not in it."""
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise EventError(f"a slot that is {state} knows no {event}")
    return after


def stage(state: State, described: Slot) -> State:
    """A bundle is about to be written to the spare slot; whatever that held is given up. Raises EventError."""
    name = state.spare
    if state.trying:
        raise EventError("no bundle is staged during a trial")
    staged = replace(described, state=next_state(state.slot(name).state, "stage"))
    fallback = None if state.fallback == name else state.fallback
    return _with(replace(state, fallback=fallback), name, staged, "stage")


def verify(state: State) -> State:
    """The staged bundle is whole and does on this machine what it promises. Raises EventError."""
    return _moved(state, state.spare, "verify")


def refuse(state: State, reason: str) -> State:
    """The staged bundle may not be tried. Raises EventError."""
    return _moved(state, state.spare, "refuse", reason)


def activate(state: State) -> State:
    """The verified bundle becomes the active one, on trial. Raises EventError."""
    name, before = state.spare, state.active
    moved = _moved(state, name, "activate")
    return replace(moved, active=name, fallback=before, tries_left=TRIES, healthy_frames=HEALTHY_FRAMES)


def start(state: State) -> State:
    """A daemon is about to load the bundle that is on trial; with no try left the trial is over. Raises EventError."""
    name = _active(state)
    if state.slot(name).state == "trying" and not state.tries_left:
        return roll_back(state, f"not confirmed in {TRIES} starts", "spent")
    return replace(_moved(state, name, "start"), tries_left=state.tries_left - 1)


def confirm(state: State, event: Literal["healthy", "confirm"], reason: str = "") -> State:
    """The trial is over and was good. Raises EventError."""
    return replace(_moved(state, _active(state), event, reason), tries_left=0, healthy_frames=0)


def roll_back(state: State, reason: str, event: Literal["roll_back", "spent", "damaged"] = "roll_back") -> State:
    """The active bundle is left for the fallback. Raises EventError."""
    moved = _moved(state, _active(state), event, reason)
    return replace(moved, active=state.fallback, fallback=None, tries_left=0, healthy_frames=0)


def lose_verified(state: State, reason: str) -> State:
    """The verified bundle is not any more what was verified. Raises EventError."""
    return _moved(state, state.spare, "damaged", reason)


def signed(state: State, signer: str | None) -> State:
    """The active bundle has got the signature that it lacked; nothing else changes. Raises EventError."""
    slot = replace(state.slot(_active(state)), signer=signer)
    return replace(_put(state, _active(state), slot), changes=state.changes + 1)


def faults_of(state: State) -> str | None:
    """What cannot be so in a State that only these functions made; None where all is well."""
    active, fallback = state.active_slot, state.fallback
    if active is not None and active.state not in RUNNABLE:
        return f"the active slot {state.active} is {active.state}"
    if fallback is not None and (fallback == state.active or state.slot(fallback).state != "confirmed"):
        return f"the fallback, slot {fallback}, is not another confirmed one"
    for name in SLOT_NAMES:
        slot = state.slot(name)
        if (slot.state == "empty") == all((slot.sha256, slot.name, slot.version)):
            return f"slot {name} is {slot.state}, of the bundle '{slot.name}' '{slot.version}' '{slot.sha256}'"
        if slot.state == "trying" and name != state.active:
            return f"slot {name} is on trial and not active"
    if not state.trying and state.tries_left:
        return "tries are left of no trial"
    return None


def one_line(text: str) -> str:
    """A reason as it is kept: one line that a terminal can show, cut at MAX_REASON characters."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words)[:MAX_REASON]


def _active(state: State) -> SlotName:
    if state.active is None:
        raise EventError("the built-in bundle is active, and is no slot")
    return state.active


def _moved(state: State, name: SlotName, event: Event, reason: str = "") -> State:
    slot = state.slot(name)
    after = next_state(slot.state, event)
    return _with(
        state, name, replace(slot, state=after, reason=one_line(reason) if after == "failed" else ""), event, reason
    )


def _put(state: State, name: SlotName, slot: Slot) -> State:
    return replace(state, a=slot) if name == "a" else replace(state, b=slot)


def _with(state: State, name: SlotName, slot: Slot, event: Event, reason: str = "") -> State:
    changed = _put(state, name, slot)
    return replace(changed, last_event=LastEvent(event, name, one_line(reason)), changes=state.changes + 1)
