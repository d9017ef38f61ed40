from itertools import combinations, groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.indicators.base import OFF, Levels
from maskwatch.indicators.patterns import (
    FAST_BLINK,
    FAST_BLINK_AND_BEEPS,
    PATTERNS,
    Pattern,
    Step,
    levels_at,
    pattern_for,
    step_at,
)
from maskwatch.types import Situation

ALL = [*PATTERNS.values(), FAST_BLINK_AND_BEEPS]


def rhythm(pattern: Pattern) -> list[tuple[bool, float]]:
    """When any light is on and for how long, over a minute, as somebody sees it who can't tell the colours apart."""
    steps: list[tuple[bool, float]] = []
    while sum(seconds for _, seconds in steps) < 60:
        steps += [(step.levels.red or step.levels.green, step.duration_seconds) for step in pattern]
    return [(lit, round(sum(s for _, s in run), 6)) for lit, run in groupby(steps, key=lambda step: step[0])]


def test_every_situation_has_a_pattern():
    assert set(PATTERNS) == set(Situation)


@pytest.mark.parametrize(("one", "other"), list(combinations(Situation, 2)))
def test_situations_differ_by_rhythm_alone(one, other):
    assert rhythm(PATTERNS[one])[:4] != rhythm(PATTERNS[other])[:4]


def test_the_alarm_changes_the_sound_and_not_the_light():
    assert rhythm(FAST_BLINK_AND_BEEPS)[:10] == rhythm(FAST_BLINK)[:10]


@pytest.mark.parametrize("pattern", ALL)
def test_no_more_than_three_flashes_in_any_second(pattern):
    starts, now = [], 0.0
    lit = False
    for step in pattern * 20:
        if (step.levels.red or step.levels.green) and not lit:
            starts.append(now)
        lit = step.levels.red or step.levels.green
        now += step.duration_seconds
    assert all(later - first >= 1.0 for first, later in zip(starts, starts[3:], strict=False))


@pytest.mark.parametrize("situation", Situation)
def test_only_an_alarm_about_somebody_unmasked_beeps(situation):
    beeps = any(step.levels.buzzer for step in pattern_for(situation, alarm=True))
    assert beeps == (situation is Situation.UNMASKED)
    assert not any(step.levels.buzzer for step in pattern_for(situation, alarm=False))


def test_beeps_pause():
    """A buzzer that never pauses is heard as stuck."""
    assert [step.levels.buzzer for step in FAST_BLINK_AND_BEEPS] == [True, False] * 3 + [False] * 4


@pytest.mark.parametrize(
    ("situation", "lights"),
    [
        (Situation.NOBODY, {(False, True), (False, False)}),
        (Situation.UNSURE, {(True, True), (False, False)}),
        (Situation.ALL_MASKED, {(False, True)}),
        (Situation.UNMASKED, {(True, False), (False, False)}),
        (Situation.NO_CAMERA, {(True, False), (False, True), (False, False)}),
    ],
)
def test_colours(situation, lights):
    assert {(step.levels.red, step.levels.green) for step in PATTERNS[situation]} == lights


def test_levels_at_steps_through_and_repeats():
    red, green = Levels(red=True), Levels(green=True)
    pattern = (Step(1.0, red), Step(2.0, green), Step(0.5, OFF))
    times = [0.0, 0.9, 1.0, 2.9, 3.0, 3.4, 3.5, 4.4, 4.5, 3500.0]
    assert [levels_at(pattern, time) for time in times] == [red, red, green, green, OFF, OFF, red, red, green, red]


@settings(deadline=None)
@given(st.sampled_from(ALL), st.floats(0, 1e7))
def test_waiting_for_the_next_step_always_gets_there(pattern, elapsed_s):
    levels, remaining_s = step_at(pattern, elapsed_s)
    assert levels in [step.levels for step in pattern]
    assert 0 < remaining_s <= max(step.duration_seconds for step in pattern) + 1e-6
    assert elapsed_s + remaining_s > elapsed_s


@settings(deadline=None)
@given(st.sampled_from(ALL), st.integers(1, 200))
def test_steps_follow_in_order_without_a_missing_or_an_extra_one(pattern, count):
    seen, elapsed_s = [], 0.0
    for _ in range(count):
        levels, remaining_s = step_at(pattern, elapsed_s)
        seen.append(levels)
        elapsed_s += remaining_s
    expected = [step.levels for step in pattern] * (count // len(pattern) + 1)
    assert seen == expected[:count]


@pytest.mark.parametrize("pattern", ALL)
def test_neighbouring_steps_differ(pattern):
    assert all(one.levels != other.levels for one, other in pairwise(pattern))
