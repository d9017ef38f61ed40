import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from maskwatch.alert import Alert, QuietHours, situation_of
from maskwatch.config import AlertSettings
from maskwatch.types import Box, Face, Label, Person, Situation, Verdict

NOON = datetime.time(12, 0)
SETTINGS = AlertSettings(hold_seconds=1.5, alarm_seconds=5.0, cool_down_seconds=10.0)


def person(label: Label | None) -> Person:
    return Person(1, Face(Box(0, 0, 10, 10), 0.9, 0.5, label or Label.WITH_MASK), label, 5)


MASKED, BARE, UNDECIDED = person(Label.WITH_MASK), person(Label.WITHOUT_MASK), person(None)
PEOPLE = {
    Situation.NOBODY: [],
    Situation.UNSURE: [UNDECIDED],
    Situation.ALL_MASKED: [MASKED],
    Situation.UNMASKED: [BARE],
}


@pytest.mark.parametrize(
    ("people", "situation"),
    [
        ([], Situation.NOBODY),
        ([UNDECIDED], Situation.UNSURE),
        ([MASKED], Situation.ALL_MASKED),
        ([MASKED, MASKED], Situation.ALL_MASKED),
        ([MASKED, UNDECIDED], Situation.UNSURE),
        ([BARE], Situation.UNMASKED),
        ([MASKED, UNDECIDED, BARE], Situation.UNMASKED),
    ],
)
def test_what_people_call_for(people, situation):
    assert situation_of(people) is situation


def reach(alert: Alert, situation: Situation, captured_s: float) -> Verdict:
    if situation is Situation.NO_CAMERA:
        return alert.camera_lost(captured_s, NOON)
    return alert.update(PEOPLE[situation], captured_s, NOON)


AT_ONCE = {
    (Situation.NOBODY, Situation.UNSURE),
    (Situation.NOBODY, Situation.ALL_MASKED),
    (Situation.NOBODY, Situation.UNMASKED),
    (Situation.UNSURE, Situation.ALL_MASKED),
    (Situation.UNSURE, Situation.UNMASKED),
    (Situation.ALL_MASKED, Situation.UNMASKED),
}


@pytest.mark.parametrize("end", Situation)
@pytest.mark.parametrize("start", Situation)
def test_every_transition(start, end):
    """Up in urgency and to or from a lost camera: at once. Down: after the hold time, to the frame."""
    alert = Alert(SETTINGS)
    assert reach(alert, start, 0.0).situation is start
    at_once = start is end or Situation.NO_CAMERA in (start, end) or (start, end) in AT_ONCE
    shown = [reach(alert, end, tenths / 10).situation for tenths in (1, 14, 15)]
    assert shown == ([end] * 3 if at_once else [start, start, end])


def test_a_situation_seen_again_is_held_anew():
    alert = Alert(SETTINGS)
    reach(alert, Situation.UNMASKED, 0.0)
    assert reach(alert, Situation.NOBODY, 1.0).situation is Situation.UNMASKED
    reach(alert, Situation.UNMASKED, 1.25)
    assert reach(alert, Situation.NOBODY, 2.5).situation is Situation.UNMASKED
    assert reach(alert, Situation.NOBODY, 2.75).situation is Situation.NOBODY


def test_a_hold_begun_before_the_camera_was_lost_is_forgotten():
    alert = Alert(SETTINGS)
    reach(alert, Situation.ALL_MASKED, 0.0)
    reach(alert, Situation.NOBODY, 1.0)
    reach(alert, Situation.NO_CAMERA, 1.25)
    reach(alert, Situation.ALL_MASKED, 1.5)
    assert reach(alert, Situation.NOBODY, 2.75).situation is Situation.ALL_MASKED


def test_no_hold_time_means_no_hold():
    alert = Alert(AlertSettings(hold_seconds=0))
    reach(alert, Situation.UNMASKED, 0.0)
    assert reach(alert, Situation.NOBODY, 0.0).situation is Situation.NOBODY


def test_the_verdict_carries_people_time_and_index():
    assert Alert(SETTINGS).update([MASKED], 3.5, NOON, frame_index=7) == Verdict(
        Situation.ALL_MASKED, alarm=False, people=(MASKED,), captured_s=3.5, frame_index=7
    )
    assert Alert(SETTINGS).camera_lost(3.5, NOON) == Verdict(Situation.NO_CAMERA, False, (), 3.5)


def alarms(alert: Alert, seconds: range, local_time: datetime.time = NOON) -> list[int]:
    """The seconds in which the buzzer sounds while somebody unmasked stays."""
    return [second for second in seconds if alert.update([BARE], float(second), local_time).alarm]


def test_the_alarm_sounds_rests_and_sounds_again():
    assert alarms(Alert(SETTINGS), range(40)) == [0, 1, 2, 3, 4, 15, 16, 17, 18, 19, 30, 31, 32, 33, 34]


def test_an_alarm_that_ended_early_rests_too():
    alert = Alert(SETTINGS)
    assert alarms(alert, range(2)) == [0, 1]
    for second in range(2, 5):
        alert.update([], float(second), NOON)
    assert alarms(alert, range(5, 20)) == [13, 14, 15, 16, 17]  # all went off at 3, when the hold was over


