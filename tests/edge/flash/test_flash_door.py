"""One door's flash: from any state, over a line that breaks anywhere, to the new model or to the old one and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from line_stage import StagedDoor, parcel_of
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.flash.door import DAEMON_S, GOES_ON, WINDOW_S, Terms
from maskwatch.flash.patience import AGAIN_PAUSES_S
from maskwatch.flash.protocol import Request
from maskwatch.flash.result import Outcome, Step
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
