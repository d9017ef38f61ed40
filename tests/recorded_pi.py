"""What Raspberry Pis answer to the doctor's questions, recorded; a machine is put together from such answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from maskwatch.cameras.base import Camera
from maskwatch.cameras.fake import FakeCamera, Show, noise_picture
from maskwatch.doctor.gpiochip import Line
from maskwatch.doctor.probes import Account, Disk, Probes

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
"""A month after the tiny bundle was made."""

MEMINFO = """\
MemTotal:        3884136 kB
MemFree:         2410128 kB
MemAvailable:    3301220 kB
Buffers:           76944 kB
"""

RUNNING = """\
MainPID=712
NRestarts=0
SupplementaryGroups=video gpio
User=maskwatch
Result=success
StatusText=nobody: 0 seen, 0 unmasked
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
"""

NOT_FOUND = """\
MainPID=0
NRestarts=0
Result=success
LoadState=not-found
ActiveState=inactive
SubState=dead
"""

FILES = {"/proc/meminfo": MEMINFO, "/sys/class/thermal/thermal_zone0/temp": "48686\n"}
COMMANDS = {"systemctl": RUNNING, "timedatectl": "yes\n", "vcgencmd": "throttled=0x0\n"}


def service(**changes: str) -> str:
    """What `systemctl show` says of a service that differs from the running one."""
    properties = dict(line.split("=", 1) for line in RUNNING.splitlines()) | changes
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def working_camera() -> Camera:
    return FakeCamera([Show(noise_picture(seed)) for seed in range(30)])


def healthy_pi(
    files: Mapping[str, str | None] | None = None,
    commands: Mapping[str, str | None] | None = None,
    camera: Callable[[], Camera] = working_camera,
    **changes: object,
) -> Probes:
    """A Pi that is well, but for these changes; None takes one away. Commands go by their first word."""
    all_files, all_commands = FILES | dict(files or {}), COMMANDS | dict(commands or {})
    parts: dict[str, object] = {
        "read": all_files.get,
        "run": lambda program, *words: all_commands.get(program),
        "now": lambda: NOW,
        "me": lambda: Account("pi", False, frozenset({"pi", "video", "gpio", "sudo"})),
        "account": lambda name: Account(name, False, frozenset({name})),
        "disk": lambda folder: Disk(Path("/var/lib/maskwatch"), 20_000 * 2**20, False),
        "lines": lambda pins: {pin: Line(False, "") for pin in pins},
        "make_camera": lambda settings: camera(),
    }
    return Probes(**(parts | changes))
