"""One piece of work beside a thread that must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Job(Generic[Result]):
    """Does `work` once, in a daemon thread that starts at once and calls `announce` when it is done, whatever came."""

    def __init__(self, name: str, work: Callable[[], Result], announce: Callable[[], object]) -> None:
        self._work = work
        self._announce = announce
        self._outcome: Callable[[], Result] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether there is something to take."""
        return self._outcome is not None

    def take(self) -> Result:
        """What came of it, once it is done. Raises what the work has raised."""
        assert self._outcome is not None, "it still works"
        return self._outcome()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False where it still works after `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            result = self._work()
        except Exception as error:  # noqa: BLE001 - not swallowed: whoever takes the result raises it
            fault = error

            def fail() -> Result:
                raise fault

            self._outcome = fail
        else:
            self._outcome = lambda: result
        self._announce()