def test_losing_the_camera_silences_at_once_and_gives_no_new_alarm_before_the_rest_is_over():
    alert = Alert(SETTINGS)
    assert alarms(alert, range(1)) == [0]
    assert not alert.camera_lost(1.0, NOON).alarm
    assert alarms(alert, range(2, 12)) == [11]


def test_alarm_seconds_zero_never_sounds():
    assert alarms(Alert(AlertSettings(alarm_seconds=0)), range(100)) == []


def test_quiet_hours_silence_a_sounding_alarm_and_leave_the_light():
    alert = Alert(AlertSettings(quiet_hours="22:00-07:00"))
    assert alert.update([BARE], 0.0, datetime.time(21, 59, 59)).alarm
    verdict = alert.update([BARE], 1.0, datetime.time(22, 0))
    assert (verdict.situation, verdict.alarm) == (Situation.UNMASKED, False)
    assert not alert.update([BARE], 30.0, datetime.time(6, 59, 59)).alarm
    assert alert.update([BARE], 31.0, datetime.time(7, 0)).alarm


def test_time_that_jumps_back_is_no_time_and_the_alarm_still_ends():
    alert = Alert(SETTINGS)
    assert alert.update([BARE], 1000.0, NOON).alarm
    assert [alert.update([BARE], float(second), NOON).alarm for second in range(8)] == [True] * 5 + [False] * 3


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-07:00", ["22:00", "23:59", "00:00", "06:59"], ["07:00", "12:00", "21:59"]),
        ("13:00-14:30", ["13:00", "14:29"], ["12:59", "14:30", "00:00"]),
        ("23:59-00:00", ["23:59"], ["00:00", "23:58"]),
    ],
)
def test_quiet_hours_begin_on_the_minute_and_end_before_it(text, inside, outside):
    quiet_hours = QuietHours.parse(text)
    assert [time for time in inside + outside if quiet_hours.contains(datetime.time.fromisoformat(time))] == inside


@settings(deadline=None)
@given(st.integers(0, 1439), st.integers(0, 1439), st.times())
def test_a_window_and_its_complement_share_the_day(start, end, local_time):
    if start != end:
        assert QuietHours(start, end).contains(local_time) != QuietHours(end, start).contains(local_time)


def test_no_quiet_hours():
    assert QuietHours.parse("") is None


class AlertMachine(RuleBasedStateMachine):
    """Any people, at any pace: what must hold whatever happens."""

    settings = AlertSettings(hold_seconds=2.0, alarm_seconds=3.0, cool_down_seconds=5.0, quiet_hours="22:00-07:00")

    def __init__(self):
        super().__init__()
        self.alert = Alert(self.settings)
        self.now_s = 100.0
        self.time = NOON
        self.verdict: Verdict | None = None
        self.wanted: Situation | None = None
        self.sounding_since: float | None = None
        self.silent_since: float | None = None
        self.wanted_since = 0.0

    def observe(self, verdict: Verdict, wanted: Situation) -> None:
        if wanted is not self.wanted:
            self.wanted, self.wanted_since = wanted, self.now_s
        if verdict.alarm and self.sounding_since is None:
            rested = self.silent_since is None or self.now_s - self.silent_since >= self.settings.cool_down_seconds
            assert rested, "sounded again before its rest was over"
            self.sounding_since = self.now_s
        elif not verdict.alarm and self.sounding_since is not None:
            self.sounding_since, self.silent_since = None, self.now_s
        self.verdict = verdict

    @rule(people=st.lists(st.sampled_from([MASKED, BARE, UNDECIDED]), max_size=3), step_s=st.integers(0, 8))
    def frame(self, people, step_s):
        self.now_s += step_s / 4
        self.observe(self.alert.update(people, self.now_s, self.time), situation_of(people))

    @rule(step_s=st.integers(0, 8))
    def no_camera(self, step_s):
        self.now_s += step_s / 4
        self.observe(self.alert.camera_lost(self.now_s, self.time), Situation.NO_CAMERA)

    @rule(time=st.sampled_from([NOON, datetime.time(23, 0), datetime.time(6, 0), datetime.time(7, 0)]))
    def clock_moves(self, time):
        self.time = time
        self.verdict = None  # the last verdict was given at another time

    @precondition(lambda self: self.verdict)
    @invariant()
    def an_alarm_needs_somebody_unmasked_and_is_silent_in_quiet_hours(self):
        quiet = self.time.hour >= 22 or self.time.hour < 7
        if self.verdict.alarm:
            assert self.verdict.situation is Situation.UNMASKED
            assert not quiet

    @precondition(lambda self: self.verdict)
    @invariant()
    def an_alarm_is_bounded(self):
        if self.verdict.alarm:
            assert self.now_s - self.sounding_since < self.settings.alarm_seconds

    @precondition(lambda self: self.verdict)
    @invariant()
    def a_lost_camera_and_somebody_unmasked_show_at_once(self):
        if self.wanted in (Situation.NO_CAMERA, Situation.UNMASKED):
            assert self.verdict.situation is self.wanted

    @precondition(lambda self: self.verdict)
    @invariant()
    def what_lasts_is_shown_in_the_end(self):
        if self.now_s - self.wanted_since >= self.settings.hold_seconds:
            assert self.verdict.situation is self.wanted


AlertMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestAlertMachine = AlertMachine.TestCase
