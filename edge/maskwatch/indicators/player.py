"""Plays the latest verdict's pattern on the outputs, in a small thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from types import TracebackType

from maskwatch.errors import IndicatorError
from maskwatch.indicators.base import OFF, Outputs
from maskwatch.indicators.patterns import Pattern, pattern_for, step_at
from maskwatch.types import Verdict

logger = logging.getLogger(__name__)

ALARM_LIMIT_SECONDS = 65.0
"""Above the longest alarm that the settings allow (60 s)."""

JOIN_SECONDS = 1.0
"""A pin is written in microseconds; the daemon must be down within 2 s of a signal."""

LAST_SET_SECONDS = 0.1
"""After that, how long `close` waits for a write that is under way."""


class Player:
    """Owns the outputs from its making to `close`, which leaves them off, as does any error in between.

    The buzzer sounds for at most `alarm_limit_seconds` of one pattern, by this player's clock: a second guard, should
    verdicts stop coming or the frames' timestamps stand still. `clock` and `wait` are the tests' way in.
    """

    def __init__(
        self,
        outputs: Outputs,
        alarm_limit_seconds: float = ALARM_LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float | None], bool] = threading.Event.wait,
        join_seconds: float = JOIN_SECONDS,
    ) -> None:
        self._outputs = outputs
        self._alarm_limit_seconds = alarm_limit_seconds
        self._clock = clock
        self._wait = wait
        self._join_seconds = join_seconds
        self._playing: tuple[Pattern, float] | None = None  # a pattern and when it began; replaced as a whole
        self._shown = OFF
        self._fault: IndicatorError | None = None
        self._setting = threading.Lock()  # held while outputs are set, so that nothing is set after `close`
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indicator", daemon=True)

    def start(self) -> None:
        """Start the thread; nothing shows before the first verdict."""
        self._thread.start()

    def show(self, verdict: Verdict) -> None:
        """Play a verdict's pattern from its beginning, or go on where it is the one that plays.

        Never waits. Raises IndicatorError where the lights have failed since, RuntimeError after the thread's end.
        """
        if self._fault is not None:
            raise self._fault
        if self._thread.ident is not None and not self._thread.is_alive():
            raise RuntimeError("the lights' thread has ended")
        pattern = pattern_for(verdict.situation, verdict.alarm)
        if self._playing is None or self._playing[0] is not pattern:
            self._playing = (pattern, self._clock())
            self._wake.set()

    def close(self) -> None:
        """Stop and switch off; again is harmless.

        Raises the IndicatorError that the lights have failed with, and one where the thread does not end.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(self._join_seconds)
        held = self._setting.acquire(timeout=LAST_SET_SECONDS)  # not for ever: outputs may hang
        try:
            self._outputs.close()
        finally:
            if held:
                self._setting.release()
        if self._thread.is_alive():
            raise IndicatorError(f"the lights' thread did not end within {self._join_seconds:g} s; check them by eye")
        if self._fault is not None:
            raise self._fault

    def __enter__(self) -> Player:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            with closing(self._outputs):
                while True:
                    self._wake.clear()  # before the look at what it announces, so that nothing is missed
                    if self._stopping.is_set():
                        return
                    self._wait(self._wake, self._play())
        except IndicatorError as error:
            logger.error("%s", error)
            self._fault = error

    def _play(self) -> float | None:
        """Bring the outputs up to date; returns the seconds until they change next, None for never."""
        if self._playing is None:
            return None
        pattern, began_s = self._playing
        elapsed_s = max(0.0, self._clock() - began_s)
        levels, remaining_s = step_at(pattern, elapsed_s)
        if elapsed_s >= self._alarm_limit_seconds:
            levels = replace(levels, buzzer=False)
        with self._setting:
            if levels != self._shown and not self._stopping.is_set():
                self._outputs.set(levels)
                self._shown = levels
        return remaining_s
