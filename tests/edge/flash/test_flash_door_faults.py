"""One door's flash where the door lies, refuses or is out of reach: the answer is true, and comes in time."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from line_stage import Break, StagedDoor, parcel_of, refusing
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.flash.door import DOOR_S, GOES_ON, PARTS, WINDOW_S, Terms
from maskwatch.flash.patience import AGAIN_PAUSES_S
from maskwatch.flash.protocol import Request
from maskwatch.flash.result import Outcome
from maskwatch.flash.ssh import UnreachableError
from maskwatch.slots.states import HEALTHY_FRAMES

PARCEL = parcel_of(bytes(6400))
SHA256 = PARCEL.sha256


# Doors that lie


def told(active: str, state: str, slot: str, **more: object) -> dict[str, Any]:
    """What a door may tell of itself: `active` is a SHA-256."""
    one = {"state": slot, "sha256": SHA256, "reason": ""}
    return {
        "active": {"sha256": active, "model": "old 1", "state": state},
        "slots": {"a": one, "b": one, "healthy_frames": HEALTHY_FRAMES},
        "may_change": True,
        "daemon_runs": True,
    } | more


def test_a_door_that_never_begins_the_trial_is_left(tmp_path: Path) -> None:
    """It was asked for it thousands of times a minute, for ever."""
    door = StagedDoor(tmp_path, lie=lambda request: told("0" * 64, "confirmed", "verified"))
    result = door.flash(PARCEL)
    assert (result.outcome, result.reason) == (
        Outcome.REFUSED,
        "it does not begin the trial, whatever it answers",
    )
    assert door.questions().count("activate") == 2


def test_a_door_that_never_ends_the_trial_is_left(tmp_path: Path) -> None:
    door = StagedDoor(tmp_path, lie=lambda request: told(SHA256, "trying", "trying"))
    result = door.flash(PARCEL)
    assert result.outcome is Outcome.REFUSED
    assert result.reason == f"not confirmed within 180 s; it does not roll back, whatever it answers{GOES_ON}"
    assert door.questions().count("rollback") == 1


@pytest.mark.parametrize("breaks", [True, False])
def test_an_upload_that_creeps_is_left(tmp_path: Path, breaks: bool) -> None:
    """A byte more each time counted as progress, for ever."""

    def creep(request: Request) -> dict[str, Any]:
        if request.action == "upload" and breaks:
            raise UnreachableError("Connection reset")
        here = {"have_bytes": door.questions().count("offset"), "busy": False}
        return here if request.action in ("offset", "upload") else told("0" * 64, "confirmed", "empty")

    door = StagedDoor(tmp_path, lie=creep)
    result = door.flash(PARCEL)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.seconds == sum(AGAIN_PAUSES_S)


def test_no_door_holds_a_roll_out_up_for_ever(tmp_path: Path) -> None:
    """Each answer comes in time, and each upload gets on."""

    def slow(door: StagedDoor, request: Request) -> None:
        door.now_s += 50.0

    def little(request: Request) -> dict[str, Any]:
        if request.action == "upload":
            raise UnreachableError("Connection reset")
        there = door.questions().count("offset") * (PARCEL.size_bytes // PARTS)
        here = {"have_bytes": min(there, PARCEL.size_bytes - 1), "busy": False}
        return here if request.action == "offset" else told("0" * 64, "confirmed", "empty")

    door = StagedDoor(tmp_path, hear=slow, lie=little)
    result = door.flash(PARCEL)
    assert result.outcome is Outcome.REFUSED
    assert result.reason == f"it came to no end within {(DOOR_S + WINDOW_S) / 60:.0f} minutes"
    assert DOOR_S < result.seconds < DOOR_S + WINDOW_S + 300


def test_what_is_asked_at_the_very_end_has_the_time_that_is_left(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def late(door: StagedDoor, request: Request) -> None:
        if request.action == "offset":
            door.now_s = DOOR_S + WINDOW_S - 5.0

    door = StagedDoor(tmp_path, hear=late)
    door.flash(parcel_of(tiny_bundle_bytes))
    assert dict(zip(door.questions(), door.limits_s, strict=True))["upload"] == 5.0


claims = st.builds(
    told,
    st.sampled_from([SHA256, "0" * 64]),
    st.sampled_from(["trying", "confirmed"]),
    st.sampled_from(["verified", "failed", "empty"]),
    daemon_runs=st.sampled_from([True, False, None]),
    daemon=st.none()
    | st.fixed_dictionaries({"model_sha256": st.sampled_from([SHA256, "0" * 64, None]), "frames": st.integers(0, 9)}),
    have_bytes=st.integers(0, PARCEL.size_bytes),
    busy=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(claims=st.lists(claims, min_size=1, max_size=5))
def test_whatever_a_door_says_over_and_over_it_is_left_in_time_and_not_pestered(claims: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        door = StagedDoor(
            Path(folder), live=lambda door: None, lie=lambda request: claims[len(door.asked) % len(claims)]
        )
        result = door.flash(PARCEL, Terms(window_s=30))
    assert result.outcome.good or result.reason
    assert result.seconds < 400
    assert len(door.asked) <= 20 + 6 * result.seconds


# Logins


def test_a_login_that_may_not_is_helped_by_sudo(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def weak(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"may_change": door.sudo} if "may_change" in answer else answer

    door = StagedDoor(tmp_path, change=weak)
    assert door.flash(parcel_of(tiny_bundle_bytes)).outcome is Outcome.CONFIRMED
    assert door.sudo


@pytest.mark.parametrize("error", [OperatorError("a password is required"), TryAgainError("later")])
def test_a_login_that_may_not_and_has_no_sudo_is_told_what_to_do(
    tmp_path: Path, tiny_bundle_bytes: bytes, error: OperatorError | TryAgainError
) -> None:
    def weak(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        if door.sudo:
            raise error
        return answer | {"may_change": False}

    door = StagedDoor(tmp_path, change=weak)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.REFUSED
    assert "log in as root or as maskwatch-flash" in result.reason


def test_a_disk_that_not_even_root_may_write_is_told(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(
        tmp_path, change=lambda _, answer: answer | {"may_change": False} if "active" in answer else answer
    )
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (
        Outcome.REFUSED,
        "not even root may change models there: is its disk read-only?",
    )


# Faults of the door


@pytest.mark.parametrize("action", ["offset", "install", "activate"])
def test_the_doors_own_words_are_passed_on(tmp_path: Path, tiny_bundle_bytes: bytes, action: str) -> None:
    door = StagedDoor(tmp_path, change=refusing(OperatorError("the card is worn out: buy one"), action))
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "the card is worn out: buy one")


def test_an_upload_of_somebody_else_is_waited_for_and_not_for_ever(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def busy(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"busy": door.now_s < 20} if request.action == "offset" else answer

    door = StagedDoor(tmp_path, change=busy)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.sent_bytes) == (Outcome.CONFIRMED, len(tiny_bundle_bytes))
    assert result.seconds >= 20

    other = tmp_path / "other"
    other.mkdir()
    door = StagedDoor(other, change=lambda r, answer: answer | {"busy": True} if r.action == "offset" else answer)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "another upload of this bundle is going on there")
    assert (result.seconds, door.connections) == (sum(AGAIN_PAUSES_S), 1)


# Lines that break


def test_a_door_out_of_reach_is_told_at_once_in_sshs_words(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, closed=frozenset({0}))
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.UNREACHABLE
    assert result.reason == "ssh: connect to host door: No route to host"
    assert (result.seconds, door.connections) == (0.0, 1)


def test_an_upload_that_broke_off_goes_on_where_it_was(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, breaks={2: "middle"})
    result = door.flash(parcel_of(tiny_bundle_bytes))
    half = len(tiny_bundle_bytes) // 2
    assert (result.outcome, result.resumed_bytes, result.sent_bytes) == (
        Outcome.CONFIRMED,
        half,
        len(tiny_bundle_bytes),
    )
    uploads = [request.offset_bytes for request in door.asked if request.action == "upload"]
    assert uploads == [0, half]


@pytest.mark.parametrize("kind", ["before", "middle", "after", "short"])
@pytest.mark.parametrize("at", range(7))
def test_one_break_anywhere_is_no_matter(tmp_path: Path, tiny_bundle_bytes: bytes, at: int, kind: Break) -> None:
    door = StagedDoor(tmp_path, breaks={at: kind})
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome in (Outcome.CONFIRMED, Outcome.ALREADY)
    assert (result.reason, result.model) == ("", "tiny 1.2.3")
    assert door.slots.read().active == "a"


def test_an_upload_that_ended_early_unnoticed_goes_on(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, breaks={2: "short"})
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.CONFIRMED
    assert result.resumed_bytes == len(tiny_bundle_bytes) // 2


def test_a_long_trial_over_a_bad_line_is_seen_to_its_end(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(
        tmp_path,
        breaks=dict.fromkeys(range(6, 60, 2), "before"),
        live=lambda door: door.confirm() if door.now_s > 30 else None,
    )
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.CONFIRMED
    assert door.connections > len(AGAIN_PAUSES_S) + 1


def test_a_line_that_breaks_again_and_again_is_not_given_up_while_it_gets_on(
    tmp_path: Path, tiny_bundle_bytes: bytes
) -> None:
    def take_little(door: StagedDoor, request: Request) -> None:
        if request.action == "upload":
            door.takes_bytes = len(tiny_bundle_bytes) // 20

    door = StagedDoor(tmp_path, breaks=dict.fromkeys(range(2, 60, 3), "middle"), hear=take_little)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.CONFIRMED
    assert door.connections > 2 * len(AGAIN_PAUSES_S)


def test_a_trial_that_is_lost_from_sight_is_no_success_and_says_so(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=lambda door: None, breaks=dict.fromkeys(range(5, 60), "before"))
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.UNREACHABLE
    assert result.reason.endswith("; it tries the new model, and confirms it or rolls back by itself")
    assert door.slots.read().trying, "its own business now"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["active", "slots", "a", "b", "sha256", "state", "daemon"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 5), path=st.lists(st.integers(0, 20), max_size=3), value=json_values)
def test_a_door_that_answers_nonsense_costs_nobody_else(
    tiny_bundle_bytes: bytes, at: int, path: list[int], value: object
) -> None:
    """An exception that nobody expects would end the whole roll-out."""

    def nonsense(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        if len(door.asked) - 1 != at:
            return answer
        inner: Any = answer
        for place in path:
            key = sorted(inner)[place % len(inner)]
            if not isinstance(inner[key], dict) or not inner[key] or place == path[-1]:
                inner[key] = value
                break
            inner = inner[key]
        return answer

    with tempfile.TemporaryDirectory() as folder:
        door = StagedDoor(Path(folder), change=nonsense)
        result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome in Outcome
    assert result.outcome.good or result.reason


BREAKS: st.SearchStrategy[dict[int, Break]] = st.dictionaries(
    st.integers(0, 24), st.sampled_from(("before", "middle", "after", "short")), max_size=12
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(breaks=BREAKS, closed=st.frozensets(st.integers(1, 12), max_size=6), good=st.booleans())
def test_wherever_it_breaks_the_answer_is_true(
    tiny_bundle_bytes: bytes, breaks: dict[int, Break], closed: frozenset[int], good: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        door = StagedDoor(Path(folder), breaks, closed, live=StagedDoor.confirm if good else StagedDoor.abandon)
        parcel = parcel_of(tiny_bundle_bytes)
        result = door.flash(parcel)
        state = door.slots.read()
        ours = state.active_slot is not None and state.active_slot.sha256 == parcel.sha256
        if result.outcome.good:
            assert good
            assert ours
            assert state.active_slot == dataclasses.replace(state.a, state="confirmed")
        else:
            assert result.outcome is Outcome.UNREACHABLE or not good
            assert result.reason
        if len(breaks) + len(closed) <= 3:
            assert result.outcome.good is good, (breaks, closed, result)
        if not good:
            assert not ours
        # whatever was left there, a second flash over a good line succeeds
        again = StagedDoor(Path(folder))
        assert again.flash(parcel).outcome.good
