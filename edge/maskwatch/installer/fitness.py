"""Can this system have Maskwatch at all?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from maskwatch.errors import OperatorError
from maskwatch.installer import facts
from maskwatch.installer.account import is_login
from maskwatch.installer.packages import ARCHITECTURES, PYTHONS
from maskwatch.installer.places import COMMAND, PROGRAM, USER
from maskwatch.installer.system import System

SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_DEBIAN = "install Raspberry Pi OS Lite (64-bit), or Debian, of Bookworm or Trixie"


def require_root(system: System) -> None:
    """Raises OperatorError unless this process may change everything, or nothing is to be changed."""
    if not system.dry and os.geteuid() != 0:
        raise OperatorError("only root can do that: run it with sudo, or with --dry-run to see what it would do")


@dataclass(frozen=True, slots=True)
class Fit:
    """64 bits, Debian's apt, systemd, a Python that LiteRT has wheels for."""

    start: bool
    name: str = "system"

    def settled(self, system: System) -> str | None:
        """What kind of system it is. Raises OperatorError where Maskwatch cannot run there."""
        if not system.root.is_dir():
            raise OperatorError(f"{system.root} is no folder: --root must name a root filesystem")
        release = facts.os_release(system)
        title = release.get("PRETTY_NAME", "this system")
        architecture = facts.architecture(system)
        if architecture is None or not system.exists("/usr/bin/apt-get"):
            raise OperatorError(f"{title} has no dpkg and apt-get: {_DEBIAN}")
        if "debian" not in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
            raise OperatorError(f"{title} is not made like Debian: {_DEBIAN}")
        if architecture not in ARCHITECTURES:
            raise OperatorError(f"{title} is {architecture}, and there is a TFLite runtime for 64 bits only: {_DEBIAN}")
        if not any(system.exists(path) for path in SYSTEMD):
            raise OperatorError(f"{title} has no systemd, which keeps Maskwatch running: {_DEBIAN}")
        if system.root == Path("/") and self.start and not system.live:
            raise OperatorError("systemd does not run here, so nothing can be started: add --no-start")
        python = facts.python_version(system)
        _refuse_namesakes(system)
        return f"{title}, {architecture}, {_python(title, python)}"

    def act(self, system: System) -> str:
        """Never called: a system that does not fit is not changed."""
        raise AssertionError


def _refuse_namesakes(system: System) -> None:
    """Raises OperatorError where an account or a command of others has Maskwatch's name."""
    if is_login(system):
        raise OperatorError(
            f"{USER} is a login account here, and Maskwatch's own user needs that name: rename it, with usermod --login"
        )
    if system.exists(COMMAND) and system.target(COMMAND) != PROGRAM:
        raise OperatorError(f"{COMMAND} is there and not this installer's: move it away, then run this again")


def _python(title: str, version: str | None) -> str:
    if version is None:
        return "no Python yet"
    if tuple(map(int, version.split("."))) not in PYTHONS:
        first, last = (".".join(map(str, python)) for python in (PYTHONS[0], PYTHONS[-1]))
        raise OperatorError(f"{title} has Python {version}, and Maskwatch needs {first} to {last}: {_DEBIAN}")
    return f"Python {version}"
