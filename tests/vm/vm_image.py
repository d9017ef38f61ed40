"""A door's disk: Debian for arm64 with Maskwatch installed by its own installer, as a raw ext4 image.

Made without loop devices, kept in the cache, and made anew when anything of the clone changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from debian_root import Debian, cache_folder, fresh_root, locked
from installation import copy_clone, install, wheels
from maskwatch.errors import TryAgainError
from pi_root import ENVIRONMENT, run_tool

DEBIAN = Debian("bookworm", "arm64")
SIZE = "1500M"
"""Sparse; the system takes half of it."""


def fresh_disk(folder: Path, tell: Callable[[str], None]) -> Path:
    """The disk of a door as the clone is now, to be written to; `tell` hears if it takes long. Raises TryAgainError."""
    kept, disk = cache_folder() / "vm-disk", folder / "disk.img"
    kept.mkdir(parents=True, exist_ok=True)
    with locked(kept), tempfile.TemporaryDirectory(prefix="clone-", dir=kept) as place:
        clone = copy_clone(Path(place))
        image = kept / f"{DEBIAN.name}-{_digest(clone)[:16]}.img"
        if not image.exists():
            tell("installing Maskwatch into a Debian for arm64: some minutes, once for each change of the clone")
            for old in kept.glob("*.img*"):
                old.unlink()
            _build(image, clone)
        run_tool(["cp", "--reflink=auto", "--sparse=always", image, disk])
    return disk


def file_system_faults(disk: Path) -> str:
    """What e2fsck has to say against the file system, its journal replayed; empty where all is well."""
    for words in (["-p", "-E", "journal_only"], ["-f", "-n"]):
        done = subprocess.run(
            ["e2fsck", *words, str(disk)], env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            return f"e2fsck, exit code {done.returncode}: {done.stdout.strip()}"
    return ""


def _build(image: Path, clone: Path) -> None:
    with fresh_root(DEBIAN) as root:
        steps = install(root, clone, "--wheels", wheels(DEBIAN))
        if steps.code:
            raise TryAgainError(f"the installer failed: {steps.err.strip().splitlines()[-1]}")
        (root.path / "etc/fstab").write_text("/dev/vda / ext4 defaults,noatime 0 1\n", encoding="ascii")
        shutil.rmtree(root.path / "var/lib/apt/lists", ignore_errors=True)
        partial = image.with_suffix(".img-partial")
        run_tool(["mke2fs", "-q", "-t", "ext4", "-d", root.path, "-L", "root", partial, SIZE])
        partial.rename(image)


def _digest(folder: Path) -> str:
    """Of all files and their places, and of how the image is made."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            digest.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
