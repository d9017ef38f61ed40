"""What a check found: one line for people, one JSON object for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How it stands with one thing; the values are the words that are printed."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


MARKS = {Status.OK: "+", Status.WARNING: "!", Status.FAILED: "x", Status.SKIPPED: "-"}
"""ASCII: a Pi's own console has few other signs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured of one thing, and what to do where that is not as it should be."""

    check: str
    status: Status
    measured: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.status in (Status.WARNING, Status.FAILED) and not self.advice:
            raise ValueError(f"{self.check}: a fault without advice helps nobody")

    def line(self) -> str:
        """The finding as one line, unless a text of others' in it has line breaks."""
        advice = f". To do: {self.advice}" if self.advice else ""
        name = self.check.replace("_", " ")
        return f"{MARKS[self.status]} {self.status.value:<9}{name + ':':<16}{self.measured}{advice}"

    def to_json(self) -> str:
        """The finding as one JSON object on one line."""
        return json.dumps(
            {"check": self.check, "status": self.status.value, "measured": self.measured, "advice": self.advice}
        )


def ok(check: str, measured: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, measured)


def warning(check: str, measured: str, advice: str) -> Finding:
    """The door works, or may, but somebody should look."""
    return Finding(check, Status.WARNING, measured, advice)


def failed(check: str, measured: str, advice: str) -> Finding:
    """The door cannot work like this, or not for long."""
    return Finding(check, Status.FAILED, measured, advice)


def skipped(check: str, measured: str, advice: str = "") -> Finding:
    """This could not be looked at here, for the reason that `measured` gives."""
    return Finding(check, Status.SKIPPED, measured, advice)


def summary(findings: Iterable[Finding]) -> str:
    """How many findings there are of each kind, in words."""
    counts = Counter(finding.status for finding in findings)
    words = ", ".join(f"{counts[status]} {status.value}" for status in Status)
    return f"{counts.total()} checks: {words}"
