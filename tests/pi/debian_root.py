"""Debian root filesystems to install into: made once by debootstrap, kept, and copied for each use.

Those of another processor run under qemu-user, which the kernel must know for it (binfmt_misc). Nothing is ever mounted
in them but in a mount namespace of its own, so that a copy can always be removed.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench_pi import CORES
from pi_mirror import debian_mirror
from pi_root import ENVIRONMENT, KEYRING, run_tool

PACKAGES = ("systemd", "systemd-sysv", "dbus", "procps", "python3", "python3-venv", "python3-numpy")
"""What Raspberry Pi OS has by itself, and what README.md tells to install, as far as plain Debian has it."""

PI_4 = CORES[1]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
HANDLER = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
COMMAND_LIMIT_S = 300
INSIDE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}

NAMESPACE = ("unshare", "--mount", "--propagation", "private")

MOUNT = """
mount -t proc proc "$1/proc"
if [ -z "$2" ]; then
    mount -t sysfs -o ro sysfs "$1/sys"
else
    mount --bind "$2" "$1/proc/cpuinfo"
    mount -t tmpfs tmpfs "$1/sys"
    mkdir -p "$1/sys/devices/system/cpu"
    echo 0-3 | tee "$1/sys/devices/system/cpu/possible" > "$1/sys/devices/system/cpu/present"
fi
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Debian:
    """One kind of root filesystem: `bookworm` or `trixie`, for `arm64` or `amd64`."""

    release: str
    architecture: str

    @property
    def name(self) -> str:
        return f"debian-{self.release}-{self.architecture}"

    @property
    def python(self) -> str:
        """`3.11`."""
        return {"bookworm": "3.11", "trixie": "3.13"}[self.release]

    @property
    def is_foreign(self) -> bool:
        """Whether this machine's processor needs QEMU for it."""
        return MACHINES[self.architecture] != platform.machine()

    def lacks(self) -> str:
        """Why it can be neither made nor run here, and what to do; empty where it can."""
        if os.geteuid() != 0:
            return "needs root: sudo make test-pi"
        if shutil.which("debootstrap", path=ENVIRONMENT["PATH"]) is None or not KEYRING.exists():
            return "needs debootstrap: apt-get install debootstrap debian-archive-keyring"
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
            return "needs mount namespaces, which this machine refuses (a container without privileges?)"
        if not _makes_devices():
            return "needs device nodes, which this machine refuses (a container without privileges?)"
        if self.is_foreign and self.architecture != "arm64":
            return f"needs a machine of the architecture {self.architecture}"
        if self.is_foreign and not _runs_arm64():
            return (
                "needs qemu-user: apt-get install qemu-user-static binfmt-support, then "
                "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; update-binfmts --enable qemu-aarch64"
            )
        return ""


@dataclass(frozen=True, slots=True)
class Root:
    """A copy that belongs to its user."""

    debian: Debian
    path: Path

    def command(self, *words: str | Path) -> list[str]:
        """A command line for this machine that finds the copy's /proc and /sys mounted; foreign ones are a Pi 4's.

        XNNPACK needs both: it chooses its kernels by /proc/cpuinfo, and another processor's may make it crash.
        """
        cpuinfo = self.path.with_name("cpuinfo") if self.debian.is_foreign else ""
        if cpuinfo:
            cpuinfo.write_text(PI_4.cpuinfo(), encoding="ascii")
        return [*NAMESPACE, "sh", "-ec", MOUNT, "sh", str(self.path), str(cpuinfo), *map(str, words)]

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a command that is run by `command`."""
        return INSIDE | ({"QEMU_CPU": PI_4.name} if self.debian.is_foreign else {}) | dict(variables or {})

    def run(
        self, *words: str | Path, env: Mapping[str, str] | None = None, limit_s: float = COMMAND_LIMIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the root filesystem in it; never raises for what the program answers."""
        return subprocess.run(
            self.command("chroot", self.path, *words), env=self.environment(env), stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", errors="replace", timeout=limit_s, check=False,
        )  # fmt: skip

    def left_over(self, before: Collection[str]) -> list[str]:
        """What was not there before, but for folders of systemd's own layout."""
        return sorted(self.files() - set(before) - LAYOUT)

    def files(self) -> set[str]:
        """All that lies in it, as paths from its root: without bytecode, caches and what any boot or login leaves."""
        found: set[str] = set()
        for folder, folders, files in os.walk(self.path):
            inside = Path(folder).relative_to(self.path)
            folders[:] = [name for name in folders if name != "__pycache__" and not _is_passing(inside / name)]
            found.update(str(inside / name) for name in [*folders, *files] if not _is_passing(inside / name))
        return found


LAYOUT = {"etc/sysusers.d", "etc/tmpfiles.d"}
"""Folders that later systemds bring along themselves: they may stay, empty."""

PASSING = ("dev", "proc", "run", "sys", "tmp", "var/tmp", "var/log", "var/cache", "var/lib/systemd", "root/.cache")


def _is_passing(path: Path) -> bool:
    return str(path) in PASSING


def _makes_devices() -> bool:
    """Whether root is root enough for debootstrap."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.mknod(Path(folder) / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            return False
    return True


def _runs_arm64() -> bool:
    """Whether the kernel hands arm64's programs to QEMU, and keeps QEMU open for roots that do not hold it (F)."""
    try:
        lines = HANDLER.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return "enabled" in lines and any(line.startswith("flags:") and "F" in line for line in lines)


def cache_folder() -> Path:
    """Where downloads and root filesystems are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "maskwatch"


@contextmanager
def fresh_root(debian: Debian, more: Sequence[str] = ()) -> Iterator[Root]:
    """A copy of the root filesystem as debootstrap made it, for the time of the context; builds it where there is none.

    With `more` packages it is another one, kept beside. Raises TryAgainError where the build fails.
    """
    kept = _kept(debian, more)
    with tempfile.TemporaryDirectory(prefix=f"{debian.name}.copy-", dir=kept.parent) as folder:
        run_tool(["cp", "--archive", "--reflink=auto", kept / "root", folder])
        yield Root(debian, Path(folder) / "root")


def _kept(debian: Debian, more: Sequence[str]) -> Path:
    """The folder that holds it, as `root`, and a list of its packages beside it."""
    folder = cache_folder() / "+".join([debian.name, *more])
    folder.parent.mkdir(parents=True, exist_ok=True)
    packages = (*PACKAGES, *more)
    inventory = "\n".join([*packages, ""])
    with locked(folder):
        mark = folder / "packages"
        if not mark.is_file() or mark.read_text(encoding="utf-8") != inventory:
            for left_over in folder.parent.glob(f"{folder.name}.partial-*"):
                shutil.rmtree(left_over)
            work = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
            try:
                _debootstrap(debian, packages, work / "root")
                (work / "packages").write_text(inventory, encoding="utf-8")
                shutil.rmtree(folder, ignore_errors=True)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache for oneself; waits for whoever else is at work on it."""
    with open(folder.with_name(f"{folder.name}.lock"), "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _debootstrap(debian: Debian, packages: Sequence[str], root: Path) -> None:
    mirror = debian_mirror(Path("/etc/apt"))
    words: Sequence[str | Path] = [
        *NAMESPACE, "debootstrap", f"--arch={debian.architecture}", "--variant=minbase",
        f"--include={','.join(packages)}",
        f"--keyring={KEYRING}", debian.release, root, mirror,
    ]  # fmt: skip
    run_tool(words)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
