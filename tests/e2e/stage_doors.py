"""Doors behind an sshd: each has slots of its own, and a daemon that is played by a thread, or a real one."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from maskwatch.slots.store import Slots
from maskwatch.status import Status
from maskwatch.status_socket import served
from maskwatch.trust import trust_of
from plain_status import PLAIN
from real_command import COMMAND
from sshd import Sshd, forced

LOOK_S = 0.05

Habit = Literal["confirms", "rolls back", "does nothing", "away"]

FAULT = "the networks failed on a frame"


@dataclass
class PlayedDoor:
    """A door's slots, and what its daemon does with a trial."""

    name: str
    folder: Path
    habit: Habit = "confirms"
    trust: Path | None = None
    program: tuple[str | Path, ...] = (COMMAND,)
    model_sha256: str | None = None
    trials: int = 0
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.slots = Slots(self.folder / "slots", trust_of(self._trust / "allowed_signers"))

    @property
    def _trust(self) -> Path:
        return self.folder if self.trust is None else self.trust

    @property
    def socket(self) -> Path:
        return self.folder / "status.sock"

    def receive_words(self) -> list[str | Path]:
        return ["receive", "--slots", self.slots.folder, "--socket", self.socket, "--trust", self._trust]

    def status(self) -> Status:
        return dataclasses.replace(PLAIN, model=None, model_sha256=self.model_sha256)

    def live(self) -> None:
        """What a daemon does within a second."""
        choice = self.slots.choose()
        if choice.slot is None or choice.sha256 is None:
            return
        if self.habit != "does nothing":
            self.model_sha256 = choice.sha256
        if not choice.trying:
            return
        if self.habit == "confirms":
            self.slots.confirm("healthy", sha256=choice.sha256)
        elif self.habit == "rolls back":
            self.slots.roll_back(FAULT, sha256=choice.sha256)
        else:
            return
        self.trials += 1


@contextmanager
def played(sshd: Sshd, doors: list[PlayedDoor], lines: str = "") -> Iterator[None]:
    """Let these doors live, and be hosts of this sshd, with `lines` of the client's configuration."""
    stopping = threading.Event()

    def live() -> None:
        while not stopping.wait(LOOK_S):
            for door in doors:
                if door.habit != "away":
                    door.live()

    with ExitStack() as stack:
        for door in doors:
            sshd.add_host(door.name, forced(*door.receive_words(), program=door.program), lines=lines)
            if door.habit != "away":
                stack.enter_context(served(door.socket, door.status))
        thread = threading.Thread(target=live, name="doors")
        thread.start()
        stack.callback(thread.join, 10.0)
        stack.callback(stopping.set)
        yield
