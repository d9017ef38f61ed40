"""People to a verdict: a pure state machine, no clock, no I/O. It decides what the lights show and when it beeps."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from maskwatch.config import AlertSettings
from maskwatch.types import Label, Person, Situation, Verdict

URGENCY = {Situation.NOBODY: 0, Situation.UNSURE: 1, Situation.ALL_MASKED: 2, Situation.UNMASKED: 3}
"""Which situation may replace which. A more urgent one shows at once; a less urgent one when nothing as urgent as the
shown one has been seen for `hold_seconds`. So every way back to where one came from takes that long, and no light
flickers. A lost camera has no place here: it is shown at once, and so is whatever follows it."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily span of local time, in minutes since midnight; the end is exclusive and may lie past midnight."""

    start_minute: int
    end_minute: int

    @classmethod
    def parse(cls, text: str) -> QuietHours | None:
        """Read "22:00-07:00", as the settings have checked it; empty means none."""
        if not text:
            return None
        start, end = (datetime.time.fromisoformat(part) for part in text.split("-"))
        return cls(_minute(start), _minute(end))

    def contains(self, local_time: datetime.time) -> bool:
        """Whether a time of day lies in the span."""
        minute = _minute(local_time)
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def situation_of(people: Sequence[Person]) -> Situation:
    """What these people call for, without any memory: one without a mask outweighs all others."""
    labels = {person.label for person in people}
    if not labels:
        return Situation.NOBODY
    if Label.WITHOUT_MASK in labels:
        return Situation.UNMASKED
    return Situation.UNSURE if None in labels else Situation.ALL_MASKED


class Alert:
    """What the door shows, and whether it beeps.

    Time is what `captured_s` advances between calls; standing still or jumping back counts as no time passed.
    """

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._quiet_hours = QuietHours.parse(settings.quiet_hours)
        self._last_s: float | None = None
        self._situation = Situation.NOBODY
        self._unconfirmed_seconds = 0.0  # since something as urgent as the shown situation was last seen
        self._sounding = False
        self._sounding_seconds = 0.0  # of the present alarm
        self._resting_seconds = settings.cool_down_seconds  # since the last alarm; a new one may come at once

    def update(
        self, people: Sequence[Person], captured_s: float, local_time: datetime.time, frame_index: int = 0
    ) -> Verdict:
        """The verdict after one more frame, in which the tracker saw these people."""
        elapsed_s = self._elapsed(captured_s)
        self._show(situation_of(people), elapsed_s)
        self._sound(elapsed_s, local_time)
        return Verdict(self._situation, self._sounding, tuple(people), captured_s, frame_index)

    def camera_lost(self, captured_s: float, local_time: datetime.time) -> Verdict:
        """The verdict while there is no picture; `captured_s` is the present on the frames' clock."""
        elapsed_s = self._elapsed(captured_s)
        self._situation = Situation.NO_CAMERA
        self._sound(elapsed_s, local_time)
        return Verdict(self._situation, self._sounding, (), captured_s)

    def _elapsed(self, captured_s: float) -> float:
        elapsed_s = 0.0 if self._last_s is None else max(0.0, captured_s - self._last_s)
        self._last_s = captured_s
        return elapsed_s

    def _show(self, wanted: Situation, elapsed_s: float) -> None:
        """Move to the wanted situation, or hold the shown one for now."""
        if self._situation is Situation.NO_CAMERA or URGENCY[wanted] >= URGENCY[self._situation]:
            self._situation, self._unconfirmed_seconds = wanted, 0.0
            return
        self._unconfirmed_seconds += elapsed_s
        if self._unconfirmed_seconds >= self._settings.hold_seconds:
            self._situation, self._unconfirmed_seconds = wanted, 0.0

    def _sound(self, elapsed_s: float, local_time: datetime.time) -> None:
        """Start, go on with, or end the alarm: bounded in length, rested in between, silent in quiet hours."""
        quiet = self._quiet_hours is not None and self._quiet_hours.contains(local_time)
        wanted = self._situation is Situation.UNMASKED and not quiet
        if self._sounding:
            self._sounding_seconds += elapsed_s
            if not wanted or self._sounding_seconds >= self._settings.alarm_seconds:
                self._sounding, self._resting_seconds = False, 0.0
            return
        self._resting_seconds += elapsed_s
        if wanted and self._settings.alarm_seconds > 0 and self._resting_seconds >= self._settings.cool_down_seconds:
            self._sounding, self._sounding_seconds = True, 0.0


def _minute(time: datetime.time) -> int:
    return time.hour * 60 + time.minute
