"""One door's flash: from any state, over a line that breaks anywhere, to the new model or to the old one and why."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from line_stage import Break, StagedDoor, parcel_of, refusing
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.flash.door import DAEMON_S, DOOR_S, GOES_ON, PARTS, WINDOW_S, Terms
from maskwatch.flash.patience import AGAIN_PAUSES_S
from maskwatch.flash.protocol import Request
from maskwatch.flash.result import Outcome, Step
from maskwatch.flash.ssh import UnreachableError
from maskwatch.flash.trial import MOST, OWN_BUNDLE, TAKE_UP_S
from maskwatch.slots.states import HEALTHY_FRAMES
from tiny_models import tiny_bundle

PARCEL = parcel_of(bytes(6400))
SHA256 = PARCEL.sha256


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
    assert door.slots.choose().path is None


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


@pytest.mark.parametrize(("up_s", "away_s"), [(12.0, 10.0), (1.0, 1.0), (3.0, 14.0)])
def test_what_takes_turns_has_no_more_time_than_one_of_them(
    tmp_path: Path, tiny_bundle_bytes: bytes, up_s: float, away_s: float
) -> None:
    """A daemon that ran a bundle of its settings' own, and died of it again and again, was watched for two hours."""
    parcel = parcel_of(tiny_bundle_bytes)
    StagedDoor(tmp_path).flash(parcel)

    def live(door: StagedDoor) -> None:
        door.runs = door.now_s % (up_s + away_s) < up_s

    door = StagedDoor(tmp_path, live=live, model_sha256="f" * 64)
    result = door.flash(parcel)
    assert result.outcome is Outcome.REFUSED
    assert result.reason == OWN_BUNDLE or result.reason.startswith("it has the model, and nothing runs it: ")
    assert DAEMON_S <= result.seconds < TAKE_UP_S + 3


def test_a_door_that_is_busy_and_away_by_turns_has_no_more_time_than_one_that_is_away(
    tmp_path: Path, tiny_bundle_bytes: bytes
) -> None:
    def live(door: StagedDoor) -> None:
        door.runs = door.questions()[-1:] != ["offset"]

    def busy(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"busy": True} if request.action == "offset" else answer

    door = StagedDoor(tmp_path, live=live, change=busy)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.REFUSED
    assert result.seconds < DAEMON_S + 5


@pytest.mark.parametrize("is_new", [True, False])
def test_a_right_model_that_nothing_runs_is_no_success(tmp_path: Path, tiny_bundle_bytes: bytes, is_new: bool) -> None:
    """It was "already there", exit code 0, and --resume left it out for ever."""

    def die(door: StagedDoor) -> None:
        door.confirm()
        door.runs = not door.slots.read().active

    door = StagedDoor(tmp_path, live=die if is_new else StagedDoor.confirm)
    if not is_new:
        door.flash(parcel_of(tiny_bundle_bytes))
        door.runs = False
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert not result.outcome.good
    assert result.reason == (
        "it has the model, and nothing runs it: not running: nobody answers; start it: sudo systemctl start maskwatch"
    )
    assert DAEMON_S <= result.seconds < DAEMON_S + 4


def test_a_daemon_that_is_started_anew_with_the_right_model_is_waited_for(
    tmp_path: Path, tiny_bundle_bytes: bytes
) -> None:
    door = StagedDoor(tmp_path)
    door.flash(parcel_of(tiny_bundle_bytes))
    door.runs, back_s = False, door.now_s + 10

    def live(door: StagedDoor) -> None:
        door.runs = door.now_s >= back_s

    door.live = live
    assert door.flash(parcel_of(tiny_bundle_bytes)).outcome is Outcome.ALREADY


def test_each_absence_of_a_daemon_has_its_own_patience(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    away_s = [(0.0, 10.0)]

    def live(door: StagedDoor) -> None:
        door.runs = not any(begin <= door.now_s < end for begin, end in away_s)
        door.confirm()

    def hear(door: StagedDoor, request: Request) -> None:
        if request.action == "install":
            away_s.append((door.now_s, door.now_s + 10.0))
            door.runs = False

    door = StagedDoor(tmp_path, runs=False, live=live, hear=hear)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.CONFIRMED
    assert result.seconds > DAEMON_S


def test_a_daemon_that_has_no_model_yet_does_not_run_another(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=lambda door: None, model_sha256=None)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=TAKE_UP_S + 10))
    assert result.reason == f"not confirmed within {TAKE_UP_S + 10:g} s"


# Trials that get on slowly, or not at all


def judging(seconds_a_frame: float, confirms_at: int) -> Callable[[StagedDoor], None]:
    """A daemon that takes the model on trial up and judges so many frames."""

    def live(door: StagedDoor) -> None:
        choice = door.slots.choose()
        if not choice.trying:
            return
        if door.model_sha256 != choice.sha256:
            door.model_sha256, door.began_s, door.began_at = choice.sha256, door.now_s, door.frames
        judged = int((door.now_s - door.began_s) / seconds_a_frame)
        door.frames = door.began_at + judged
        if judged >= confirms_at:
            door.slots.confirm("healthy", sha256=choice.sha256)

    return live


