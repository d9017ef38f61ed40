"""The few words that flash may say to a door, and how a door's answer is told from a login's greeting.

One request is one command, `maskwatch receive WORDS`, and one answer is one line of JSON behind a mark:

    offset SHA256 SIZE           how many bytes of that bundle lie there, from uploads that broke off
    upload SHA256 SIZE OFFSET    take the bytes on stdin, from that place on
    install SHA256 [force]       verify the bundle in the slot that does not run; its signature, if any, is on stdin
    activate SHA256              try that bundle, which was verified
    rollback SHA256              end its trial
    state                        slots, and what the daemon says

A trial is confirmed by the door's daemon and by nobody else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from maskwatch.errors import OperatorError
from maskwatch.limits import MAX_BUNDLE_BYTES
from maskwatch.strict_json import SchemaError, loads, shown

COMMAND = ("maskwatch", "receive")
MARK = "maskwatch-answer"
FORCE = "force"

MAX_ANSWER_BYTES = 64 * 1024

_LONGEST = 200
"""Characters of the longest command there is, and a few more."""

_SHA256 = r"[0-9a-f]{64}"
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"

_FORMS: dict[str, str] = {
    "offset": f"offset (?P<sha256>{_SHA256}) (?P<size>{_NUMBER})",
    "upload": f"upload (?P<sha256>{_SHA256}) (?P<size>{_NUMBER}) (?P<offset>{_NUMBER})",
    "install": f"install (?P<sha256>{_SHA256})(?P<force> {FORCE})?",
    "activate": f"activate (?P<sha256>{_SHA256})",
    "rollback": f"rollback (?P<sha256>{_SHA256})",
    "state": "state",
}
"""Each request's form, all of it."""

ACTIONS = tuple(_FORMS)


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to do. What an action has no use for keeps its default."""

    action: str
    sha256: str = ""
    size_bytes: int = 0
    offset_bytes: int = 0
    force: bool = False

    def words(self) -> tuple[str, ...]:
        """The words that `parse_request` makes the same request of."""
        words: tuple[str, ...] = (self.action,)
        if self.sha256:
            words += (self.sha256,)
        if self.action in ("offset", "upload"):
            words += (str(self.size_bytes),)
        if self.action == "upload":
            words += (str(self.offset_bytes),)
        return (*words, FORCE) if self.force else words


def parse_request(words: Sequence[str]) -> Request:
    """The request that these words are, to the letter. Raises OperatorError for any others."""
    line = " ".join(words)
    form = _FORMS.get(words[0]) if words else None
    match = None if form is None or len(line) > _LONGEST else re.fullmatch(form, line)
    if match is None:
        raise OperatorError(
            f"{shown(line)} is not allowed: this only flashes models ({', '.join(ACTIONS)}), for `maskwatch flash`"
        )
    parts = match.groupdict()
    request = Request(
        words[0],
        parts.get("sha256") or "",
        int(parts.get("size") or 0),
        int(parts.get("offset") or 0),
        bool(parts.get("force")),
    )
    if request.action in ("offset", "upload"):
        if not 0 < request.size_bytes <= MAX_BUNDLE_BYTES:
            raise OperatorError(f"{request.size_bytes} bytes: a bundle has 1 to {MAX_BUNDLE_BYTES}")
        if request.offset_bytes > request.size_bytes:
            raise OperatorError(f"offset {request.offset_bytes} lies behind the end, {request.size_bytes}")
    return request


def words_of_command(command: str) -> list[str]:
    """The words of a command as sshd passes it on, behind `maskwatch receive`. Raises OperatorError for another."""
    words = command.split(" ")
    if tuple(words[: len(COMMAND)]) != COMMAND or len(command) > _LONGEST:
        raise OperatorError(f"{shown(command)} is not allowed: this login only flashes models, by `maskwatch flash`")
    return words[len(COMMAND) :]


def answer_line(answer: Mapping[str, object]) -> str:
    """An answer as one line of ASCII."""
    return f"{MARK} {json.dumps(answer, allow_nan=False)}"


def find_answer(output: bytes) -> dict[str, object] | None:
    """The last answer among what a login printed; None where there is none."""
    start = f"{MARK} ".encode()
    for line in reversed(output.splitlines()):
        if line.startswith(start):
            try:
                value = loads(line[len(start) :])
            except SchemaError:
                return None
            return value if isinstance(value, dict) else None
    return None


Report = Callable[[int, int], None]
"""Told how many bytes of how many are there."""
