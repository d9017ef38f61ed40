"""Debian's kernel for arm64 virtual machines, and an initramfs of our own that finds the disk and starts one program.

The kernel is unpacked, not installed, and kept in the cache. The initramfs is made for each run: it brings along, in
/run, what the guest is to run, so that nothing of the test lies on the disk whose power is cut.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from debian_root import cache_folder, locked
from pi_root import ENVIRONMENT, download_packages, run_tool, unpack

PACKAGES = ("linux-image-cloud-arm64:arm64", "busybox-static:arm64")
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "ext4", "crc32c_generic")
MOUNT_OPTIONS = "rw,noatime"
"""Raspberry Pi OS's, `defaults,noatime`; ext4's own defaults are data=ordered and commit=5."""

GUEST_FOLDER = "/run/power-cut"

INIT = f"""#!/bin/busybox sh
box=/bin/busybox
$box mount -t devtmpfs dev /dev
$box mount -t proc proc /proc
$box mount -t sysfs sys /sys
for module in $($box cat /modules/order); do $box insmod /modules/$module; done
until [ -b /dev/vda ]; do $box sleep 0.1; done
$box mount -t ext4 -o {MOUNT_OPTIONS} /dev/vda /disk || exec $box poweroff -f
$box mount -t tmpfs -o mode=755 run /disk/run
$box mount -t tmpfs -o mode=1777 tmp /disk/tmp
$box mv /guest /disk{GUEST_FOLDER}
for place in dev proc sys; do $box mount --move /$place /disk/$place; done
exec $box switch_root /disk /bin/sh -c 'exec /opt/maskwatch/venv/bin/python {GUEST_FOLDER}/vm_guest.py'
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A folder with `vmlinuz`, `busybox`, and `modules`: a folder with those that are needed and their `order`."""

    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "vmlinuz"


def kept_kernel() -> Kernel:
    """Download and unpack it, unless that is done. Raises TryAgainError."""
    folder = cache_folder() / "vm-kernel-arm64"
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = " ".join((*PACKAGES, *MODULES))
    with locked(folder):
        mark = folder / "complete"
        if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _fetch(folder)
            mark.write_text(wanted, encoding="utf-8")
    return Kernel(folder)


def write_initramfs(path: Path, kernel: Kernel, guest: Mapping[str, bytes]) -> None:
    """An initramfs whose guest finds these files in GUEST_FOLDER, and runs its `vm_guest.py` as process 1."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in ("bin", "dev", "proc", "sys", "disk", "guest"):
            (root / name).mkdir()
        shutil.copytree(kernel.folder / "modules", root / "modules")
        shutil.copy(kernel.folder / "busybox", root / "bin")
        for name, content in guest.items():
            (root / "guest" / name).write_bytes(content)
        init = root / "init"
        init.write_text(INIT, encoding="ascii")
        init.chmod(0o755)
        names = "\n".join(sorted(str(found.relative_to(root)) for found in root.rglob("*")))
        with path.open("wb") as file:
            subprocess.run(
                ["cpio", "--quiet", "--create", "--format=newc"], cwd=root, env=ENVIRONMENT, stdout=file,
                input=names.encode(), check=True,
            )  # fmt: skip


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place, "root")
        root.mkdir()
        for package in download_packages(Path(place, "apt"), PACKAGES):
            if package.name.startswith(("linux-image-", "busybox-static_")):
                unpack(package, root)
        (image,) = (root / "boot").glob("vmlinuz-*")
        shutil.move(image, folder / "vmlinuz")
        (busybox,) = root.glob("*bin/busybox")
        shutil.move(busybox, folder / "busybox")
        _pick_modules(root, image.name.removeprefix("vmlinuz-"), folder / "modules")


def _pick_modules(root: Path, version: str, target: Path) -> None:
    """Those that are needed, and the order in which they load; what the kernel has built in is none."""
    run_tool(["depmod", "--basedir", root, version])
    target.mkdir()
    shown = run_tool(["modprobe", "--dirname", root, "--set-version", version, "--show-depends", "--all", *MODULES])
    order = dict.fromkeys(line.split()[1] for line in shown.splitlines() if line.startswith("insmod "))
    for path in order:
        shutil.copy(path, target)
    (target / "order").write_text("\n".join(Path(path).name for path in order), encoding="ascii")
