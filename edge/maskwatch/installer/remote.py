"""The same over SSH: one wheel goes over, which is also the program that installs it. The system's own ssh does it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.installer.wheel import Wheel

SSH_FAILED = 255
"""What ssh says of itself; all else is the other side's word."""

UPLOAD_LIMIT_S = 1800.0
OPTIONS = ("ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4")
"""A machine that dies is given up after a minute; the silence of an apt or pip at work is another thing."""

MARK = "maskwatch-upload"
WHEELS = "wheels"

# A login may print a greeting: the answer is found by its mark. What fails leaves no folder behind.
_SWEEP = "trap 'rm -rf \"$folder\"' EXIT HUP INT TERM\n"
_UPLOAD = f"""
set -e
umask 077
folder=$(mktemp -d)
{_SWEEP}tar -xf - -C "$folder"
if [ "$(id -u)" = 0 ]; then how=root
elif ! command -v sudo > /dev/null; then how=none
elif sudo -n true 2> /dev/null; then how=sudo
else how=password; fi
python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || how=python
case $how in root|sudo|password) trap - EXIT;; esac
echo "{MARK} $how $folder"
"""

# -I: without it, a file of the login's home folder, where ssh begins, could stand in for a module, and run as root.
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from maskwatch.cli import main; sys.exit(main())"

_REFUSALS = {
    "none": "{host} has no sudo: log in as root@HOST",
    "python": "{host} has no Python 3.11 or later: install Raspberry Pi OS Lite (64-bit), of Bookworm or Trixie",
}


def install_over_ssh(host: str, wheel: Wheel, wheels: Path | None, words: Sequence[str]) -> int:
    """Run `maskwatch WORDS` as root at `host` from this wheel; returns its exit code.

    Raises OperatorError for a host that cannot have it, TryAgainError where ssh cannot reach it.
    """
    with _connected(host) as connection:
        brought = connection.upload([wheel.path], wheels)
        extra = ["--from", f"{brought.folder}/{wheel.path.name}"]
        if wheels is not None:
            extra += ["--wheels", f"{brought.folder}/{WHEELS}"]
        return connection.run(brought, wheel.path.name, [*words, *extra])


def uninstall_over_ssh(host: str, wheel: Wheel, words: Sequence[str]) -> int:
    """Run `maskwatch WORDS` as root at `host` from this wheel; returns its exit code. Raises as `install_over_ssh`."""
    with _connected(host) as connection:
        return connection.run(connection.upload([wheel.path], None), wheel.path.name, words)


@dataclass(frozen=True, slots=True)
class _Brought:
    """A folder at the other side, and whether sudo asks for a password there: root, sudo, password."""

    how: str
    folder: str


@dataclass(frozen=True, slots=True)
class _Connection:
    host: str
    ssh: tuple[str, ...]

    def upload(self, files: Sequence[Path], wheels: Path | None) -> _Brought:
        """Stream files, and the wheels of a folder, into a fresh folder at the other side."""
        command = [*self.ssh, self.host, _script(_UPLOAD)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sending:
            assert sending.stdin is not None
            with suppress(BrokenPipeError):  # its exit code says why
                _send(sending.stdin, files, wheels)
            sending.stdin = None
            try:
                answer, _ = sending.communicate(timeout=UPLOAD_LIMIT_S)
            except subprocess.TimeoutExpired as error:
                sending.kill()
                raise TryAgainError(f"{self.host}: the upload was not done after {UPLOAD_LIMIT_S:.0f} s") from error
        if sending.returncode == SSH_FAILED:
            raise TryAgainError(f"ssh cannot reach {self.host}: see what it says above, and try: ssh {self.host}")
        lines = [line.split(" ", 2) for line in answer.decode("utf-8", "replace").splitlines()]
        found = [line for line in lines if line[0] == MARK and len(line) == 3]
        if sending.returncode or not found:
            raise OperatorError(f"{self.host}: the upload failed (exit code {sending.returncode}); is its disk full?")
        _, how, folder = found[-1]
        if how in _REFUSALS:
            raise OperatorError(_REFUSALS[how].format(host=self.host))
        return _Brought(how, folder)

    def run(self, brought: _Brought, wheel: str, words: Sequence[str]) -> int:
        """Run the wheel as a program there; its folder is removed whatever comes."""
        program = ["python3", "-I", "-B", "-c", _PROGRAM, f"{brought.folder}/{wheel}", *words]
        sudo = {"root": [], "sudo": ["sudo", "-n"], "password": ["sudo"]}[brought.how]
        script = f"folder={shlex.quote(brought.folder)}\n{_SWEEP}{shlex.join([*sudo, *program])}\n"
        terminal = ["-t"] if brought.how == "password" else []
        stdin = None if terminal else subprocess.DEVNULL
        done = subprocess.run([*self.ssh, *terminal, self.host, _script(script)], stdin=stdin, check=False)
        if done.returncode == SSH_FAILED:
            raise TryAgainError(f"the connection to {self.host} broke: run this again, it goes on where it was")
        return done.returncode


@contextmanager
def _connected(host: str) -> Iterator[_Connection]:
    """One connection for all that follows, so that a password is asked for once."""
    if host.startswith("-") or not host.strip():
        raise OperatorError(f"{host!r} is no host: give USER@HOST")
    ssh = shutil.which("ssh")
    if ssh is None:
        raise OperatorError("there is no ssh here: sudo apt-get install openssh-client")
    # Short, and not in $TMPDIR, which macOS makes long: a socket's path has 100 letters at most.
    with tempfile.TemporaryDirectory(prefix="mw-", dir="/tmp") as folder:
        settings = (*OPTIONS, "ControlMaster=auto", f"ControlPath={folder}/%C", "ControlPersist=60")
        shared = (ssh, *(word for setting in settings for word in ("-o", setting)))
        try:
            yield _Connection(host, shared)
        finally:
            subprocess.run([*shared, "-O", "exit", host], capture_output=True, check=False)


def _send(stream: IO[bytes], files: Sequence[Path], wheels: Path | None) -> None:
    members = [(path, path.name) for path in files]
    if wheels is not None:
        members += [(path, f"{WHEELS}/{path.name}") for path in sorted(wheels.glob("*.whl"))]
    with stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for path, name in members:
            archive.add(path, name, recursive=False)


def _script(script: str) -> str:
    """A command that any login shell hands to sh."""
    return f"exec sh -c {shlex.quote(script)}"
