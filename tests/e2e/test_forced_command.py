"""The login that flashes, behind a real sshd that allows all that it can: the key's own options must forbid it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from maskwatch.flash.protocol import MARK
from sshd import LIMIT_S, Sshd, forced, free_port
from stage_doors import PlayedDoor

OTHERS = [
    ("id",),
    ("sudo", "id", "state"),
    ("maskwatch", "run"),
    ("maskwatch", "receive", "state; id"),
    ("maskwatch", "receive", "state", "&&", "id"),
    ("maskwatch", "receive", "$(id)"),
    ("maskwatch", "receive", "--slots", "/tmp", "state"),
    ("maskwatch", "receive", "state\nid"),
    ("scp", "-t", "/tmp/x"),
    ("/usr/lib/openssh/sftp-server",),
    ("internal-sftp",),
    ("rsync", "--server", ".", "/tmp"),
]


@pytest.fixture
def host(sshd: Sshd, place: Path) -> str:
    """A host whose key may flash, beside `free`, whose key may do anything: what one cannot, the other can."""
    door = PlayedDoor("door", place / "door")
    sshd.add_host("door", forced(*door.receive_words()))
    sshd.add_host("free", "")
    return "door"


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line that says no."""
    assert (done.returncode, done.stdout) == (3, b"")
    line = done.stderr.decode()
    assert line.startswith("maskwatch: ")
    assert line.count("\n") == 1
    return line


def test_it_answers_flash(sshd: Sshd, host: str) -> None:
    done = sshd.ssh(host, "maskwatch receive state")
    assert (done.returncode, done.stderr) == (0, b"")
    mark, _, answer = done.stdout.decode().partition(" ")
    assert mark == MARK
    assert json.loads(answer)["active"]["slot"] is None


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_another_command_is_refused(sshd: Sshd, host: str, words: tuple[str, ...]) -> None:
    assert "is not allowed: this" in refusal(sshd.ssh(host, " ".join(words)))


def test_a_shell_is_refused(sshd: Sshd, host: str) -> None:
    assert "has no shell: use maskwatch flash" in refusal(sshd.ssh(host, options=["-T"]))


def test_a_terminal_is_refused(sshd: Sshd, host: str) -> None:
    refused = b"PTY allocation request failed"
    assert refused in sshd.ssh(host, "maskwatch receive state", options=["-tt"]).stderr
    assert refused not in sshd.ssh("free", "true", options=["-tt"]).stderr


def test_file_transfer_is_refused(sshd: Sshd, host: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    def put(to: str, mode: str) -> int:
        words = ["scp", "-q", mode, "-F", str(sshd.config), tmp_path / "mine", f"{to}:{tmp_path}/{to}{mode}"]
        return subprocess.run(words, capture_output=True, timeout=LIMIT_S, check=False).returncode

    for mode in ("-s", "-O"):  # by SFTP, and by scp's own protocol
        assert put(host, mode) != 0
        assert put("free", mode) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "free-s", "free-O"}


@contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT_S)
        yield server, server.getsockname()[1]


def test_a_way_to_another_port_is_refused(sshd: Sshd, host: str) -> None:
    with listening() as (server, port):
        for name in (host, "free"):
            command = ["ssh", "-F", str(sshd.config), "-W", f"127.0.0.1:{port}", name]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as ssh:
                if name == "free":
                    server.accept()[0].close()
                _, said = ssh.communicate(timeout=LIMIT_S)
                assert (b"administratively prohibited" in said) is (name == host)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_port_for_others_is_refused(sshd: Sshd, host: str) -> None:
    options = ["-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{free_port()}:127.0.0.1:1"]
    done = sshd.ssh(host, "maskwatch receive state", options=options)
    assert (done.returncode, b"remote port forwarding failed" in done.stderr) == (255, True)
    assert sshd.ssh("free", "true", options=options).returncode == 0


def test_the_key_has_no_right_but_its_command(sshd: Sshd, host: str) -> None:
    """As sshd itself tells a client that asks for details."""

    def rights(name: str) -> set[str]:
        said = sshd.ssh(name, "maskwatch receive state", options=["-v"]).stderr.decode()
        return set(said.partition("key options: ")[2].splitlines()[0].split())

    assert rights(host) == {"command"}
    assert {"agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding"} <= rights("free")
