"""Uploads that break off, over a real sshd: the line is choked at a known byte, and the processes are killed there."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from flash_runs import Flash, answered, new_model
from flashing import command, environment, flash
from maskwatch.incoming import SILENCE_S
from sshd import Sshd, wait_until
from stage_doors import PlayedDoor, played
from test_flash import ssh_processes

pytestmark = pytest.mark.timeout(300)

CARD_BYTES = 3_000_000
CHOKED_BYTES = 1_200_000
WAIT_S = 90


@dataclass
class Choked:
    """A door behind a line that is choked once, and a bundle that is too large for what goes through before."""

    sshd: Sshd
    door: PlayedDoor
    bundle: Path
    note: Path

    def start(self) -> subprocess.Popen[str]:
        words = command(self.sshd, "door-1", self.bundle)
        pipe = subprocess.PIPE
        return subprocess.Popen(words, env=environment(self.sshd), stdout=pipe, stderr=pipe, text=True)

    def wait(self) -> int:
        """Until the line is choked, and what went through lies at the door; the line's process."""
        wait_until(lambda: self.note.exists() and self.part_bytes() > CHOKED_BYTES * 3 / 4)
        return int(self.note.read_text())

    def end_ssh(self) -> None:
        for process in ssh_processes(self.sshd):
            with suppress(ProcessLookupError):  # the others end with their master
                os.kill(process, signal.SIGKILL)
        wait_until(lambda: not ssh_processes(self.sshd))

    def clean_up(self) -> None:
        """What a flash that was killed could not: its masters' sockets."""
        for process in ssh_processes(self.sshd):
            for word in Path(f"/proc/{process}/cmdline").read_text().split("\0"):
                if word.startswith("ControlPath="):
                    shutil.rmtree(Path(word.partition("=")[2]).parent, ignore_errors=True)

    @property
    def part(self) -> Path:
        sha256 = hashlib.sha256(self.bundle.read_bytes()).hexdigest()
        return self.door.slots.folder / "incoming" / f"{sha256}.part"

    def part_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


@pytest.fixture(params=["ends"])
def choked(sshd: Sshd, place: Path, request: pytest.FixtureRequest) -> Iterator[Choked]:
    note = place / "choked"
    script = Path(__file__).with_name("choke.py")
    words = [sys.executable, script, sshd.port, CHOKED_BYTES, note, request.param]
    door = PlayedDoor("door-1", place / "door-1")
    with played(sshd, [door], lines=f"  ProxyCommand {shlex.join(map(str, words))}\n"):
        yield Choked(sshd, door, new_model(place, card=os.urandom(CARD_BYTES)), note)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    with process:
        try:
            yield process
        finally:
            process.kill()


def check_resumed(done: Flash, choked: Choked) -> None:
    one, size_bytes = done.one(), choked.bundle.stat().st_size
    assert (done.code, one["outcome"], one["reason"]) == (0, "confirmed", "")
    assert CHOKED_BYTES / 2 < one["resumed_bytes"] <= CHOKED_BYTES
    path = choked.door.slots.choose().path
    assert path is not None
    assert path.read_bytes() == choked.bundle.read_bytes()
    assert one["size_bytes"] == size_bytes
    assert ssh_processes(choked.sshd) == [], "a master that nobody could end was left behind"


def test_a_connection_that_is_killed_is_made_anew_and_the_upload_goes_on(choked: Choked) -> None:
    with ended(choked.start()) as process:
        choked.wait()
        choked.end_ssh()
        out, err = process.communicate(timeout=WAIT_S)
    done = answered(process.returncode, out, err)
    check_resumed(done, choked)
    assert "resumed at" in done.err


def begun_and_killed(choked: Choked) -> int:
    """An upload whose flash and ssh have been killed; the line's process."""
    with ended(choked.start()) as process:
        choke = choked.wait()
        process.kill()
        process.communicate(timeout=WAIT_S)
    choked.clean_up()
    choked.end_ssh()
    assert choked.door.slots.read().changes == 0, "the door's slots were not touched"
    return choke


def test_a_flash_that_is_killed_too_goes_on_at_the_next_one(choked: Choked) -> None:
    begun_and_killed(choked)
    done = flash(choked.sshd, "door-1", choked.bundle)
    check_resumed(done, choked)
    one = done.one()
    assert one["sent_bytes"] == one["size_bytes"] - one["resumed_bytes"]


@pytest.mark.parametrize("choked", ["hangs"], indirect=True)
def test_a_door_that_does_not_know_of_it_yet_gives_the_old_upload_up(choked: Choked) -> None:
    """As where a notebook has gone to sleep: TCP does not say so for hours."""
    choke = begun_and_killed(choked)
    try:
        done = flash(choked.sshd, "door-1", choked.bundle)
    finally:
        os.kill(choke, signal.SIGKILL)
    check_resumed(done, choked)
    one = done.one()
    assert one["sent_bytes"] == one["size_bytes"] - one["resumed_bytes"], "nothing is sent that is refused"
    assert one["seconds"] < SILENCE_S + 25


def test_a_part_that_was_spoilt_meanwhile_is_sent_again_whole(choked: Choked) -> None:
    begun_and_killed(choked)
    choked.part.write_bytes(bytes(choked.part_bytes()))
    done = flash(choked.sshd, "door-1", choked.bundle)
    one = done.one()
    assert (done.code, one["outcome"]) == (0, "confirmed")
    assert one["sent_bytes"] > one["size_bytes"]
