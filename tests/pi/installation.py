"""Maskwatch's installer as tests run it: from the clone, without a network, with wheels that were downloaded before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from debian_root import Debian, Root, cache_folder, locked
from maskwatch.cameras.portrait import PORTRAIT, find_portrait
from pi_root import GLIBC_MINORS, run_tool

CLONE = Path(__file__).parents[2]
CLONE_PARTS = ("edge", "train", "convert", "locks", "systemd", "LICENSE", "README.md", "pyproject.toml")
CLONE_INSIDE, WHEELS_INSIDE = Path("/root/clone"), Path("/root/wheels")
TFLITE_RUNTIME = (
    "tflite-runtime==2.14.0 --hash=sha256:ce9fa5d770a9725c746dcbf6f59f3178233b3759f09982e8b2db8d2234c333b0\n"
)
"""The last one, for Python 3.11 on arm64. No lock has it, as no door may use it."""

INSTALL_LIMIT_S = 900
"""Under QEMU, which is some twenty times slower, on a busy machine."""


@dataclass(frozen=True)
class Steps:
    """What a run of the installer answered."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"

    @property
    def lines(self) -> list[str]:
        """A line for each step."""
        return self.out.splitlines()


def wheels(debian: Debian) -> Path:
    """A folder with the wheels that the locks name for a system; they are kept."""
    names = ["pi-bookworm.txt", "pi-lgpio.txt"] if debian.release == "bookworm" else ["pi-trixie.txt"]
    lock = "".join((CLONE / "locks" / name).read_text(encoding="utf-8") for name in names)
    return _kept_wheels(debian, debian.name, lock)


def tflite_runtime() -> Path:
    """The wheel of tflite-runtime for Bookworm on arm64; it is kept."""
    (wheel,) = _kept_wheels(Debian("bookworm", "arm64"), "tflite-runtime", TFLITE_RUNTIME).glob("*.whl")
    return wheel


def _kept_wheels(debian: Debian, name: str, requirements: str) -> Path:
    folder = cache_folder() / f"wheels-{name}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        wanted = folder / "requirements.txt"
        if not wanted.is_file() or wanted.read_text(encoding="utf-8") != requirements:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fresh = folder / "fresh.txt"
            fresh.write_text(requirements, encoding="utf-8")
            _download(debian, fresh, folder)
            fresh.rename(wanted)
    return folder


def _download(debian: Debian, requirements: Path, folder: Path) -> None:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[debian.architecture]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [f"manylinux2014_{machine}"]
    run_tool([
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--require-hashes", "--implementation", "cp", "--python-version", debian.python,
        *(f"--platform={platform}" for platform in platforms), "--dest", folder, "--requirement", requirements,
    ])  # fmt: skip


def copy_clone(folder: Path) -> Path:
    """What is needed of the clone, as it is now: a developer may be at work in it."""
    for name in CLONE_PARTS:
        source, target = CLONE / name, folder / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def install(root: Root, clone: Path, *words: str | Path) -> Steps:
    """Run a clone's installer on this machine for another root: `maskwatch install WORDS… --root DIR`."""
    return _from_outside(root, clone, "install", "--from", clone, *words)


def uninstall(root: Root, clone: Path, *words: str | Path) -> Steps:
    """Run `maskwatch uninstall WORDS… --root DIR`."""
    return _from_outside(root, clone, "uninstall", *words)


def _from_outside(root: Root, clone: Path, *words: str | Path) -> Steps:
    # -S: no site-packages, as the installer must do with Python's own library.
    ours = [sys.executable, "-S", "-B", "-m", "maskwatch.cli", *words, "--root", root.path]
    done = subprocess.run(
        root.command(*ours), env=os.environ | {"PYTHONPATH": str(clone / "edge")} | _emulated(root), cwd=clone,
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", timeout=INSTALL_LIMIT_S,
        check=False,
    )  # fmt: skip
    return Steps(done.returncode, done.stdout, done.stderr)


def _emulated(root: Root) -> dict[str, str]:
    return {name: value for name, value in root.environment().items() if name == "QEMU_CPU"}


def hand_over(root: Root) -> None:
    """Put the clone, the wheels and the demo's portrait into a root in which the installer will be run from inside."""
    copy_clone(root.path / CLONE_INSIDE.relative_to("/"))
    shutil.copytree(wheels(root.debian), root.path / WHEELS_INSIDE.relative_to("/"))
    give_portrait(root)


def give_chip(root: Root, folder: Path) -> None:
    """Put the chip of files where `PYTHONPATH` finds it and `GPIOZERO_PIN_FACTORY=files` chooses it."""
    target = root.path / folder.relative_to("/")
    target.mkdir()
    shutil.copy(Path(__file__).with_name("chip_of_files.py"), target)
    about = target / "chip_of_files-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: chip-of-files\nVersion: 1\n", encoding="ascii")
    entry = "[gpiozero_pin_factories]\nfiles = chip_of_files:FileFactory\n"
    (about / "entry_points.txt").write_text(entry, encoding="ascii")


def give_portrait(root: Root) -> None:
    """The demo needs one picture of matplotlib, and nothing else of it."""
    target = root.path / "usr/lib/python3/dist-packages/matplotlib" / PORTRAIT
    target.parent.mkdir(parents=True)
    shutil.copy(find_portrait(), target)
