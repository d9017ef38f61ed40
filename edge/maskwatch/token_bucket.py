"""How often something may be said: some things at once, and one each so many seconds for ever. Pure."""

from __future__ import annotations


class TokenBucket:
    """`at_once` tokens, all there at the start; one that was spent comes back each `seconds_each`.

    Time is what `now_s` advances between calls; standing still or jumping back counts as no time passed.
    """

    def __init__(self, at_once: int, seconds_each: float) -> None:
        self._at_once = at_once
        self._seconds_each = seconds_each
        self._tokens = float(at_once)
        self._last_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Whether it may be said now; if so, it counts as said."""
        elapsed_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        self._tokens = min(self._at_once, self._tokens + elapsed_s / self._seconds_each)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
