"""The systemd service: how it stands, and whether its user may use camera and pins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maskwatch.doctor.findings import Finding, failed, ok, skipped, warning
from maskwatch.doctor.probes import Account, Probes
from maskwatch.types import Situation

if TYPE_CHECKING:
    from maskwatch.config import Settings

UNIT = "maskwatch.service"

MANY_RESTARTS = 3
"""So often a service may have been started again by itself since it was last started by hand."""

_PROPERTIES = (
    *("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "Result", "StatusText"),
    *("User", "SupplementaryGroups"),
)
_LOG = "see why: journalctl -u maskwatch -n 50"


@dataclass(frozen=True, slots=True)
class Service:
    """The unit's properties, as systemd names them."""

    properties: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def installed(self) -> bool:
        """Whether systemd knows the unit."""
        return self["LoadState"] == "loaded"

    @property
    def running(self) -> bool:
        """Whether it has a process, which may hold camera and pins."""
        return self["MainPID"] not in ("", "0")

    @property
    def blind(self) -> bool:
        """Whether it says that it has no camera."""
        return self["StatusText"].startswith(Situation.NO_CAMERA.value)

    @property
    def judging(self) -> bool:
        """Whether it has a camera and says what it sees there."""
        return self["ActiveState"] in ("active", "reloading") and not self.blind and self.says != ""

    @property
    def says(self) -> str:
        """Its status in its own words; empty before the first picture."""
        return self["StatusText"]


def service_of(probes: Probes) -> Service | None:
    """The service as systemd tells of it; None where no systemd answers."""
    answer = probes.run("systemctl", "show", UNIT, f"--property={','.join(_PROPERTIES)}")
    if answer is None or "LoadState=" not in answer:
        return None
    pairs = (line.partition("=") for line in answer.splitlines())
    return Service({name: value for name, _, value in pairs})


def check_service(probes: Probes) -> list[Finding]:
    """Whether the service runs, and will after the next boot."""
    service = service_of(probes)
    if service is None:
        return [skipped("service", "no systemd answers here")]
    if service["LoadState"] == "not-found":
        return [skipped("service", "not installed as a service")]
    if not service.installed:
        advice = f"look at the unit: systemctl cat {UNIT}"
        return [failed("service", f"systemd cannot use the unit ({service['LoadState']})", advice)]
    return [_state(service)]


def check_groups(settings: Settings, probes: Probes) -> list[Finding]:
    """Whether the user that the service runs as, or else the one who asks, may use what the settings name."""
    needed = set()
    if settings.camera.source == "picamera" or settings.camera.source.startswith("v4l2:"):
        needed.add("video")
    if settings.indicator.kind == "gpio":
        needed.add("gpio")
    if not needed:
        return [skipped("groups", "these settings need neither a camera's device nor pins")]
    service = service_of(probes)
    if service is None or not service.installed:
        account = probes.me()
        return [_groups(account, needed, "log in again")]
    name = service["User"] or "root"
    found = probes.account(name)
    if found is None:
        advice = "copy systemd/maskwatch.sysusers.conf to /etc/sysusers.d and run: sudo systemd-sysusers"
        return [failed("groups", f"the service's user {name} does not exist", advice)]
    account = Account(name, found.is_root, found.groups | set(service["SupplementaryGroups"].split()))
    return [_groups(account, needed, "sudo systemctl restart maskwatch")]


def _groups(account: Account, needed: set[str], then: str) -> Finding:
    if account.is_root:
        return ok("groups", f"{account.name} needs no groups")
    missing = sorted(needed - account.groups)
    if missing:
        advice = f"sudo usermod -aG {','.join(missing)} {account.name}, then {then}"
        return failed("groups", f"{account.name} is not in {' and '.join(missing)}", advice)
    return ok("groups", f"{account.name} is in {' and '.join(sorted(needed))}")


def _state(service: Service) -> Finding:
    active, state = service["ActiveState"], f"{service['ActiveState']} ({service['SubState']})"
    restarts = int(service["NRestarts"]) if service["NRestarts"].isdecimal() else 0
    if active == "failed" or service["SubState"] == "auto-restart":
        return failed("service", f"{state}, result: {service['Result']}, {restarts} restarts", _LOG)
    if active == "activating":
        return warning("service", f"{state}: no picture judged yet", f"ask again in a minute; {_LOG}")
    if active not in ("active", "reloading"):
        return warning("service", f"{state}: nobody watches the door", "sudo systemctl enable --now maskwatch")
    measured = f"{state}, says: {service.says or 'nothing'}"
    if service.blind:
        return warning("service", measured, "see what is said of the camera here")
    if restarts >= MANY_RESTARTS:
        return warning("service", f"{measured}; restarted {restarts} times by itself", _LOG)
    if service["UnitFileState"] == "disabled":
        return warning("service", f"{measured}; not started at boot", "sudo systemctl enable maskwatch")
    return ok("service", measured)
