"""The knee of accuracy over time: a rule that hangs on nothing but the points of the frontier."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch_convert.knee import SAME_ACCURACY, frontier, knee

POINTS = st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 1000).map(lambda mille: mille / 1000)), min_size=1)


@given(POINTS)
def test_nothing_is_both_quicker_and_better_than_the_knee(points):
    time, accuracy = points[knee(points)]
    assert not any((t <= time and a > accuracy) or (t < time and a >= accuracy) for t, a in points)


@given(POINTS, st.randoms())
def test_the_knee_hangs_on_no_order_and_no_unit_of_time(points, random):
    chosen = points[knee(points)]
    shuffled = random.sample(points, len(points))
    assert shuffled[knee(shuffled)] == chosen
    assert knee([(time / 1024, accuracy) for time, accuracy in points]) == knee(points)


@given(POINTS, st.data())
def test_a_candidate_that_another_beats_changes_nothing(points, data):
    time, accuracy = data.draw(st.sampled_from(points))
    beaten = (time * data.draw(st.floats(1, 4)), accuracy * data.draw(st.floats(0, 1)))
    assert knee([*points, beaten]) == knee(points)


@given(POINTS)
def test_the_frontier_rises_and_leaves_out_only_what_is_beaten(points):
    front = [points[index] for index in frontier(points)]
    assert all(one[0] < next_[0] and one[1] < next_[1] for one, next_ in pairwise(front))
    assert all(any(time <= t and accuracy >= a for time, accuracy in front) for t, a in points)


@pytest.mark.parametrize(
    ("points", "chosen"),
    [
        ([(1, 0.5), (2, 0.8), (3, 0.9), (4, 0.92)], 1),  # most is bought by then
        ([(4, 0.92), (3, 0.91), (1, 0.5), (2, 0.6)], 1),  # the second step buys little, the third much
        ([(1, 0.90), (2, 0.90 + 0.9 * SAME_ACCURACY)], 0),  # a gain that cannot be told from none
        ([(1, 0.5), (2, 0.9)], 1),  # two candidates have no knee between them
        ([(1, 0.5), (2, 0.6), (3, 0.7)], 2),  # nor has a straight line
        ([(1, 0.5), (2, 0.55), (3, 0.7)], 2),  # each step buys more than the one before
        ([(1, 0.9), (2, 0.4), (3, 0.3)], 0),
        ([(7, 0.0)], 0),
    ],
)
def test_known_knees(points, chosen):
    assert knee(points) == chosen
