"""Runs programs, in this system or in another root, and says in one line what went wrong with one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from maskwatch.errors import MaskwatchError, OperatorError, TryAgainError

MISSING = 127
"""What shells say of a program that is not there."""

TOO_LONG = 124
"""What timeout(1) says of a program that took too long."""

TAIL_LINES = 3

_NETWORK = re.compile(
    r"Could not resolve|Temporary failure (in name resolution|resolving)|Name or service not known"
    r"|Network is unreachable"
    r"|Could not connect|Unable to connect|Cannot initiate the connection|Connection (timed out|refused|reset)"
    r"|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Max retries exceeded|Failed to fetch",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"CERTIFICATE_VERIFY_FAILED|ssl certificate|is not valid yet|certificate is not yet valid", re.I)
_BUSY = re.compile(r"Could not get lock|Unable to (acquire|lock)|is another process using it")
_COMPLAINT = re.compile(r"^(E|W|ERROR|error|fatal)\b ?:", re.IGNORECASE)

_ENTER = """
root=$1; shift
[ -e "$root/proc/self" ] || mount -t proc proc "$root/proc" 2>/dev/null || true
exec chroot "$root" "$@"
"""
"""Another root with /proc, which systemd's tools and Python ask for. Its mount ends with the command."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended: its exit code, what it answered on stdout, and all that it said, in order."""

    code: int
    answer: str
    said: str = ""


class Runner(Protocol):
    """Runs one program to its end."""

    def __call__(self, words: Sequence[str], root: Path, limit_s: float, *, ask: bool) -> Completed:
        """Run `words` in `root`. With `ask` only stdout is of interest, and `said` stays empty. Never raises."""


def run_program(words: Sequence[str], root: Path, limit_s: float, *, ask: bool) -> Completed:
    """Run a program; the Runner of all but tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    command = list(words)
    if root != Path("/"):
        environment["SYSTEMD_OFFLINE"] = "1"
        command = [*_entrance(), str(root), *words]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if ask else subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Completed(TOO_LONG, "", f"it was not done after {limit_s:.0f} s")
    except OSError as error:
        return Completed(MISSING, "", error.strerror or str(error))
    output = done.stdout.decode("utf-8", "replace")
    return Completed(done.returncode, output, "" if ask else output)


def fault_of(words: Sequence[str], completed: Completed) -> MaskwatchError:
    """What to raise for a program that failed: its name, its last words, and whether it may work later."""
    said = f"`{shown(words)}` failed: {last_words(completed)}"
    if _BUSY.search(completed.said):
        return TryAgainError(f"{said}; apt is busy: wait for it and run this again")
    if _CLOCK.search(completed.said):
        return TryAgainError(f"{said}; a certificate is not trusted: see whether the clock is right, with date")
    if _NETWORK.search(completed.said):
        return TryAgainError(f"{said}; this machine seems not to be on the internet: run this again when it is")
    return OperatorError(said)


def last_words(completed: Completed) -> str:
    """The complaints that a program ended with, or else its last lines, as one line."""
    lines = [line.strip() for line in completed.said.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.match(line)]
    chosen = (complaints or lines)[-TAIL_LINES:]
    return " | ".join(line[:200] for line in chosen) or f"exit code {completed.code}"


def shown(words: Sequence[str]) -> str:
    """A command as one would type it, cut off where it is long."""
    line = shlex.join(words)
    return line if len(line) <= 160 else f"{line[:157]}..."


def _entrance() -> list[str]:
    """What a command in another root starts with; its root follows."""
    unshare = shutil.which("unshare")
    if unshare is not None:
        own = [unshare, "--mount", "--propagation", "private"]
        if subprocess.run([*own, "true"], capture_output=True, check=False).returncode == 0:
            return [*own, "sh", "-c", _ENTER, "sh"]
    return ["chroot"]
