"""An indicator that remembers what it was told: for tests, which then assert whole sequences."""

from __future__ import annotations

import time
from collections.abc import Callable

from maskwatch.errors import IndicatorError
from maskwatch.indicators.base import OFF, Levels


class RecordOutputs:
    """Keeps `history`: (seconds on the clock, levels) of every call, without bound; closing adds OFF once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.history: list[tuple[float, Levels]] = []
        self.closed = False
        self._clock = clock

    def set(self, levels: Levels) -> None:
        """Remember these levels."""
        if self.closed:
            raise IndicatorError("the recording indicator is closed")
        self.history.append((self._clock(), levels))

    def close(self) -> None:
        """Remember that all went off."""
        if not self.closed:
            self.closed = True
            self.history.append((self._clock(), OFF))
