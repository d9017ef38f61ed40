"""What a system tells of itself, by files and by programs that change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from maskwatch.installer.system import System

PYTHON = "/usr/bin/python3"
"""The system's own, whichever one runs the installer: apt's packages are for it alone."""


def os_release(system: System) -> dict[str, str]:
    """The lines of /etc/os-release."""
    text = (system.read("/etc/os-release") or system.read("/usr/lib/os-release") or b"").decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip("\"'") for name, _, value in pairs}


def architecture(system: System) -> str | None:
    """What dpkg calls the processor: `arm64`; None where there is no dpkg."""
    return system.ask("dpkg", "--print-architecture")


def python_version(system: System) -> str | None:
    """`3.11`, of the system's Python; None where it has none."""
    found = re.search(r"python(\d+\.\d+)$", system.target(PYTHON) or "")
    return found[1] if found else None


def numpy_version(system: System) -> str | None:
    """The version of the numpy that the system's Python finds; None where it finds none."""
    return system.ask(PYTHON, "-I", "-c", "import numpy; print(numpy.__version__)")


def has_lgpio(system: System) -> bool:
    """Whether the system's Python finds lgpio; it is not imported, for it would leave a file behind."""
    find = "import sys, importlib.util as util; sys.exit(util.find_spec('lgpio') is None)"
    return system.ask(PYTHON, "-I", "-c", find) is not None


def systemd_version(system: System) -> int | None:
    """252, say; None where systemd is not installed."""
    found = re.match(r"\d+", system.ask("dpkg-query", "--show", "--showformat=${Version}", "systemd") or "")
    return int(found[0]) if found else None


def installed_packages(system: System, names: Iterable[str]) -> set[str]:
    """Those of the packages that are installed."""
    shown = system.ask("dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n")
    rows = (line.split() for line in (shown or "").splitlines())
    there = {row[0].partition(":")[0] for row in rows if row[1:] == ["installed"]}
    return there & set(names)


def known_packages(system: System, names: Iterable[str]) -> set[str]:
    """Those of the packages that apt could install, by its lists as they are."""
    known, name = set(), ""
    for line in (system.ask("apt-cache", "policy", *sorted(names)) or "").splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif re.match(r"\s+Candidate: (?!\(none\))", line):
            known.add(name)
    return known & set(names)
