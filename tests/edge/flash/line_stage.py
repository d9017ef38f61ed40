"""A door behind a line that breaks where a test wants it to: real receiver and slots, but no ssh, daemon or time."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maskwatch.errors import MaskwatchError
from maskwatch.flash.door import Door, Terms
from maskwatch.flash.line import Stopper
from maskwatch.flash.parcel import Parcel
from maskwatch.flash.protocol import Report, Request, answer_line, find_answer, parse_request
from maskwatch.flash.result import Result, Step
from maskwatch.flash.ssh import ASK_S, UnreachableError
from maskwatch.incoming import Incoming
from maskwatch.receive import Receiver
from maskwatch.slots.store import Slots
from maskwatch.status import Status
from maskwatch.status_client import NotRunningError
from maskwatch.trust import trust_of
from plain_status import PLAIN

Break = Literal["before", "middle", "after", "short"]
"""Where a connection breaks: before the door hears of it, in mid-upload, or before its answer arrives; `short` is an
upload that ends early without anybody noticing."""

MAX_QUESTIONS = 20_000


@dataclass
class StagedDoor:
    """A door, and all that a flash may meet there. `breaks` says at which question, and how, the line breaks."""

    folder: Path
    breaks: Mapping[int, Break] = field(default_factory=dict)
    closed: frozenset[int] = frozenset()  # which attempts to connect fail
    live: Callable[[StagedDoor], object] = lambda door: door.confirm()
    hear: Callable[[StagedDoor, Request], object] = lambda door, request: None
    runs: bool = True
    change: Callable[[Request, dict[str, Any]], dict[str, Any]] = lambda request, answer: answer
    lie: Callable[[Request], dict[str, Any]] | None = None  # what it answers, and does nothing
    now_s: float = 0.0
    sudo: bool = False
    model_sha256: str | None = None
    frames: int = 0
    began_s: float = 0.0
    began_at: int = 0
    takes_bytes: int | None = None
    asked: list[Request] = field(default_factory=list)
    limits_s: list[float] = field(default_factory=list)
    given: list[bytes] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    told: list[tuple[Step, int, int]] = field(default_factory=list)
    connections: int = 0
    is_open: bool = False

    def __post_init__(self) -> None:
        self.slots = Slots(self.folder / "slots", trust_of(self.folder / "allowed_signers"))
        self.incoming = Incoming(self.slots.folder / "incoming")
        self.receiver = Receiver(self.slots, self.incoming, self.status)
        self.stopper = Stopper()

    # The daemon

    def status(self) -> Status:
        if not self.runs:
            raise NotRunningError("not running: nobody answers; start it")
        return dataclasses.replace(PLAIN, model_sha256=self.model_sha256, frames=self.frames)

    def confirm(self) -> None:
        choice = self.slots.choose()
        self.model_sha256 = choice.sha256
        if choice.trying:
            self.slots.confirm("healthy", sha256=choice.sha256)

    def abandon(self) -> None:
        choice = self.slots.choose()
        if choice.trying and choice.sha256 is not None:
            self.slots.roll_back("it saw faces everywhere", sha256=choice.sha256)

    # The line

    def open(self) -> None:
        assert not self.is_open
        self.connections += 1
        if self.connections - 1 in self.closed:
            raise UnreachableError("ssh: connect to host door: No route to host")
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def stop(self) -> None:
        pass

    def ask(
        self, request: Request, data: bytes = b"", limit_s: float = ASK_S, report: Report | None = None
    ) -> dict[str, Any]:
        assert self.is_open
        where = self.breaks.get(len(self.asked))
        self.asked.append(request)
        self.limits_s.append(limit_s)
        assert len(self.asked) < MAX_QUESTIONS, f"it asks for ever: {self.questions()[-6:]}"
        if where == "before":
            raise UnreachableError("Connection closed by door")
        self.hear(self, request)
        cut = data
        if where in ("middle", "short"):
            cut = data[: len(data) // 2 if self.takes_bytes is None else self.takes_bytes]
        self.given.append(cut)
        try:
            answer = self._answered(request, cut)
        finally:
            self.live(self)
        if report is not None:
            report(len(cut), len(data))
        if where in ("middle", "after"):
            raise UnreachableError("Connection reset by door")
        return answer

    def _answered(self, request: Request, data: bytes) -> dict[str, Any]:
        if self.lie is not None:
            return self.lie(request)
        with tempfile.TemporaryFile() as stream:
            stream.write(data)
            stream.seek(0)
            answer = self.receiver.answer(parse_request(request.words()), stream)
        told = find_answer(f"Welcome!\n{answer_line(answer)}\n".encode())
        assert told is not None
        return self.change(request, told)

    # The flash

    @contextmanager
    def line(self, host: str) -> Iterator[StagedDoor]:
        try:
            yield self
        finally:
            self.close()

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.live(self)

    def flash(self, parcel: Parcel, terms: Terms = Terms()) -> Result:  # noqa: B008 frozen
        def progress(step: Step, done: int, total: int) -> None:
            assert 0 <= done <= max(total, 0)
            self.told.append((step, done, total))
            if not self.steps or self.steps[-1] is not step:
                self.steps.append(step)

        door = Door(
            "door-1", parcel, terms, self.line, progress, self.stopper, clock=lambda: self.now_s, wait=self.wait
        )
        return door.flash()

    def questions(self) -> list[str]:
        return [request.action for request in self.asked]


def parcel_of(data: bytes) -> Parcel:
    return Parcel(data, b"", hashlib.sha256(data).hexdigest(), "tiny 1.2.3")


def refusing(error: MaskwatchError, action: str) -> Callable[[Request, dict[str, Any]], dict[str, Any]]:
    """An answer that is a fault."""

    def change(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        if request.action == action:
            raise error
        return answer

    return change
