import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.config import TrackerSettings
from maskwatch.tracker import MAX_MISSED_FRAMES, Tracker
from maskwatch.types import Box, Face, Label, Person

MASKED, BARE = Label.WITH_MASK, Label.WITHOUT_MASK
SETTINGS = TrackerSettings(votes_needed=3, window_frames=9, majority_ratio=0.7, max_missed_seconds=1.0)


def face(label: Label = MASKED, x: float = 100.0, certainty: float = 0.9, size: float = 100.0) -> Face:
    """A face whose left edge is at `x`; certainty 0 is P(mask) = 0.5, certainty 1 is P(mask) = 0 or 1."""
    sign = 1 if label is MASKED else -1
    return Face(Box(x, 100, x + size, 100 + size), score=0.9, mask=0.5 + sign * certainty / 2, label=label)


def feed(
    tracker: Tracker, frames: list[list[Face]], start_s: float = 0.0, step_s: float = 0.1
) -> list[tuple[Person, ...]]:
    return [tracker.update(faces, start_s + index * step_s) for index, faces in enumerate(frames)]


def test_no_face_is_nobody():
    assert Tracker(SETTINGS).update([], 0.0) == ()


def test_a_label_comes_with_the_votes_needed_and_not_before():
    seen = feed(Tracker(SETTINGS), [[face()]] * 4)
    assert [people[0].label for people in seen] == [None, None, MASKED, MASKED]
    assert [people[0].frames_seen for people in seen] == [1, 2, 3, 4]
    assert {people[0].track_id for people in seen} == {1}


def test_faces_that_disagree_leave_the_person_unlabelled():
    frames = [[face(MASKED if index % 2 else BARE)] for index in range(20)]
    assert {people[0].label for people in feed(Tracker(SETTINGS), frames)} == {None}


def test_single_wrong_frames_do_not_change_a_label():
    wrong = [[face(BARE)] if index % 4 == 3 else [face(MASKED)] for index in range(40)]
    assert [people[0].label for people in feed(Tracker(SETTINGS), wrong)][2:] == [MASKED] * 38


def test_a_label_changes_once_where_the_mask_comes_off():
    labels = [people[0].label for people in feed(Tracker(SETTINGS), [[face(MASKED)]] * 9 + [[face(BARE)]] * 9)]
    assert labels == [None] * 2 + [MASKED] * 13 + [BARE] * 3  # seven of the window's nine: the first share above 0.7


def test_a_certain_vote_outweighs_many_uncertain_ones():
    frames = [[face(BARE, certainty=0.05)]] * 2 + [[face(MASKED, certainty=1.0)]]
    assert feed(Tracker(SETTINGS), frames)[-1][0].label is MASKED


def test_votes_without_any_certainty_still_count():
    assert feed(Tracker(SETTINGS), [[face(BARE, certainty=0.0)]] * 3)[-1][0].label is BARE


def test_a_bare_majority_is_enough_where_the_settings_say_so_but_a_tie_never_is():
    tie = feed(
        Tracker(TrackerSettings(votes_needed=2, majority_ratio=0.5)),
        [[face(BARE, certainty=1)], [face(MASKED, certainty=1)]],
    )
    assert tie[-1][0].label is None


def test_two_people_keep_their_labels_while_they_walk():
    frames = [[face(MASKED, x=100 + 20 * step), face(BARE, x=600 - 10 * step)] for step in range(10)]
    last = feed(Tracker(SETTINGS), frames)[-1]
    assert [(person.track_id, person.label) for person in last] == [(1, MASKED), (2, BARE)]


def test_people_come_in_the_order_of_their_faces():
    tracker = Tracker(SETTINGS)
    feed(tracker, [[face(x=100), face(x=600)]])
    assert [person.track_id for person in tracker.update([face(x=600), face(x=100)], 0.1)] == [2, 1]


def test_the_better_overlap_wins_whatever_the_order():
    tracker = Tracker(SETTINGS)
    feed(tracker, [[face(x=100)]])
    assert [person.track_id for person in tracker.update([face(x=160), face(x=102)], 0.1)] == [2, 1]


def test_a_face_that_moves_its_own_width_between_frames_stays_the_same_person():
    assert {people[0].track_id for people in feed(Tracker(SETTINGS), [[face(x=100 * step)] for step in range(8)])} == {
        1
    }


def test_a_face_far_away_is_another_person():
    assert [people[0].track_id for people in feed(Tracker(SETTINGS), [[face(x=100)], [face(x=500)]])] == [1, 2]


