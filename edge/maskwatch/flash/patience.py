"""How long a door's flash waits, for what, and how often it tries anew. Knows no door."""

from __future__ import annotations

from collections.abc import Callable

PAUSES_S = (0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 2.0)
"""Between two looks at a trial; the last one for ever. A look costs a small Pi half a second of one core."""

AGAIN_PAUSES_S = (0.5, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Before each new try where a connection broke, or where the door asks for one; with these a part is given up by a
sender who is gone."""


class Patience:
    """One door's. `clock` is monotonic; `wait` lets so many seconds pass, or fewer where all is broken off."""

    def __init__(self, clock: Callable[[], float], wait: Callable[[float], object]) -> None:
        self._clock = clock
        self._wait = wait
        self._until_s: dict[str, float] = {}
        self._looks = self._tries = 0

    def is_over(self, what: str, limit_s: float) -> bool:
        """Whether `what` has been waited for that long, from the first time on that anybody asked."""
        return self._clock() >= self._until_s.setdefault(what, self._clock() + limit_s)

    def begin_anew(self) -> None:
        """The door has got on: all waits begin anew. Only for what happens a few times in a flash."""
        self._until_s.clear()

    def pause(self) -> None:
        """Before the next look."""
        self._wait(PAUSES_S[min(self._looks, len(PAUSES_S) - 1)])
        self._looks += 1

    def try_again(self) -> bool:
        """Pause before one more try; False, at once, where there have been enough."""
        if self._tries == len(AGAIN_PAUSES_S):
            return False
        self._wait(AGAIN_PAUSES_S[self._tries])
        self._tries += 1
        return True

    def renew_tries(self) -> None:
        """A try has succeeded."""
        self._tries = 0
