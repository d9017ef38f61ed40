"""`maskwatch receive`, the door's side: as sshd runs it, and as a login without a forced command does."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from maskwatch.flash.protocol import find_answer
from maskwatch.slots.store import Slots
from nobody import NOBODY
from real_command import COMMAND, LIMIT_S, Answer, users_environment
from signing_keys import allow, make_key, needs_ssh_keygen, signature_of


class DoorSide:
    """One door's `maskwatch receive`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots = Slots(folder / "slots", NOBODY)
        self.options = ["--slots", self.slots.folder, "--socket", folder / "none.sock", "--trust", folder]

    def run(self, words: list[str], asked_for: str | None = None, given: bytes = b"") -> Answer:
        extra: Mapping[str, str] = {} if asked_for is None else {"SSH_ORIGINAL_COMMAND": asked_for}
        done = subprocess.run(
            [COMMAND, "receive", *map(str, self.options), *words],
            env=users_environment() | extra,
            input=given,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ask(self, *words: str, given: bytes = b"") -> dict[str, Any]:
        done = self.run(list(words), given=given)
        assert (done.code, done.err) == (0, "")
        answer = find_answer(done.out.encode())
        assert answer is not None
        return answer


@pytest.fixture
def door(tmp_path: Path) -> DoorSide:
    return DoorSide(tmp_path)


def test_all_the_way_by_its_words(door: DoorSide, tiny_bundle_bytes: bytes) -> None:
    sha, size = hashlib.sha256(tiny_bundle_bytes).hexdigest(), str(len(tiny_bundle_bytes))
    assert door.ask("offset", sha, size) == {"have_bytes": 0, "busy": False}
    assert door.ask("upload", sha, size, "0", given=tiny_bundle_bytes[:1000]) == {"have_bytes": 1000}
    assert door.ask("offset", sha, size) == {"have_bytes": 1000, "busy": False}
    assert door.ask("upload", sha, size, "1000", given=tiny_bundle_bytes[1000:]) == {"have_bytes": int(size)}
    installed = door.ask("install", sha)
    assert installed["active"]["slot"] is None
    assert installed["slots"]["a"]["state"] == "verified"
    assert door.ask("activate", sha)["active"] == {"slot": "a", "sha256": sha, "model": "tiny 1.2.3", "state": "trying"}
    assert door.ask("rollback", "0" * 64)["active"]["state"] == "trying", "another's trial is nobody's business"
    assert door.ask("rollback", sha)["active"]["slot"] is None
    assert "not confirmed within its health window" in door.slots.read().a.reason
    door.ask("upload", sha, size, "0", given=tiny_bundle_bytes)
    door.ask("install", sha)
    refused = door.run(["activate", "0" * 64])
    assert (refused.code, "no slot holds that bundle, verified" in refused.err) == (3, True)
    door.ask("activate", sha)
    door.slots.confirm()
    assert door.ask("rollback", sha)["active"]["state"] == "confirmed", "a rollback ends a trial, and nothing else"


def test_the_state_tells_what_flash_wants_to_know(door: DoorSide) -> None:
    state = door.ask("state")
    assert state["active"]["model"].startswith("masknet ")
    assert state["may_change"] is True
    assert (state["daemon"], state["daemon_runs"]) == (None, False)
    assert "not running" in state["daemon_fault"]
    json.dumps(state)


def test_sshd_passes_on_what_was_asked_for(door: DoorSide) -> None:
    done = door.run([], "maskwatch receive state")
    assert (done.code, done.err) == (0, "")
    assert find_answer(done.out.encode()) is not None


@pytest.mark.parametrize(
    "asked_for",
    [
        "",
        "id",
        "sudo id state",
        "maskwatch slots list",
        "maskwatch receive",
        "maskwatch receive state; id",
        "x" * 100_000,
    ],
)
def test_anything_else_is_one_line_and_exit_3(door: DoorSide, asked_for: str) -> None:
    done = door.run([], asked_for)
    assert (done.code, done.out) == (3, "")
    assert "is not allowed" in done.fault()
    assert len(done.err) < 300


def test_a_login_for_a_shell_is_told_what_it_is(door: DoorSide) -> None:
    done = door.run([])
    assert (done.code, done.out) == (3, "")
    assert done.fault() == "this login only flashes models, and has no shell: use maskwatch flash"


def test_a_bundle_that_is_no_sound_one_is_refused_and_not_kept(door: DoorSide) -> None:
    data = b"PK\x03\x04 and so on"
    sha = hashlib.sha256(data).hexdigest()
    door.ask("upload", sha, str(len(data)), "0", given=data)
    done = door.run(["install", sha])
    assert (done.code, done.out) == (3, "")
    assert "the bundle: " in done.fault()
    assert door.ask("offset", sha, str(len(data)))["have_bytes"] == 0
    assert door.slots.read().changes == 0


@needs_ssh_keygen
def test_a_signature_comes_along_on_stdin(door: DoorSide, tiny_bundle_bytes: bytes) -> None:
    key = make_key(door.folder / "maria")
    allow(door.folder / "allowed_signers", "maria@example.org", key)
    sha, size = hashlib.sha256(tiny_bundle_bytes).hexdigest(), str(len(tiny_bundle_bytes))
    door.ask("upload", sha, size, "0", given=tiny_bundle_bytes)
    for wrong in (b"", b"no signature", signature_of(b"another file", key), bytes(100_000)):
        done = door.run(["install", sha], given=wrong)
        assert done.code == 3
        assert "sign" in done.fault()
    assert door.slots.read().changes == 0
    assert door.ask("install", sha, given=signature_of(tiny_bundle_bytes, key))["slots"]["a"]["signer"]


def test_what_was_never_uploaded_cannot_be_installed(door: DoorSide) -> None:
    done = door.run(["install", "a" * 64])
    assert (done.code, done.fault()) == (4, "that bundle is not here any more: upload it again")
