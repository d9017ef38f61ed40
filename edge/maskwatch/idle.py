"""Which frames of a live camera the networks look at: all of them, or while nothing goes on, one now and then. Pure.

The frames' timestamps are its only clock; one that stands still or jumps back counts as no time passed.
"""

from __future__ import annotations

from maskwatch.config import IdleSettings
from maskwatch.types import Situation, Verdict


class Idle:
    """Awake, every frame is wanted. At rest, one each `look_every_seconds`.

    It rests once nothing has moved, and no verdict has shown anything, for `after_seconds`. Motion or a lost camera
    wakes it at once; a face that does not move, with the next look: up to `look_every_seconds` later. What it passes
    over loses no time: tracker and alert count the seconds between the frames that they are given.
    """

    def __init__(self, settings: IdleSettings) -> None:
        self._settings = settings
        self._last_s: float | None = None
        self._shows = False  # whether the last verdict showed anything: then no time is calm, however long it is
        self._calm_seconds = 0.0  # since anything went on
        self._unseen_seconds = 0.0  # since a frame was wanted

    @property
    def possible(self) -> bool:
        """Whether it ever rests."""
        return self._settings.after_seconds > 0

    @property
    def resting(self) -> bool:
        """Whether it rests now."""
        return self.possible and self._calm_seconds >= self._settings.after_seconds

    def wants(self, captured_s: float, moved: bool) -> bool:
        """Whether the networks shall look at the next frame, in which something moved or not."""
        elapsed_s = 0.0 if self._last_s is None else max(0.0, captured_s - self._last_s)
        self._last_s = captured_s
        self._calm_seconds = 0.0 if moved or self._shows else self._calm_seconds + elapsed_s
        self._unseen_seconds += elapsed_s
        wanted = not self.resting or self._unseen_seconds >= self._settings.look_every_seconds
        if wanted:
            self._unseen_seconds = 0.0
        return wanted

    def judged(self, verdict: Verdict) -> None:
        """Take in what a frame's judgement, or a lost camera, has come to."""
        self._shows = verdict.situation is not Situation.NOBODY or verdict.alarm or bool(verdict.people)
        if self._shows:
            self._calm_seconds = 0.0
