"""The user that the service runs as, the login that may flash, and the folders of both."""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch.installer.places import FLASH_HOME, FLASH_USER, GROUPS, SETTINGS, SLOTS, STATE, SYSUSERS, TMPFILES, USER
from maskwatch.installer.system import System, words_of

LAST_SYSTEM_ID = 999
"""Debian's: above it are people."""


@dataclass(frozen=True, slots=True)
class User:
    """The service's user with its groups, and the login that may flash, made by systemd-sysusers."""

    name: str = "user"

    def settled(self, system: System) -> str | None:
        """Whether both are there, and the first in its groups."""
        members = {row[0]: row[3].split(",") for row in _rows(system, "/etc/group") if len(row) > 3}
        both = _row(system) is not None and _row(system, FLASH_USER) is not None
        there = both and all(USER in members.get(group, []) for group in GROUPS)
        return f"{USER}, in {words_of(GROUPS)}" if there else None

    def act(self, system: System) -> str:
        """Make them."""
        system.run("systemd-sysusers", SYSUSERS)
        return f"made {USER}, in {words_of(GROUPS)}, and {FLASH_USER}"


@dataclass(frozen=True, slots=True)
class NoUser:
    """No such users."""

    name: str = "user"

    def settled(self, system: System) -> str | None:
        """Whether there is none of Maskwatch's."""
        if is_login(system):
            return f"{USER} is a login account, not Maskwatch's"
        return None if self._there(system) else f"no {USER}"

    def act(self, system: System) -> str:
        """Remove them, with their own group and without their files."""
        for user in self._there(system):
            system.run("userdel", user)
        if USER in {row[0] for row in _rows(system, "/etc/group")} and not system.dry:
            system.run("groupdel", USER)
        return f"removed {USER}; the groups {words_of(GROUPS)} are left"

    @staticmethod
    def _there(system: System) -> list[str]:
        """Those of both that are Maskwatch's own; last the one whose removal takes the group along."""
        return [user for user in (FLASH_USER, USER) if _row(system, user) is not None and not is_login(system, user)]


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of settings, state, slots and keys, made by systemd-tmpfiles, and all state owned by the user."""

    name: str = "folders"

    def settled(self, system: System) -> str | None:
        """Whether all are there and the state is its own: a user who was made anew may have got another number."""
        rights = (system.mode(STATE), system.mode(SLOTS))
        there = system.exists(SETTINGS) and system.exists(f"{FLASH_HOME}/.ssh") and rights == (0o750, 0o2770)
        return f"{SETTINGS}, {STATE}" if there and not self._strangers(system) else None

    def act(self, system: System) -> str:
        """Make them."""
        system.run("systemd-tmpfiles", "--create", TMPFILES)
        if self._strangers(system):
            system.run("chown", "--recursive", "--no-dereference", f"{USER}:{USER}", STATE)
        return f"made {SETTINGS} and {STATE}"

    @staticmethod
    def _strangers(system: System) -> bool:
        """Whether anything in the state is someone else's: neither the service's nor what was flashed."""
        ids = [_ids(system, user) for user in (USER, FLASH_USER)]
        return ids[0] is not None and not system.owners(STATE) <= set(ids)


def is_login(system: System, user: str = USER) -> bool:
    """Whether somebody else's account has the user's name: not a system's number, or another home."""
    row = _row(system, user)
    home = {USER: STATE, FLASH_USER: FLASH_HOME}[user]
    return row is not None and not (0 < int(row[2]) <= LAST_SYSTEM_ID and row[5] == home)


def _rows(system: System, path: str) -> list[list[str]]:
    return [line.split(":") for line in (system.read(path) or b"").decode("utf-8", "replace").splitlines()]


def _ids(system: System, user: str = USER) -> tuple[int, int] | None:
    """A user's and its group's number; None where there is no such user."""
    row = _row(system, user)
    return (int(row[2]), int(row[3])) if row else None


def _row(system: System, user: str = USER) -> list[str] | None:
    """A user's line of /etc/passwd: name, password, its number, its group's, comment, home, shell."""
    return next((row for row in _rows(system, "/etc/passwd") if row[0] == user and len(row) > 5), None)