def test_a_labelled_person_outlasts_missed_frames_and_comes_back_as_the_same():
    tracker = Tracker(SETTINGS)
    before = feed(tracker, [[face(BARE)]] * 3)[-1]
    assert tracker.update([], 0.9) == before
    assert tracker.update([face(BARE, x=105)], 1.2)[0].track_id == 1


def test_a_labelled_person_is_gone_after_the_longest_miss_allowed():
    tracker = Tracker(SETTINGS)
    feed(tracker, [[face(BARE)]] * 3, step_s=0.25)
    assert len(tracker.update([], 1.5)) == 1
    assert tracker.update([], 1.75) == ()
    assert tracker.update([face(BARE)], 1.8)[0].track_id == 2


def test_misses_do_not_add_up_over_sightings():
    tracker = Tracker(SETTINGS)
    feed(tracker, [[face(BARE)]] * 3)
    for second in range(1, 10):
        assert [person.track_id for person in tracker.update([face(BARE)], second)] == [1]
        assert [person.track_id for person in tracker.update([], second + 0.5)] == [1]


def test_a_false_face_seen_once_is_not_reported_again_but_is_remembered():
    tracker = Tracker(SETTINGS)
    assert len(tracker.update([face()], 0.0)) == 1
    assert tracker.update([], 0.1) == ()
    assert tracker.update([face()], 0.2)[0].frames_seen == 2


def test_nobody_stays_for_ever_where_timestamps_stand_still():
    tracker = Tracker(SETTINGS)
    for _ in range(3):
        tracker.update([face()], 7.0)
    missed = [tracker.update([], 7.0) for _ in range(MAX_MISSED_FRAMES + 1)]
    assert [len(people) for people in missed] == [1] * MAX_MISSED_FRAMES + [0]


def test_timestamps_that_jump_back_count_as_no_time_and_go_on_from_there():
    tracker = Tracker(SETTINGS)
    feed(tracker, [[face(BARE)]] * 3, start_s=1000.0)
    assert len(tracker.update([], 5.0)) == 1
    assert len(tracker.update([], 5.9)) == 1
    assert tracker.update([], 6.1) == ()


boxes = st.builds(
    lambda x, y, width, height: Box(x, y, x + width, y + height),
    *(st.floats(-50, 1300, width=32) for _ in range(2)),
    *(st.floats(0, 300, width=32) for _ in range(2)),
)
faces = st.builds(Face, boxes, st.floats(0, 1), st.floats(0, 1), st.sampled_from(Label))
times = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(faces, max_size=5), times), max_size=30))
def test_any_frames_give_each_face_one_person_and_each_person_one_id(frames):
    tracker = Tracker(SETTINGS)
    newest = 0
    for faces_now, captured_s in frames:
        people = tracker.update(faces_now, captured_s)
        assert [person.face for person in people[: len(faces_now)]] == faces_now
        ids = [person.track_id for person in people]
        assert len(set(ids)) == len(ids)
        assert all(number <= newest + len(faces_now) for number in ids)
        newest = max([newest, *ids])
        for person in people:
            assert person.frames_seen >= SETTINGS.votes_needed or person.label is None
        assert all(person.label is not None for person in people[len(faces_now) :])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(Label), st.floats(0, 1)), min_size=1, max_size=40),
    st.integers(1, 9),
    st.floats(0.5, 1.0),
)
def test_a_label_always_had_its_majority_when_it_was_given(votes, votes_needed, majority_ratio):
    tracker = Tracker(TrackerSettings(votes_needed=votes_needed, window_frames=9, majority_ratio=majority_ratio))
    before = None
    for index, (label, certainty) in enumerate(votes):
        (person,) = tracker.update([face(label, certainty=certainty)], index * 0.1)
        if person.label is not before:
            window = votes[max(0, index - 8) : index + 1]
            weights = [(voted, max(0.1, certainty)) for voted, certainty in window]
            share = sum(w for voted, w in weights if voted is person.label) / sum(w for _, w in weights)
            assert person.label is not None
            assert len(window) >= votes_needed
            assert share >= majority_ratio - 1e-9
        before = person.label


@pytest.mark.parametrize("captured_s", [math.nan, math.inf, -math.inf])
def test_one_senseless_timestamp_loses_nobody_who_is_in_view(captured_s):
    tracker = Tracker(SETTINGS)
    feed(tracker, [[face()]] * 3)
    assert tracker.update([face()], captured_s)[0].track_id == 1
    assert tracker.update([face()], 0.4)[0].track_id == 1
