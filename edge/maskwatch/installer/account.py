"""The user that the service runs as, and the folders that are its own."""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch.installer.places import GROUPS, SETTINGS, STATE, SYSUSERS, TMPFILES, USER
from maskwatch.installer.system import System, words_of

LAST_SYSTEM_ID = 999
"""Debian's: above it are people."""


@dataclass(frozen=True, slots=True)
class User:
    """The user and its groups, made by systemd-sysusers."""

    name: str = "user"

    def settled(self, system: System) -> str | None:
        """Whether it is there, and in its groups."""
        members = {row[0]: row[3].split(",") for row in _rows(system, "/etc/group") if len(row) > 3}
        there = _ids(system) is not None and all(USER in members.get(group, []) for group in GROUPS)
        return f"{USER}, in {words_of(GROUPS)}" if there else None

    def act(self, system: System) -> str:
        """Make it."""
        system.run("systemd-sysusers", SYSUSERS)
        return f"made {USER}, in {words_of(GROUPS)}"


@dataclass(frozen=True, slots=True)
class NoUser:
    """No such user."""

    name: str = "user"

    def settled(self, system: System) -> str | None:
        """Whether there is none of Maskwatch's."""
        if is_login(system):
            return f"{USER} is a login account, not Maskwatch's"
        return f"no {USER}" if _ids(system) is None else None

    def act(self, system: System) -> str:
        """Remove it, with its own group and without its files."""
        system.run("userdel", USER)
        if USER in {row[0] for row in _rows(system, "/etc/group")} and not system.dry:
            system.run("groupdel", USER)
        return f"removed {USER}; the groups {words_of(GROUPS)} are left"


@dataclass(frozen=True, slots=True)
class Folders:
    """Settings' and state's folder, made by systemd-tmpfiles, and all state owned by the user."""

    name: str = "folders"

    def settled(self, system: System) -> str | None:
        """Whether both are there and the state is its own: a user who was made anew may have got another number."""
        there = system.exists(SETTINGS) and system.mode(STATE) == 0o750 and not self._strangers(system)
        return f"{SETTINGS}, {STATE}" if there else None

    def act(self, system: System) -> str:
        """Make them."""
        system.run("systemd-tmpfiles", "--create", TMPFILES)
        if self._strangers(system):
            system.run("chown", "--recursive", "--no-dereference", f"{USER}:{USER}", STATE)
        return f"made {SETTINGS} and {STATE}"

    @staticmethod
    def _strangers(system: System) -> bool:
        """Whether anything in the state is someone else's."""
        ids = _ids(system)
        return ids is not None and not system.owners(STATE) <= {ids}


def is_login(system: System) -> bool:
    """Whether somebody else's account has the user's name: not a system's number, or another home."""
    row = _row(system)
    return row is not None and not (0 < int(row[2]) <= LAST_SYSTEM_ID and row[5] == STATE)


def _rows(system: System, path: str) -> list[list[str]]:
    return [line.split(":") for line in (system.read(path) or b"").decode("utf-8", "replace").splitlines()]


def _ids(system: System) -> tuple[int, int] | None:
    """The user's and its group's number; None where there is no such user."""
    row = _row(system)
    return (int(row[2]), int(row[3])) if row else None


def _row(system: System) -> list[str] | None:
    """The user's line of /etc/passwd: name, password, its number, its group's, comment, home, shell."""
    return next((row for row in _rows(system, "/etc/passwd") if row[0] == USER and len(row) > 5), None)
