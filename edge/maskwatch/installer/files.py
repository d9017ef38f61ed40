"""Single files and links: there, or gone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from maskwatch.installer import facts
from maskwatch.installer.places import COMMAND, CONFIG, DROP_IN, PROGRAM, SYSUSERS, TMPFILES, UNIT
from maskwatch.installer.system import System
from maskwatch.installer.wheel import DATA, Wheel

GROWING_PAUSE_SYSTEMD = 254
"""The first systemd that knows the drop-in's keys."""

CONFIG_HEAD = """\
# The settings of Maskwatch, each with its default. To change one, remove the # before it; then:
#   sudo systemctl reload maskwatch
"""


@dataclass(frozen=True, slots=True)
class Present:
    """A file with exactly this content."""

    name: str
    path: str
    content: bytes

    def settled(self, system: System) -> str | None:
        """Whether it is so, to the byte."""
        same = system.read(self.path) == self.content and system.mode(self.path) == 0o644
        return self.path if same and not system.exists(system.left_over(self.path)) else None

    def act(self, system: System) -> str:
        """Put it there, in the place of another."""
        there = system.exists(self.path)
        system.write(self.path, self.content)
        return f"{'replaced' if there else 'wrote'} {self.path}"


@dataclass(frozen=True, slots=True)
class Absent:
    """No such file, link or folder, nor what a power cut left of one."""

    name: str
    path: str
    only_target: str = ""
    """Where given, only a link to it is removed: anything else of that name is someone else's."""
    only_empty: bool = False

    def settled(self, system: System) -> str | None:
        """Whether there is none, or another's."""
        return None if system.exists(system.left_over(self.path)) else self._as_it_is(system)

    def act(self, system: System) -> str:
        """Remove it, with all in it."""
        system.remove(system.left_over(self.path))
        as_it_is = self._as_it_is(system)
        if as_it_is is None:
            system.remove(self.path)
        return as_it_is or f"removed {self.path}"

    def _as_it_is(self, system: System) -> str | None:
        if not system.exists(self.path):
            return f"no {self.path}"
        if self.only_target and system.target(self.path) != self.only_target:
            return f"{self.path} is not Maskwatch's"
        held = [name for name in system.names(self.path) if f"{self.path}/{name}" not in system.changed]
        if self.only_empty and held:
            return f"{self.path} holds files of yours"
        return None


@dataclass(frozen=True, slots=True)
class GrowingPause:
    """The drop-in for a systemd that understands it, and none for an older one."""

    content: bytes
    name: str = "growing pause"

    def settled(self, system: System) -> str | None:
        """Whether it is there or away, as this systemd needs it."""
        return self._wanted(system).settled(system)

    def act(self, system: System) -> str:
        """Put it there, or away."""
        return self._wanted(system).act(system)

    def _wanted(self, system: System) -> Present | Absent:
        version = facts.systemd_version(system)
        if version is not None and version >= GROWING_PAUSE_SYSTEMD:
            return Present(self.name, DROP_IN, self.content)
        return Absent(self.name, DROP_IN)


@dataclass(frozen=True, slots=True)
class Settings:
    """A file of settings: the owner's, or else all defaults, as comments that say what each is for."""

    example: str
    name: str = "settings"

    def settled(self, system: System) -> str | None:
        """Whether there is one; whatever it holds is kept."""
        return f"{CONFIG} is kept" if system.exists(CONFIG) else None

    def act(self, system: System) -> str:
        """Write the example."""
        system.write(CONFIG, commented(self.example).encode())
        return f"wrote {CONFIG}"


@dataclass(frozen=True, slots=True)
class OnPath:
    """The command, where every user's shell finds it."""

    name: str = "command"

    def settled(self, system: System) -> str | None:
        """Whether the link is there and right."""
        return COMMAND if system.target(COMMAND) == PROGRAM else None

    def act(self, system: System) -> str:
        """Make the link."""
        system.link(COMMAND, PROGRAM)
        return f"{COMMAND} leads to {PROGRAM}"


def commented(example: str) -> str:
    """The example with every key commented out, so that a later version's defaults are not overruled by these."""
    body = example.partition("\n\n")[2]
    return f"{CONFIG_HEAD}\n{re.sub(r'^(?=[a-z_]+ = )', '#', body, flags=re.MULTILINE)}"


def sysusers(wheel: Wheel) -> Present:
    """The file that names the user."""
    return Present("user's file", SYSUSERS, wheel.read(f"{DATA}/systemd/maskwatch.sysusers.conf"))


def tmpfiles(wheel: Wheel) -> Present:
    """The file that names the folders."""
    return Present("folders' file", TMPFILES, wheel.read(f"{DATA}/systemd/maskwatch.tmpfiles.conf"))


def unit(wheel: Wheel) -> Present:
    """The service."""
    return Present("service's file", UNIT, wheel.read(f"{DATA}/systemd/maskwatch.service"))


def growing_pause(wheel: Wheel) -> GrowingPause:
    """The service's drop-in."""
    return GrowingPause(wheel.read(f"{DATA}/systemd/maskwatch.service.d/growing-pause.conf"))


def settings(wheel: Wheel) -> Settings:
    """The settings."""
    return Settings(wheel.read(f"{DATA}/config.example.toml").decode())
