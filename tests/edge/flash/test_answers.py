"""What a door answers is read with care."""

from __future__ import annotations

from typing import Any

import pytest
from maskwatch.errors import OperatorError
from maskwatch.flash.answers import MAX_HEALTHY_FRAMES, MAX_TEXT, Daemon, SlotView, read_busy, read_bytes, read_state

STATE: dict[str, Any] = {
    "active": {"slot": "a", "sha256": "1" * 64, "model": "tiny 1.2.3", "state": "trying"},
    "slots": {
        "a": {"state": "trying", "sha256": "1" * 64, "reason": ""},
        "b": {"state": "failed", "sha256": "2" * 64, "reason": "it saw faces everywhere"},
    },
    "may_change": True,
    "daemon": {"model_sha256": "1" * 64, "camera_lost_reason": None},
    "daemon_fault": None,
    "daemon_runs": True,
}


def test_what_is_told_is_read() -> None:
    state = read_state(STATE)
    assert (state.sha256, state.model, state.trying, state.may_change) == ("1" * 64, "tiny 1.2.3", True, True)
    assert state.slot_with("2" * 64) == SlotView("2" * 64, "failed", "it saw faces everywhere")
    assert state.slot_with("3" * 64) is None
    assert (state.daemon, state.fault, state.runs, state.complaint) == (Daemon("1" * 64, None), "", True, "")


def test_a_newer_door_may_say_more() -> None:
    more = {"weather": "fine"}
    slots = {name: slot | more for name, slot in STATE["slots"].items()} | more
    assert read_state(STATE | more | {"slots": slots, "active": STATE["active"] | more}) == read_state(STATE)


@pytest.mark.parametrize("key", ["active", "slots", "may_change"])
@pytest.mark.parametrize("value", [None, 1, "text", [], {}])
def test_what_is_needed_must_be_there(key: str, value: object) -> None:
    for answer in (STATE | {key: value}, {name: item for name, item in STATE.items() if name != key}):
        with pytest.raises(OperatorError, match=r"answers in another way .*: bring both to the same version"):
            read_state(answer)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"daemon": {"camera_lost_reason": "unplugged"}}, "the camera is lost: unplugged"),
        (
            {"daemon": None, "daemon_fault": "not running: nobody answers; do this or that", "daemon_runs": False},
            "not running: nobody answers; start it: sudo systemctl start maskwatch",
        ),
        ({"daemon": None, "daemon_fault": "this user may not ask", "daemon_runs": None}, "this user may not ask"),
        ({"daemon": None, "daemon_runs": None}, ""),
    ],
)
def test_a_daemons_complaint(more: dict[str, object], words: str) -> None:
    assert read_state(STATE | more).complaint == words


def test_a_text_without_an_end_is_cut() -> None:
    assert len(read_state(STATE | {"daemon_fault": "x" * 10_000}).fault) == MAX_TEXT


def test_frames_are_told_or_not() -> None:
    daemon = STATE["daemon"] | {"frames": 70}
    state = read_state(STATE | {"daemon": daemon, "slots": STATE["slots"] | {"healthy_frames": 50}})
    assert (state.daemon, state.healthy_frames) == (Daemon("1" * 64, None, 70), 50)
    assert read_state(STATE).healthy_frames == 0
    assert (
        read_state(STATE | {"slots": STATE["slots"] | {"healthy_frames": 10**9}}).healthy_frames == MAX_HEALTHY_FRAMES
    )


@pytest.mark.parametrize("value", [-1, 5.0, True, "5"])
def test_frames_that_cannot_be_are_refused(value: object) -> None:
    with pytest.raises(OperatorError, match=r"\(frames\)"):
        read_state(STATE | {"daemon": STATE["daemon"] | {"frames": value}})
    with pytest.raises(OperatorError, match=r"\(healthy_frames\)"):
        read_state(STATE | {"slots": STATE["slots"] | {"healthy_frames": value}})


@pytest.mark.parametrize("value", [-1, 11, 5.0, True, "5", None])
def test_a_size_that_cannot_be_is_refused(value: object) -> None:
    with pytest.raises(OperatorError, match="have_bytes"):
        read_bytes({"have_bytes": value}, 10)
    assert [read_bytes({"have_bytes": size}, 10) for size in (0, 5, 10)] == [0, 5, 10]


def test_busy_is_yes_or_no() -> None:
    assert read_busy({"busy": True}) is True
    with pytest.raises(OperatorError, match="busy"):
        read_busy({"busy": 1})
