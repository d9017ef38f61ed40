"""A real daemon as a door: the demo's pictures, no lights, slots and a status socket of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maskwatch import status_client
from maskwatch.errors import TryAgainError
from maskwatch.slots.store import Slots
from maskwatch.status import Status
from maskwatch.trust import trust_of
from real_command import COMMAND, users_environment

START_LIMIT_S = 60.0


@dataclass(frozen=True)
class RealDoor:
    """Where it all lies. `log` is what the daemon says."""

    folder: Path

    @property
    def slots(self) -> Slots:
        return Slots(self.folder / "slots", trust_of(self.folder / "allowed_signers"))

    @property
    def socket(self) -> Path:
        return self.folder / "status.sock"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    def receive_words(self) -> list[str | Path]:
        return ["receive", "--slots", self.slots.folder, "--socket", self.socket, "--trust", self.folder]

    def status(self) -> Status:
        return status_client.ask([self.socket])


@contextmanager
def watching(folder: Path) -> Iterator[RealDoor]:
    """A daemon that judges frames, until the block ends."""
    door = RealDoor(folder)
    folder.mkdir()
    words = [COMMAND, "run", "--source", "demo", "--indicator", "none", "--config", "/dev/null"]
    with door.log.open("wb") as log:
        daemon = subprocess.Popen(
            [*words, "--slots", door.slots.folder, "--trust", folder],
            env=users_environment() | {"RUNTIME_DIRECTORY": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for_frames(door, daemon)
        yield door
    finally:
        daemon.terminate()
        daemon.wait(START_LIMIT_S)


def wait_for_frames(door: RealDoor, daemon: subprocess.Popen[bytes]) -> None:
    limit_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit_s:
        assert daemon.poll() is None, door.log.read_text()
        try:
            for status in status_client.watch([door.socket]):
                if status.frames:
                    return
        except TryAgainError:  # nobody listens yet
            time.sleep(0.05)
    raise AssertionError(f"no frame was judged: {door.log.read_text()}")
