"""How a door's flash goes and ends, in words that a table, a record and JSON share. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a door's flash ended. Only of the first two does it run the new model."""

    CONFIRMED = "confirmed"
    ALREADY = "already"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    NOT_BEGUN = "not_begun"

    @property
    def good(self) -> bool:
        """Whether the door runs the new model, for good."""
        return self in (Outcome.CONFIRMED, Outcome.ALREADY)


@dataclass(frozen=True, slots=True)
class Result:
    """One door's end: `reason` says why it does not run the new model, `model` what it ran when last heard of.

    `resumed_bytes` lay there from an upload that broke off, and were not sent again.
    """

    host: str
    outcome: Outcome
    reason: str = ""
    model: str = ""
    seconds: float = 0.0
    sent_bytes: int = 0
    resumed_bytes: int = 0


class Step(StrEnum):
    """What goes on at a door."""

    CONNECTING = "connecting"
    UPLOADING = "uploading"
    VERIFYING = "verifying there"
    TRYING = "trying"
    ROLLING_BACK = "rolling back"


Progress = Callable[[Step, int, int], None]
"""Told of each step, and how much of how much of it is done: bytes, judged frames; 0 of 0 where nobody can tell."""
