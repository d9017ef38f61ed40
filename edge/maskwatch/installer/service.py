"""The service: known to systemd, started at boot, at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from maskwatch.errors import OperatorError
from maskwatch.installer.places import DROP_IN, ENABLED, SERVICE, UNIT, VENV, VENVS
from maskwatch.installer.system import System

READY_LIMIT_S = 190.0
"""A little more than the unit's TimeoutStartSec."""

BLIND_LIMIT_S = 15.0
"""So long it may say that it has no camera: one that is slow to come is found again by then."""

PAUSE_S = 1.0
LOG_LINES = 2

BLIND = "no_camera"
"""How the service's status begins without a camera: types.Situation's word, which cannot be had without numpy."""

_PROPERTIES = ("LoadState", "NeedDaemonReload", "ActiveState", "SubState", "MainPID", "InvocationID", "StatusText")
_WHY = "see why: sudo maskwatch doctor"


def state_of(system: System) -> dict[str, str]:
    """The unit's properties, as systemd names them; nothing where no systemd answers."""
    answer = system.ask("systemctl", "show", SERVICE, f"--property={','.join(_PROPERTIES)}") or ""
    return {name: value for name, _, value in (line.partition("=") for line in answer.splitlines())}


def _log(system: System, invocation: str) -> str:
    """The service's own last words, as one line."""
    words = system.ask("journalctl", f"_SYSTEMD_INVOCATION_ID={invocation}", "--output=cat", "--no-pager") or ""
    return " | ".join(list(dict.fromkeys(words.splitlines()))[-LOG_LINES:])


@dataclass(frozen=True, slots=True)
class Reloaded:
    """systemd has read the unit's files as they are now."""

    name: str = "systemd"

    def settled(self, system: System) -> str | None:
        """Whether it has nothing to read."""
        state = state_of(system)
        stale = state.get("NeedDaemonReload") != "no" or bool({UNIT, DROP_IN} & system.changed)
        return None if stale else "has read the service's files"

    def act(self, system: System) -> str:
        """Have it read them."""
        system.run("systemctl", "daemon-reload")
        return "has read the service's files"


@dataclass(frozen=True, slots=True)
class Enabled:
    """The service starts at boot."""

    name: str = "start at boot"

    def settled(self, system: System) -> str | None:
        """Whether it does."""
        return "enabled" if system.exists(ENABLED) else None

    def act(self, system: System) -> str:
        """Let it."""
        system.run("systemctl", "enable", SERVICE)
        return "enabled"


@dataclass(frozen=True, slots=True)
class Started:
    """The service runs, in its newest version, and has judged a picture."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    name: str = "service"

    def settled(self, system: System) -> str | None:
        """Whether the process that runs is of the environment that counts, and nothing of it has changed."""
        state = state_of(system)
        if state.get("ActiveState") not in ("active", "reloading") or {UNIT, DROP_IN, VENV} & system.changed:
            return None
        command = system.read(f"/proc/{state.get('MainPID', '')}/cmdline") or b""
        current = (system.target(VENV) or "").rpartition("/")[2]
        if not command.startswith(f"{VENVS}/{current}/".encode()):
            return None
        return f"runs, says: {state.get('StatusText') or 'nothing'}"

    def act(self, system: System) -> str:
        """Start it, or start it again, and wait until it is ready.

        Raises OperatorError where it does not get ready: it is installed then, and systemd goes on trying.
        """
        system.say(f"{self.name}: starting; waiting for its first picture, {READY_LIMIT_S:.0f} s at most")
        before = state_of(system).get("InvocationID", "")
        system.run("systemctl", "restart", "--no-block", SERVICE)
        return "would be ready" if system.dry else self._wait(system, before)

    def _wait(self, system: System, before: str) -> str:
        """Wait for what was started after the invocation `before`, until it is ready or its end is clear."""
        begun_s = self.clock()
        blind_since_s: float | None = None
        ours = ""
        while self.clock() - begun_s < READY_LIMIT_S:
            state = state_of(system)
            invocation, says = state.get("InvocationID", ""), state.get("StatusText", "")
            if invocation == before:  # still the one that goes
                self.sleep(PAUSE_S)
                continue
            ours = ours or invocation
            if state.get("ActiveState") == "failed" or state.get("SubState") == "auto-restart" or invocation != ours:
                raise OperatorError(
                    f"installed, but the service ends as soon as it starts: {_log(system, ours)}; {_WHY}"
                )
            if state.get("ActiveState") == "active":
                return f"runs, says: {says or 'nothing'}"
            if not says.startswith(BLIND):
                blind_since_s = None
            elif blind_since_s is None:
                blind_since_s = self.clock()
            elif self.clock() - blind_since_s >= BLIND_LIMIT_S:
                raise OperatorError(
                    f"installed and started, but it says: {says}. It finds a camera by itself once one is there; {_WHY}"
                )
            self.sleep(PAUSE_S)
        raise OperatorError(f"installed and started, but no picture was judged in {READY_LIMIT_S:.0f} s; {_WHY}")


@dataclass(frozen=True, slots=True)
class Stopped:
    """The service neither runs nor starts at boot."""

    name: str = "service"

    def settled(self, system: System) -> str | None:
        """Whether that is so."""
        if system.exists(ENABLED):
            return None
        if system.live and state_of(system).get("ActiveState", "inactive") not in ("inactive", "failed"):
            return None
        return "neither runs nor starts at boot"

    def act(self, system: System) -> str:
        """Stop it, which switches the lights off, and disable it."""
        if system.live:
            system.run("systemctl", "stop", SERVICE)
        if system.exists(UNIT):
            system.run("systemctl", "disable", SERVICE)
        system.remove(ENABLED)
        return "stopped and disabled"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """systemd knows no such service any more."""

    name: str = "systemd"

    def settled(self, system: System) -> str | None:
        """Whether it does not."""
        known = state_of(system).get("LoadState", "not-found") != "not-found"
        return None if known or UNIT in system.changed else "knows no such service"

    def act(self, system: System) -> str:
        """Have it look again."""
        system.run("systemctl", "daemon-reload")
        system.attempt("systemctl", "reset-failed", SERVICE)  # fails where nothing had
        return "has forgotten the service"
