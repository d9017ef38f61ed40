"""One door's flash: from any state, over a line that breaks anywhere, to the new model or to the old one and why."""

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
from maskwatch.flash.door import OWN_BUNDLE, RECONNECT_PAUSES_S, TAKE_UP_S, Terms
from maskwatch.flash.protocol import Request
from maskwatch.flash.result import Outcome, Step


def test_the_straight_way(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason, result.model) == (Outcome.CONFIRMED, "", "tiny 1.2.3")
    assert (result.sent_bytes, result.resumed_bytes) == (len(tiny_bundle_bytes), 0)
    assert door.questions() == ["state", "offset", "upload", "install", "activate", "state"]
    assert door.steps == [Step.CONNECTING, Step.UPLOADING, Step.VERIFYING, Step.TRYING]
    assert door.connections == 1


def test_the_signature_goes_along_with_the_request_to_install(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path)
    door.flash(dataclasses.replace(parcel_of(tiny_bundle_bytes), signature=b"SIGNED"))
    assert dict(zip(door.questions(), door.given, strict=True))["install"] == b"SIGNED"


def test_what_is_there_already_is_one_question(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path)
    door.flash(parcel_of(tiny_bundle_bytes))
    door.asked.clear()
    assert door.flash(parcel_of(tiny_bundle_bytes)).outcome is Outcome.ALREADY
    assert door.questions() == ["state"]


def test_a_trial_that_another_flash_began_is_watched_to_its_end(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=lambda door: None)
    parcel = parcel_of(tiny_bundle_bytes)
    door.slots.install(parcel.data, None)
    door.slots.activate()
    door.live = lambda door: door.confirm() if door.now_s > 3 else None
    result = door.flash(parcel)
    assert result.outcome is Outcome.CONFIRMED
    assert set(door.questions()) == {"state"}
    assert result.seconds > 3


def test_a_door_that_rolls_back_says_why(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=lambda door: door.abandon())
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, "it saw faces everywhere")
    assert result.model.startswith("masknet")


def test_the_end_of_the_window_rolls_back(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=lambda door: None)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=30))
    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, "not confirmed within 30 s")
    assert 30 <= result.seconds < 34
    assert door.questions()[-1] == "rollback"
    assert door.slots.active_bundle() is None


def test_what_keeps_a_daemon_from_confirming_is_told(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def lost(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"daemon": {"model_sha256": None, "camera_lost_reason": "unplugged"}}

    door = StagedDoor(tmp_path, live=lambda door: None, change=lost)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=5))
    assert result.reason == "not confirmed within 5 s: the camera is lost: unplugged"


def test_a_confirmation_at_the_very_end_counts(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    """It comes between the last look and the rollback."""

    def late(door: StagedDoor, request: Request) -> None:
        if request.action == "rollback":
            door.confirm()

    door = StagedDoor(tmp_path, live=lambda door: None, hear=late)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=5))
    assert (result.outcome, result.model) == (Outcome.CONFIRMED, "tiny 1.2.3")
    assert door.questions()[-1] == "rollback"
    assert door.slots.read().active == "a"


# Daemons that are away, or run something else


def test_a_daemon_that_comes_back_soon_is_waited_for(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def back(door: StagedDoor) -> None:
        door.runs = door.now_s > 8
        door.confirm()

    door = StagedDoor(tmp_path, runs=False, live=back)
    assert door.flash(parcel_of(tiny_bundle_bytes)).outcome is Outcome.CONFIRMED


def test_a_daemon_that_stays_away_is_told_before_anything_is_sent(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, runs=False)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.REFUSED
    assert result.reason == (
        "nothing there would try the model: not running: nobody answers; start it: sudo systemctl start maskwatch"
    )
    assert (result.sent_bytes, set(door.questions())) == (0, {"state"})


def test_a_daemon_that_does_not_take_the_model_up_is_no_success(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=lambda door: None, model_sha256="f" * 64)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, OWN_BUNDLE)
    assert TAKE_UP_S <= result.seconds < TAKE_UP_S + 3


def test_slots_that_are_right_are_not_enough(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    """The settings name a bundle of their own, so the door runs another model than its slots say."""
    parcel = parcel_of(tiny_bundle_bytes)
    StagedDoor(tmp_path).flash(parcel)
    door = StagedDoor(tmp_path, live=lambda door: None, model_sha256="f" * 64)
    result = door.flash(parcel)
    assert (result.outcome, result.reason) == (Outcome.REFUSED, OWN_BUNDLE)


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
    assert result.outcome is Outcome.UNREACHABLE
    assert result.reason == "another upload of this bundle is going on there"
    assert result.seconds == sum(RECONNECT_PAUSES_S)


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
    assert door.connections > len(RECONNECT_PAUSES_S) + 1


def test_a_line_that_breaks_again_and_again_is_not_given_up_while_it_gets_on(
    tmp_path: Path, tiny_bundle_bytes: bytes
) -> None:
    door = StagedDoor(tmp_path, breaks={place: "middle" for place in range(60) if place % 3 == 2})
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.CONFIRMED
    assert door.connections > len(RECONNECT_PAUSES_S) + 1


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
