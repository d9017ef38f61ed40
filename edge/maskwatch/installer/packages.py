"""The one place that names the packages of apt and pip, and how they are held."""

from __future__ import annotations

import re
from pathlib import Path

APT_REQUIRED = ("python3-venv", "python3-numpy")

APT_FOR_PIP = "ca-certificates"
"""Required where pip fetches from the network; every image has it, but not every bare root."""

APT_WHERE_KNOWN = {
    "python3-picamera2": "the ribbon-cable camera; Raspberry Pi OS alone has it",
    "python3-lgpio": "lights and buzzer; pip has it for Python 3.11 and 3.12",
}
"""Packages that not every system knows, and what goes without them. They bring kernel-near libraries that must fit the
system, so they come from apt and the virtual environment sees the system's packages."""

PYTHONS = ((3, 11), (3, 12), (3, 13))

ARCHITECTURES = {"arm64": "aarch64", "amd64": "x86_64"}
"""What dpkg and what Python call the processors that LiteRT and OpenCV have wheels for."""

LOCKS = {("3.11", "1.24"): "pi-bookworm.txt", ("3.13", "2.2"): "pi-trixie.txt"}
"""By the system's Python and its numpy: the file of exact versions and hashes, made by `make lock`."""

LGPIO_LOCK = "pi-lgpio.txt"
LGPIO = "lgpio>=0.2.2"
LGPIO_PYTHONS = ("3.11", "3.12")
"""Those that pip has an lgpio for, where apt has none."""

LITERT = "ai-edge-litert>=2.0.3,<3"
"""The only runtime: tflite-runtime 2.14 leaves int8 networks to other kernels than XNNPACK, on arm64 as on x86-64."""

GPIOZERO = "gpiozero>=2.0"
"""pip's: plain Debian's is 1.6."""

OPENCV = "opencv-python-headless>=4.8,<4.12"
"""Later arm64 wheels shrink pictures to other bytes than x86-64's; they also ask for numpy 2."""


def lock_name(python: str, numpy: str) -> str | None:
    """The lock for the system's Python (`3.11`) and numpy (`1.24.2`); None where there is none."""
    return LOCKS.get((python, ".".join(numpy.split(".")[:2])))


def locked_versions(lock: str) -> dict[str, str]:
    """Each package's exact version in the text of a lock."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))


def has_wheels(folder: Path, lock: str) -> bool:
    """Tell whether a folder holds a wheel of each package of a lock, in its version."""
    names = [path.name.lower() for path in folder.glob("*.whl")]
    wanted = [f"{_normal(package)}-{version}-" for package, version in locked_versions(lock).items()]
    return all(any(name.startswith(start) for name in names) for start in wanted)


def requirements() -> list[str]:
    """What pip is asked for where no lock fits; numpy itself is the system's."""
    return [LITERT, GPIOZERO, OPENCV]


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "_", package).lower()
