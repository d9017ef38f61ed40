"""What comes from apt."""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch.errors import MaskwatchError
from maskwatch.installer import facts
from maskwatch.installer.commands import Completed, fault_of
from maskwatch.installer.packages import APT_FOR_PIP, APT_REQUIRED, APT_WHERE_KNOWN
from maskwatch.installer.system import LONG_S, System, words_of

INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
UPDATE = ("apt-get", "update")


@dataclass(frozen=True, slots=True)
class AptPackages:
    """The packages that are built for the system's own Python and kernel."""

    network: bool = True
    """Without it, apt is asked only where something is missing that nothing goes without."""
    name: str = "apt packages"

    def settled(self, system: System) -> str | None:
        """Whether all that apt knows are installed."""
        missing = self._missing(system)
        if missing & self._required or (self.network and facts.known_packages(system, missing)):
            return None
        return f"installed{_left_out(missing, 'apt does not know' if self.network else 'apt was not asked for')}"

    def act(self, system: System) -> str:
        """Have apt fetch its lists and install what is missing and known."""
        missing = self._missing(system)
        system.say(f"{self.name}: {words_of(sorted(missing))}, which may take minutes")
        if system.ask("dpkg", "--audit"):  # a power cut while packages were unpacked
            system.run("dpkg", "--configure", "-a", limit_s=LONG_S)
        updated = system.attempt(*UPDATE, limit_s=LONG_S)
        known = missing if system.dry else facts.known_packages(system, missing)
        unknown = missing - known
        if updated.code or unknown & self._required:
            raise self._fault(updated, unknown)
        system.run(*INSTALL, *sorted(known), limit_s=LONG_S)
        return f"installed {words_of(sorted(known))}{_left_out(unknown)}"

    @property
    def _required(self) -> set[str]:
        return {*APT_REQUIRED, APT_FOR_PIP} if self.network else {*APT_REQUIRED}

    def _missing(self, system: System) -> set[str]:
        wanted = self._required | set(APT_WHERE_KNOWN)
        return wanted - facts.installed_packages(system, wanted)

    def _fault(self, updated: Completed, unknown: set[str]) -> MaskwatchError:
        if updated.code == 0:
            lacking = words_of(sorted(unknown & self._required))
            updated = Completed(1, "", f"{updated.said}\nE: apt knows no {lacking}")
        return fault_of(UPDATE, updated)


def _left_out(unknown: set[str], why: str = "apt does not know") -> str:
    """What is said of packages that go missing."""
    named = [f"{name} ({APT_WHERE_KNOWN[name]})" for name in sorted(unknown)]
    return f"; {why} {words_of(named)}" if named else ""
