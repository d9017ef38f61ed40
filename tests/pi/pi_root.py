"""A Debian bookworm root filesystem for arm64: Python, numpy, LiteRT, and a QEMU that runs them on this machine.

apt resolves, downloads and verifies the packages; they are unpacked without their scripts, so that no arm64 program has
to run meanwhile and nothing is installed on this machine. Nothing is mounted in it: /proc/cpuinfo is a plain file that
says to XNNPACK what a Pi's would. Built once, in a temporary folder that is renamed when all is there.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maskwatch.errors import MaskwatchError, OperatorError, TryAgainError
from pi_mirror import debian_mirror

RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
GUEST_PACKAGES = ("python3-numpy", "libstdc++6")
QEMU_PACKAGE = "qemu-user"  # qemu-user-static has no plugins
LITERT = "ai-edge-litert"
LITERT_FOLDER = "opt/litert"
GLIBC_MINORS = range(17, 37)
"""Of the manylinux wheels that bookworm's glibc, 2.36, runs."""

COMPLETE = "maskwatch-packages"
"""A file in the root filesystem that names what was put into it."""

TOOLS = {
    "apt-get": "apt", "dpkg-deb": "dpkg", "tar": "tar", "gcc": "gcc", "chroot": "coreutils", "unshare": "util-linux",
}  # fmt: skip
LIMIT_S = 1800
ENVIRONMENT = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}


def root_folder() -> Path:
    """Where the root filesystem is or will be."""
    chosen = os.environ.get("MASKWATCH_PI_ROOT")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen or Path(cache) / "maskwatch" / f"pi-root-{RELEASE}").absolute()


def check_tools() -> None:
    """Raises OperatorError, which names all packages to install, unless everything is there."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None]
    if not KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        raise OperatorError(f"bench-pi needs Debian packages: sudo apt-get install {' '.join(missing)}")
    chroot_command()


def chroot_command() -> list[str]:
    """What changes the root: chroot for root, else chroot in a user namespace. Raises OperatorError without either."""
    if os.geteuid() == 0:
        return ["chroot"]
    inside = ["unshare", "--map-root-user", "chroot"]
    if subprocess.run([*inside, "/", "true"], env=ENVIRONMENT, capture_output=True, check=False).returncode:
        raise OperatorError("bench-pi needs root here: sudo make bench-pi")
    return inside


def locked_requirement(lock: str, name: str) -> str:
    """One package's lines in a lock file, version and hashes. Raises OperatorError where there are none."""
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if found is None:
        raise OperatorError(f"the lock file has no {name}: run `make lock`")
    return found[0]


def locked_version(requirement: str) -> str:
    """`2.3.0`, of a requirement's lines."""
    return requirement.split("==")[1].split()[0]


@contextmanager
def operators_fault(root: Path) -> Iterator[None]:
    """Turn what the disk refuses into an OperatorError."""
    try:
        yield
    except MaskwatchError:
        raise
    except OSError as error:
        raise OperatorError(f"{root}: {error.strerror or error}; MASKWATCH_PI_ROOT names another place") from error


