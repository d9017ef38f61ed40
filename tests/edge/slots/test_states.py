"""The table of states and events, and what the slots can come to by it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.slots import states
from maskwatch.slots.states import (
    EVENTS,
    HEALTHY_FRAMES,
    MAX_REASON,
    RUNNABLE,
    SLOT_NAMES,
    SLOT_STATES,
    TRANSITIONS,
    TRIES,
    EventError,
    Slot,
    State,
    faults_of,
    next_state,
    one_line,
)

DESCRIBED = [Slot(sha256=f"{number:064x}", name="tiny", version=f"1.{number}.0") for number in range(4)]

STEPS: dict[str, Callable[[State, Slot], State]] = {
    "stage": states.stage,
    "verify": lambda state, _: states.verify(state),
    "refuse": lambda state, _: states.refuse(state, "a reason"),
    "activate": lambda state, _: states.activate(state),
    "start": lambda state, _: states.start(state),
    "healthy": lambda state, _: states.confirm(state, "healthy"),
    "confirm": lambda state, _: states.confirm(state, "confirm"),
    "roll_back": lambda state, _: states.roll_back(state, "a reason"),
    "damaged": lambda state, _: states.roll_back(state, "a reason", "damaged"),
    "lose": lambda state, _: states.lose_verified(state, "a reason"),
}


def walk(*names: str) -> State:
    state = State()
    for number, name in enumerate(names):
        state = STEPS[name](state, DESCRIBED[number % len(DESCRIBED)])
    return state


FIRST = ("stage", "verify", "activate")
CONFIRMED = (*FIRST, "healthy")
TRIAL = (*CONFIRMED, *FIRST)


def test_the_table_holds_known_words_and_every_one_of_them() -> None:
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(SLOT_STATES)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


def test_every_state_is_left_again_and_is_reached() -> None:
    reached, found = {"empty"}, {"empty"}
    while found:
        found = {after for (state, _), after in TRANSITIONS.items() if state in reached} - reached
        reached |= found
    assert reached == set(SLOT_STATES)
    assert {state for state, _ in TRANSITIONS} == set(SLOT_STATES)


def test_only_a_verified_bundle_is_tried_and_only_a_tried_one_confirmed() -> None:
    assert {state for (state, _), after in TRANSITIONS.items() if after == "trying" and state != "trying"} == {
        "verified"
    }
    assert {state for (state, _), after in TRANSITIONS.items() if after == "confirmed"} == {"trying"}
    assert {state for (state, _), after in TRANSITIONS.items() if after == "verified"} == {"staged"}


@given(st.sampled_from(SLOT_STATES), st.sampled_from(EVENTS))
def test_what_is_not_in_the_table_never_happens(state: states.SlotState, event: states.Event) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) == TRANSITIONS[state, event]
    else:
        with pytest.raises(EventError, match=f"{state} knows no {event}"):
            next_state(state, event)


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(DESCRIBED)), max_size=60))
def test_whatever_happens_the_slots_make_sense(happening: list[tuple[str, Slot]]) -> None:
    state = State()
    confirmed: set[str] = set()
    for name, described in happening:
        before = state
        try:
            state = STEPS[name](before, described)
        except EventError:
            continue
        assert faults_of(state) is None
        assert state.changes == before.changes + 1
        assert state.active is None or state.slot(state.active).state in RUNNABLE
        assert state.spare != state.active
        assert sum(slot.state in ("staged", "verified") for slot in (state.a, state.b)) <= 1
        if name in ("stage", "verify", "refuse", "lose"):
            assert state.active == before.active, "what runs is changed by the switch alone"
            if before.active is not None:
                assert state.slot(before.active) == before.slot(before.active)
        if name in ("roll_back", "damaged"):
            assert state.active == before.fallback
            assert state.active is None or state.slot(state.active).sha256 in confirmed
        confirmed |= {slot.sha256 for slot in (state.a, state.b) if slot.state == "confirmed"}


def test_a_trial_falls_back_on_what_was_confirmed_before() -> None:
    state = walk(*TRIAL)
    assert (state.active, state.fallback, state.tries_left, state.healthy_frames) == ("b", "a", TRIES, HEALTHY_FRAMES)
    back = states.roll_back(state, "worse")
    assert (back.active, back.fallback, back.b.state, back.b.reason) == ("a", None, "failed", "worse")
    assert back.last_event == states.LastEvent("roll_back", "b", "worse")
    assert states.roll_back(back, "worse still").active is None


def test_a_trial_has_so_many_starts() -> None:
    state = walk(*TRIAL)
    for left in reversed(range(TRIES)):
        state = states.start(state)
        assert (state.active, state.tries_left) == ("b", left)
    state = states.start(state)
    assert (state.active, state.b.state, state.b.reason) == ("a", "failed", f"not confirmed in {TRIES} starts")
    assert state.last_event is not None
    assert state.last_event.event == "spent"


@pytest.mark.parametrize("event", ["healthy", "confirm"])
def test_a_confirmed_trial_is_no_trial_any_more(event: Literal["healthy", "confirm"]) -> None:
    state = states.confirm(walk(*TRIAL), event)
    assert (state.active, state.fallback, state.trying, state.tries_left) == ("b", "a", False, 0)


def test_a_new_bundle_takes_the_fallbacks_place_and_its_role() -> None:
    state = states.stage(walk(*TRIAL, "healthy"), DESCRIBED[3])
    assert (state.active, state.fallback, state.a.state) == ("b", None, "staged")


def test_nothing_is_staged_during_a_trial() -> None:
    with pytest.raises(EventError, match="no bundle is staged during a trial"):
        states.stage(walk(*FIRST), DESCRIBED[3])


@pytest.mark.parametrize("name", ["start", "healthy", "confirm", "roll_back", "damaged"])
def test_nothing_of_that_happens_to_the_built_in_bundle(name: str) -> None:
    with pytest.raises(EventError, match="the built-in bundle is active"):
        walk(name)


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (State(active="a"), "the active slot a is empty"),
        (State(active="b", b=Slot("staged", "0" * 64, "tiny", "1.0.0")), "the active slot b is staged"),
        (State(fallback="a"), "the fallback, slot a, is not another confirmed one"),
        (State(a=Slot("confirmed")), "slot a is confirmed, of the bundle '' '' ''"),
        (State(a=Slot("empty", "0" * 64, "tiny", "1.0.0")), "slot a is empty, of the bundle 'tiny'"),
        (State(b=Slot("trying", "0" * 64, "tiny", "1.0.0")), "slot b is on trial and not active"),
        (State(tries_left=1), "tries are left of no trial"),
    ],
)
def test_contradictions_are_found(state: State, fault: str) -> None:
    assert (faults_of(state) or "").startswith(fault)


@given(st.text(max_size=2 * MAX_REASON))
def test_a_reason_is_one_line_that_a_terminal_can_show(text: str) -> None:
    line = one_line(text)
    assert len(line) <= MAX_REASON
    assert line.isprintable()
    assert one_line(line).startswith(line.rstrip())
    if re.fullmatch(r"[a-z]+( [a-z]+)*", text):
        assert line == text[:MAX_REASON]


def test_the_slots_names() -> None:
    assert [states.other(name) for name in SLOT_NAMES] == ["b", "a"]
