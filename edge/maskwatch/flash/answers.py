"""What a door answers, read with care: it may be of another version, or no friend.

Keys that are not known here are passed over, so that a newer door can be flashed; what is needed must be as it should.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from maskwatch.errors import OperatorError

T = TypeVar("T")

MAX_TEXT = 400
"""Characters of a text that are kept."""

MAX_HEALTHY_FRAMES = 1000
"""Twenty times what a door asks for."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot: which bundle, its state, and why it failed."""

    sha256: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Daemon:
    """What a door's daemon says: `sha256` is the model's in memory, None before there is one.

    `frames` have been judged since its start, None where it does not say.
    """

    sha256: str | None
    camera_fault: str | None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class DoorState:
    """A door: what it is to run (`sha256`, `model`, whether that is on trial), both slots, and its daemon.

    `daemon` is None where it did not answer, `fault` says why then, and `runs` whether it runs; None: nobody can tell.
    `healthy_frames` must be judged well to confirm a trial, 0 where it does not say.
    """

    sha256: str
    model: str
    trying: bool
    slots: tuple[SlotView, ...]
    may_change: bool
    daemon: Daemon | None
    fault: str
    runs: bool | None
    healthy_frames: int = 0

    def slot_with(self, sha256: str) -> SlotView | None:
        """The slot that holds this bundle."""
        return next((slot for slot in self.slots if slot.sha256 == sha256), None)

    @property
    def complaint(self) -> str:
        """What keeps the daemon from confirming a trial, where that can be told."""
        if self.fault:
            fault = self.fault.partition("; ")[0]
            return f"{fault}; start it: sudo systemctl start maskwatch" if self.runs is False else fault
        lost = None if self.daemon is None else self.daemon.camera_fault
        return f"the camera is lost: {lost}" if lost else ""


def read_state(answer: Mapping[str, object]) -> DoorState:
    """The state that an answer tells. Raises OperatorError where it tells none."""
    active = _table(answer, "active")
    slots = _table(answer, "slots")
    views = [_table(slots, name) for name in ("a", "b")]
    daemon = None if answer.get("daemon") is None else _table(answer, "daemon")
    return DoorState(
        _text(active, "sha256"),
        _text(active, "model"),
        _text(active, "state") == "trying",
        tuple(SlotView(_text(view, "sha256"), _text(view, "state"), _text(view, "reason")) for view in views),
        _of(answer, "may_change", bool),
        None if daemon is None else _daemon(daemon),
        _maybe(answer, "daemon_fault") or "",
        None if answer.get("daemon_runs") is None else _of(answer, "daemon_runs", bool),
        min(_count(slots, "healthy_frames") or 0, MAX_HEALTHY_FRAMES),
    )


def _daemon(daemon: Mapping[str, object]) -> Daemon:
    return Daemon(_maybe(daemon, "model_sha256"), _maybe(daemon, "camera_lost_reason"), _count(daemon, "frames"))


def read_bytes(answer: Mapping[str, object], size_bytes: int) -> int:
    """How many bytes of a bundle lie at the door. Raises OperatorError where that cannot be."""
    have_bytes = _of(answer, "have_bytes", int)
    if not 0 <= have_bytes <= size_bytes:
        raise _nonsense("have_bytes")
    return have_bytes


def read_busy(answer: Mapping[str, object]) -> bool:
    """Whether an upload of that bundle goes on there already. Raises OperatorError."""
    return _of(answer, "busy", bool)


def _table(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    return _of(table, key, dict)


def _text(table: Mapping[str, object], key: str) -> str:
    return _of(table, key, str)[:MAX_TEXT]


def _maybe(table: Mapping[str, object], key: str) -> str | None:
    return None if table.get(key) is None else _text(table, key)


def _count(table: Mapping[str, object], key: str) -> int | None:
    if table.get(key) is None:
        return None
    value = _of(table, key, int)
    if value < 0:
        raise _nonsense(key)
    return value


def _of(table: Mapping[str, object], key: str, kind: type[T]) -> T:
    value = table.get(key)
    if type(value) is not kind:  # not isinstance: True is no number here
        raise _nonsense(key)
    return value


def _nonsense(key: str) -> OperatorError:
    return OperatorError(f"its Maskwatch answers in another way ({key}): bring both to the same version")