def test_a_slow_door_is_not_left_while_it_gets_on(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    """At rest with a look each ten seconds it was rolled back after 18 good frames."""
    door = StagedDoor(tmp_path, live=judging(10.0, HEALTHY_FRAMES), frames=4000)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.CONFIRMED, "")
    assert result.seconds > 2 * WINDOW_S
    trial = [(done, total) for step, done, total in door.told if step is Step.TRYING]
    assert {total for _, total in trial} == {HEALTHY_FRAMES}
    assert [done for done, _ in trial] == sorted(done for done, _ in trial)
    assert (trial[0][0], trial[-1][0]) == (0, HEALTHY_FRAMES - 1)


def test_a_door_that_judges_and_judges_is_left_in_the_end(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path, live=judging(1.0, 10**9))
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.reason.startswith("not confirmed within 180 s, after ")
    assert WINDOW_S + MOST * HEALTHY_FRAMES <= result.seconds < WINDOW_S + MOST * HEALTHY_FRAMES + 6


def test_frames_of_the_model_before_do_not_count(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def live(door: StagedDoor) -> None:
        door.frames += 1

    door = StagedDoor(tmp_path, live=live)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=30))
    assert result.reason == "not confirmed within 30 s"
    assert result.seconds < 34


def test_a_daemon_that_is_started_anew_goes_on_counting(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    good = judging(10.0, HEALTHY_FRAMES)

    def live(door: StagedDoor) -> None:
        good(door)
        if door.now_s > 200 and not restarts:
            restarts.append(door.now_s)
            door.began_s, door.began_at, door.frames = door.now_s, 0, 0

    restarts: list[float] = []
    door = StagedDoor(tmp_path, live=live, frames=4000)
    assert door.flash(parcel_of(tiny_bundle_bytes)).outcome is Outcome.CONFIRMED
    assert restarts


# Doors that others change meanwhile


def test_what_is_verified_there_already_is_only_tried(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    """A flash that broke off between the two had it uploaded again."""
    door = StagedDoor(tmp_path)
    door.slots.install(tiny_bundle_bytes, None)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.sent_bytes) == (Outcome.CONFIRMED, 0)
    assert door.questions() == ["state", "activate", "state"]


def test_what_was_verified_there_and_is_spoilt_is_brought_again(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path)
    door.slots.install(tiny_bundle_bytes, None)
    (bundle,) = (door.slots.folder / "a").glob("*.maskwatch")
    bundle.write_bytes(b"spoilt")
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.sent_bytes) == (Outcome.CONFIRMED, len(tiny_bundle_bytes))


def test_another_bundle_in_its_place_is_no_success(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    """Another operator's flash has rolled ours back and begun its own."""
    (tmp_path / "other").mkdir()
    other = tiny_bundle(tmp_path / "other", version="2.0.0").read_bytes()

    def hear(door: StagedDoor, request: Request) -> None:
        if door.questions()[-2:] == ["activate", "state"]:
            door.slots.roll_back("by another")
            door.slots.install(other, None)
            door.slots.activate()
            door.slots.confirm()

    def nothing(door: StagedDoor) -> None:
        """The answer to `activate` is lost, so that the door is asked again."""

    door = StagedDoor(tmp_path, breaks={4: "after"}, live=nothing, hear=hear)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, "another bundle has taken its place")
    assert result.model == "tiny 2.0.0"


@pytest.mark.parametrize("action", ["install", "activate", "rollback"])
def test_a_door_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path, tiny_bundle_bytes: bytes, action: str) -> None:
    """Another's change held the lock just then, and that was the end."""

    def busy(door: StagedDoor, request: Request) -> None:
        if request.action == action and door.questions().count(action) < 3:
            raise TryAgainError("slots: another change is under way: try again when it is done")

    door = StagedDoor(tmp_path, live=lambda door: None if action == "rollback" else door.confirm(), hear=busy)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=5))
    assert result.outcome is (Outcome.ROLLED_BACK if action == "rollback" else Outcome.CONFIRMED)
    assert (door.connections, result.sent_bytes) == (1, len(tiny_bundle_bytes))


def test_a_door_that_is_busy_for_ever_is_not_waited_for_so_long(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    words = "slots: another change is under way: try again when it is done"

    def busy(door: StagedDoor, request: Request) -> None:
        if request.action == "install":
            raise TryAgainError(words)

    door = StagedDoor(tmp_path, hear=busy)
    result = door.flash(parcel_of(tiny_bundle_bytes))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, words)
    assert result.seconds == sum(AGAIN_PAUSES_S)


def test_a_trial_that_nobody_can_end_is_said_to_go_on(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    def refuse(door: StagedDoor, request: Request) -> None:
        if request.action == "rollback":
            raise OperatorError("the disk is read-only: buy one")

    door = StagedDoor(tmp_path, live=lambda door: None, hear=refuse)
    result = door.flash(parcel_of(tiny_bundle_bytes), Terms(window_s=5))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, f"the disk is read-only: buy one{GOES_ON}")
    assert door.slots.read().trying


def test_what_forces_a_door_is_passed_on(tmp_path: Path, tiny_bundle_bytes: bytes) -> None:
    door = StagedDoor(tmp_path)
    door.flash(parcel_of(tiny_bundle_bytes), Terms(force=True))
    assert [request.force for request in door.asked if request.action == "install"] == [True]


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
