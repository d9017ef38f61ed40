"""One slot between the camera's thread and the daemon's: never a queue that grows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from maskwatch.types import Frame


@dataclass(frozen=True, slots=True)
class Lost:
    """The camera is lost, for this reason; it is being opened again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will come: the source has ended, or `fault` has stopped its thread."""

    fault: Exception | None = None


Item = Frame | Lost | Ended


class Mailbox:
    """Holds the newest item of one producer until the one consumer takes it.

    `announce` is called, by the producer's thread, whenever something lies in the slot that was empty before.
    """

    def __init__(self, announce: Callable[[], object]) -> None:
        self.dropped_frames = 0
        self._announce = announce
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> None:
        """Leave an item at once; it replaces one that nobody has taken yet."""
        with self._changed:
            replaced, self._item = self._item, item
            if isinstance(replaced, Frame):
                self.dropped_frames += 1
        if replaced is None:
            self._announce()

    def put_in_turn(self, item: Item) -> None:
        """Leave an item once the one before it has been taken, or the mailbox closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._closed)
        self.put(item)

    def take(self) -> Item | None:
        """What lies in the slot, which is then empty; None where nothing does. Never waits."""
        with self._changed:
            item, self._item = self._item, None
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Let no producer wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
