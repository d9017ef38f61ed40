"""What is done, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskwatch.installer import files
from maskwatch.installer.account import Folders, NoUser, User
from maskwatch.installer.apt import AptPackages
from maskwatch.installer.environment import Environment, OldEnvironments
from maskwatch.installer.fitness import Fit
from maskwatch.installer.places import (
    COMMAND,
    DROP_IN,
    DROP_INS,
    FLASH_HOME,
    HOME,
    PROGRAM,
    RUNTIME,
    SERVICE,
    SETTINGS,
    STATE,
    SYSUSERS,
    TMPFILES,
    UNIT,
    VENV,
    VENVS,
)
from maskwatch.installer.service import Enabled, Forgotten, Reloaded, Started, Stopped
from maskwatch.installer.step import Said, Step
from maskwatch.installer.system import System
from maskwatch.installer.wheel import Wheel


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller wants otherwise."""

    start: bool = True
    wheels: Path | None = None
    purge: bool = False


def install_plan(system: System, wheel: Wheel, options: Options) -> list[Step]:
    """The steps of an installation or an upgrade. Raises OperatorError where the wheel lacks a file."""
    start: list[Step] = [Said("service", f"not started; do it with: sudo systemctl restart {SERVICE}")]
    if options.start:
        start = [Started()]
    return [
        Fit(options.start),
        AptPackages(network=options.wheels is None),
        files.sysusers(wheel),
        User(),
        files.tmpfiles(wheel),
        Folders(),
        files.settings(wheel),
        Environment(wheel, options.wheels),
        files.OnPath(),
        files.unit(wheel),
        files.growing_pause(wheel),
        *([Reloaded()] if system.live else []),
        Enabled(),
        *(start if system.live else []),
        *([OldEnvironments()] if options.start or not system.live else []),  # what runs needs its environment
    ]


def uninstall_plan(system: System, options: Options) -> list[Step]:
    """The steps that take it all back."""
    kept: list[Step] = [
        Said("settings and state", f"kept; to remove them too: sudo rm -r {SETTINGS} {STATE} {FLASH_HOME}")
    ]
    if options.purge:
        kept = [
            files.Absent("settings", SETTINGS),
            files.Absent("state", STATE),
            files.Absent("flash login's keys", FLASH_HOME),
        ]
    return [
        Stopped(),
        files.Absent("growing pause", DROP_IN),
        files.Absent("drop-ins' folder", DROP_INS, only_empty=True),
        files.Absent("service's file", UNIT),
        *([Forgotten()] if system.live else []),
        files.Absent("run-time folder", RUNTIME),  # systemd leaves it where the service was waiting for a restart
        NoUser(),
        files.Absent("user's file", SYSUSERS),
        files.Absent("folders' file", TMPFILES),
        *kept,
        # Last: what was broken off before can be done again by the command itself.
        files.Absent("command", COMMAND, only_target=PROGRAM),
        files.Absent("environment", VENV),
        files.Absent("environments", VENVS),
        files.Absent("home folder", HOME, only_empty=True),
        Said("apt packages", "left, as others may need them"),
    ]
