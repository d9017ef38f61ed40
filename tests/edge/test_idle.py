"""When the networks rest and what wakes them: a table of what goes on, frame by frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.config import IdleSettings
from maskwatch.idle import Idle
from maskwatch.types import Box, Face, Label, Person, Situation, Verdict

STEP_S = 0.125
"""Eight frames a second: sums of an eighth are exact."""

SETTINGS = IdleSettings(after_seconds=1.0, look_every_seconds=0.5)

FACE = Face(Box(0, 0, 9, 9), 0.9, 0.9, Label.WITH_MASK)
STRANGER = Person(1, FACE, None, 1)
VERDICTS = {
    ".": Verdict(Situation.NOBODY, False, (), 0.0),
    "p": Verdict(Situation.UNSURE, False, (STRANGER,), 0.0),
    "u": Verdict(Situation.UNMASKED, False, (), 0.0),  # a light that is held
    "a": Verdict(Situation.NOBODY, True, (), 0.0),  # a buzzer that sounds
    "l": Verdict(Situation.NOBODY, False, (STRANGER,), 0.0),
    "c": Verdict(Situation.NO_CAMERA, False, (), 0.0),
}


def played(script: str, settings: IdleSettings = SETTINGS) -> str:
    """For each frame "J" where it was wanted, "-" where not.

    In the script "m" is a frame with motion, and every other letter what judging the frame would show.
    """
    idle = Idle(settings)
    answer = ""
    for index, letter in enumerate(script):
        wanted = idle.wants(index * STEP_S, moved=letter == "m")
        answer += "J" if wanted else "-"
        if wanted:
            idle.judged(VERDICTS["." if letter == "m" else letter])
    return answer


TABLE = {
    "nothing goes on: all for a second, then one each half": ("." * 20, "JJJJJJJJ---J---J---J"),
    "motion while awake puts the rest off": ("....m" + "." * 11, "JJJJJJJJJJJJ---J"),
    "motion wakes at once and for a second": ("." * 9 + "m" + "." * 10, "JJJJJJJJ-JJJJJJJJ---"),
    "a face wakes when it is looked for": ("." * 10 + "pp" + "." * 11, "JJJJJJJJ---JJJJJJJJJ---"),
    "and not before, should it not move": ("." * 8 + "ppp" + "." * 5, "JJJJJJJJ---J---J"),
    "somebody who stays keeps it awake": ("p" * 20, "J" * 20),
    "so does a light that is held": ("u" * 20, "J" * 20),
    "so does a buzzer": ("a" * 20, "J" * 20),
    "so does somebody whom only the tracker remembers": ("l" * 20, "J" * 20),
    "so does a lost camera": ("." * 4 + "c" + "." * 9, "J" * 13 + "-"),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_judged(name: str) -> None:
    script, wanted = TABLE[name]
    assert played(script) == wanted


@pytest.mark.parametrize("shows", ["p", "u", "a", "l", "c"])
@pytest.mark.parametrize("step_s", [1.0, 2.0, 60.0])
def test_no_time_is_calm_while_the_last_verdict_shows_anything(shows: str, step_s: float) -> None:
    """With frames further apart than `after_seconds` it rested while somebody stood there."""
    idle = Idle(IdleSettings(after_seconds=1.0, look_every_seconds=10.0))
    for index in range(10):
        assert idle.wants(index * step_s, moved=False)
        idle.judged(VERDICTS[shows])
    assert idle.wants(10 * step_s, moved=False), "the first frame that shows nothing"
    idle.judged(VERDICTS["."])
    assert not idle.resting


def test_zero_never_rests() -> None:
    idle = Idle(IdleSettings(after_seconds=0.0))
    assert (idle.possible, idle.resting) == (False, False)
    assert played("." * 100, IdleSettings(after_seconds=0.0)) == "J" * 100
    assert Idle(SETTINGS).possible


def test_it_says_whether_it_rests() -> None:
    idle = Idle(SETTINGS)
    rests = []
    for index in range(10):
        idle.wants(index * STEP_S, moved=index == 9)
        rests.append(idle.resting)
    assert rests == [False] * 8 + [True, False]


def test_a_lost_camera_wakes_it_whatever_came_before() -> None:
    idle = Idle(SETTINGS)
    for index in range(20):
        idle.wants(index * STEP_S, moved=False)
    idle.judged(VERDICTS["c"])
    assert not idle.resting
    assert idle.wants(20 * STEP_S, moved=False)


def test_a_gap_between_two_frames_is_followed_by_a_look() -> None:
    """Whatever came in meanwhile may stand still by now."""
    idle = Idle(SETTINGS)
    assert idle.wants(0.0, moved=False)
    assert idle.wants(100.0, moved=False)
    assert not idle.wants(100.125, moved=False)


@given(st.lists(st.sampled_from([0.0, -5.0])))
def test_time_that_stands_still_or_jumps_back_never_sends_it_to_rest(steps: list[float]) -> None:
    idle = Idle(SETTINGS)
    now_s = 0.0
    for step in steps:
        now_s += step
        assert idle.wants(now_s, moved=False)


@given(st.lists(st.tuples(st.floats(0.01, 0.3), st.booleans(), st.sampled_from(".p")), max_size=100))
def test_motion_is_always_judged_and_no_wait_is_longer_than_a_look_and_a_frame(
    frames: list[tuple[float, bool, str]],
) -> None:
    idle = Idle(SETTINGS)
    now_s = unseen_s = 0.0
    for step_s, moved, sight in frames:
        now_s, unseen_s = now_s + step_s, unseen_s + step_s
        if idle.wants(now_s, moved):
            idle.judged(VERDICTS[sight])
            unseen_s = 0.0
        else:
            assert not moved
            assert idle.resting
        assert unseen_s <= SETTINGS.look_every_seconds + 1e-9
