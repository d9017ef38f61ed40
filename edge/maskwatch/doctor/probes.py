"""How the doctor looks at the machine: files, commands, clock, users, disks. Tests put recorded answers here."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.doctor.gpiochip import Line, read_lines

if TYPE_CHECKING:
    from maskwatch.cameras.base import Camera
    from maskwatch.config import CameraSettings

COMMAND_LIMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and the names of the groups whose rights it has."""

    name: str
    is_root: bool
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that a folder lies on."""

    folder: Path
    free_bytes: int
    read_only: bool


def read_file(path: str) -> str | None:
    """A small file's text; None where it is not there or cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def run_command(*words: str) -> str | None:
    """What a command says on stdout; None where there is no such command, it fails or does not end in time."""
    environment = os.environ | {"LC_ALL": "C", "SYSTEMD_PAGER": ""}
    try:
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_LIMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def current_account() -> Account:
    """The user of this process, with the groups that it has by now: a new membership counts from the next login."""
    user_id = os.geteuid()
    try:
        name = pwd.getpwuid(user_id).pw_name
    except KeyError:
        name = str(user_id)
    return Account(name, user_id == 0, _group_names({os.getegid(), *os.getgroups()}))


def account_named(name: str) -> Account | None:
    """A user of this system, by name; None where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid == 0, _group_names(os.getgrouplist(name, entry.pw_gid)))


def disk_of(folder: Path) -> Disk | None:
    """The disk of a folder, or of its nearest parent that is there; None where the system does not say."""
    for path in (folder, *folder.parents):
        try:
            status = os.statvfs(path)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return Disk(path, status.f_bavail * status.f_frsize, bool(status.f_flag & os.ST_RDONLY))
    return None


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def _group_names(numbers: Iterable[int]) -> frozenset[str]:
    names = set()
    for number in numbers:
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:  # a group without a name gives no right that we ask for
            continue
    return frozenset(names)


def _make_camera(settings: CameraSettings) -> Camera:
    from maskwatch.cameras import make_camera

    return make_camera(settings)


@dataclass(frozen=True, slots=True)
class Probes:
    """All that the checks may ask the machine. None raises, but `lines` (OSError) and `make_camera` (ConfigError)."""

    read: Callable[[str], str | None] = read_file
    run: Callable[..., str | None] = run_command
    now: Callable[[], datetime] = utc_now
    me: Callable[[], Account] = current_account
    account: Callable[[str], Account | None] = account_named
    disk: Callable[[Path], Disk | None] = disk_of
    lines: Callable[[Iterable[int]], Mapping[int, Line]] = read_lines
    make_camera: Callable[[CameraSettings], Camera] = _make_camera