@contextmanager
def locked_root(root: Path) -> Iterator[None]:
    """Hold the root filesystem for oneself. Raises TryAgainError where another process holds it."""
    with operators_fault(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        file = open(root.with_name(f"{root.name}.lock"), "a", encoding="utf-8")  # noqa: SIM115 (closed below)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryAgainError(f"{root}: another bench-pi is at work in it; wait for its end") from error
        yield


def is_complete(root: Path, requirement: str) -> bool:
    """Tell whether the folder holds all that this version of the benchmark puts there."""
    mark = root / COMPLETE
    return mark.is_file() and mark.read_text(encoding="utf-8") == _inventory(requirement)


def build_root(root: Path, requirement: str) -> None:
    """Build the root filesystem; the caller holds its lock. An older one is replaced, anything else is left alone.

    Raises OperatorError where the folder holds something else, TryAgainError where a download fails.
    """
    if root.exists() and not (root / COMPLETE).is_file() and any(root.iterdir()):
        raise OperatorError(f"{root}: holds something else; MASKWATCH_PI_ROOT must name a new or an empty folder")
    for left_over in root.parent.glob(f"{root.name}.partial-*"):
        shutil.rmtree(left_over)
    work = Path(tempfile.mkdtemp(prefix=f"{root.name}.partial-", dir=root.parent))
    try:
        fresh = work / "root"
        _lay_out(fresh)
        ours = run_tool(["dpkg", "--print-architecture"]).strip()
        wanted = [*(f"{package}:arm64" for package in GUEST_PACKAGES), f"{QEMU_PACKAGE}:{ours}"]
        for package in download_packages(work / "apt", wanted, ours):
            unpack(package, fresh)
        _install_litert(fresh, requirement, work / "requirements.txt")
        (fresh / COMPLETE).write_text(_inventory(requirement), encoding="utf-8")
        if root.exists():
            root.rename(work / "old")
        fresh.rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run_tool(words: Sequence[str | Path], **variables: str) -> str:
    """Run a program of this machine; returns its stdout. Raises TryAgainError, with its last complaint."""
    done = subprocess.run(
        list(map(str, words)), env=ENVIRONMENT | variables, stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", errors="replace", timeout=LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        complaint = next((line for line in said if line.startswith(("E:", "ERROR:"))), said[-1])
        raise TryAgainError(f"{Path(words[0]).name} failed: {complaint.strip()[:300]}")
    return done.stdout


def _inventory(requirement: str) -> str:
    return "\n".join([RELEASE, *GUEST_PACKAGES, QEMU_PACKAGE, f"{LITERT} {locked_version(requirement)}", ""])


def _lay_out(root: Path) -> None:
    """The folders and links that Debian's packages expect, and what a Pi's kernel tells of its processors."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "tmp", "opt", "sys/devices/system/cpu"):
        (root / name).mkdir(parents=True)
    for name in ("possible", "present"):
        (root / "sys/devices/system/cpu" / name).write_text("0-3\n", encoding="ascii")


def download_packages(folder: Path, wanted: Sequence[str], ours: str = "arm64") -> list[Path]:
    """Have apt download packages and all they depend on, `NAME:arm64` or of `ours`, this machine's architecture."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()  # nothing is installed
    source = f"deb [signed-by={KEYRING}] {debian_mirror(Path('/etc/apt'))} {RELEASE} main\n"
    (folder / "sources.list").write_text(source, encoding="utf-8")
    (folder / "apt.conf").write_text(_apt_settings(folder, ours), encoding="utf-8")
    apt = {"APT_CONFIG": str(folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
    run_tool(["apt-get", "update", "--error-on=any"], **apt)
    run_tool(["apt-get", "install", "--yes", "--download-only", *wanted], **apt)
    return sorted((folder / "cache/archives").glob("*.deb"))


def _apt_settings(folder: Path, architecture: str) -> str:
    """An apt that knows of nothing but its own folder, and of this machine's proxies."""
    dumped = run_tool(["apt-config", "dump"]).splitlines()
    reached = [line for line in dumped if re.match(r"Acquire::(https?::|ForceIPv[46] )", line)]
    architectures = dict.fromkeys(["arm64", architecture])
    settings = {
        "APT::Architecture": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # the folder is the caller's alone
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
    }
    lines = [f'{name} "{value}";' for name, value in settings.items()]
    return "\n".join([*reached, *lines, *(f'APT::Architectures:: "{name}";' for name in architectures), ""])


def unpack(package: Path, root: Path) -> None:
    """Lay out a package's files, without its scripts. Raises OperatorError."""
    archive = ["dpkg-deb", "--fsys-tarfile", str(package)]
    words = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(root)]
    with subprocess.Popen(archive, env=ENVIRONMENT, stdout=subprocess.PIPE) as reading:
        done = subprocess.run(
            words, env=ENVIRONMENT, stdin=reading.stdout, capture_output=True, timeout=LIMIT_S, check=False
        )
    if reading.returncode or done.returncode:
        raise OperatorError(f"{package.name} cannot be unpacked; is the disk full?")


def _install_litert(root: Path, requirement: str, requirements: Path) -> None:
    """The locked wheel for arm64, and none of its dependencies: the interpreter needs numpy alone."""
    requirements.write_text(requirement, encoding="utf-8")
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC_MINORS] + ["manylinux2014_aarch64"]
    run_tool([
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--require-hashes", "--implementation", "cp", "--python-version", "3.11",
        *(f"--platform={platform}" for platform in platforms),
        "--target", root / LITERT_FOLDER, "--requirement", requirements,
    ])  # fmt: skip
