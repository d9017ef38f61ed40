"""One boot of an arm64 virtual machine, from its start to the moment when its power is cut.

The disk is `cache=writethrough`: what the guest's disk has acknowledged lies in the image, and all that the guest only
holds in memory is gone with QEMU. It is as slow as a worn SD card, so that a write takes a while. There is no clock:
each boot is in 1970.
"""

from __future__ import annotations

import json
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from maskwatch.errors import OperatorError
from pi_root import ENVIRONMENT
from vm_kernel import Kernel

QEMU = "qemu-system-aarch64"
TOOLS = {
    QEMU: "qemu-system-arm", "mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "cpio": "cpio", "modprobe": "kmod",
    "depmod": "kmod",
}  # fmt: skip

PORT = "power-cut"
"""The virtio-serial port that the guest speaks through."""

MEMORY_MB = 1024
WRITES_PER_S = 25
WRITE_BYTES_PER_S = 3_000_000
SILENCE_LIMIT_S = 240.0
"""What a guest on a busy machine may take for one thing that it does."""

Word = dict[str, Any]


class GuestError(Exception):
    """The guest fell silent, or died without a cut."""


def check_tools() -> None:
    """Raises OperatorError, which names all packages to install, unless everything is there."""
    missing = {package for tool, package in TOOLS.items() if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None}
    if missing:
        raise OperatorError(f"power-cut-test needs Debian packages: apt-get install {' '.join(sorted(missing))}")


class Machine:
    """A running guest. Its console is appended to `log`."""

    def __init__(self, disk: Path, kernel: Kernel, initramfs: Path, log: Path) -> None:
        ours, its = socket.socketpair()
        with its, log.open("ab") as console:
            self._process = subprocess.Popen(
                _command(disk, kernel, initramfs, its.fileno()), env=ENVIRONMENT, pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._socket, self._log, self._rest = ours, log, b""
        self._words: list[Word] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def tell(self, **words: str) -> None:
        """Have the guest do something."""
        self._socket.sendall(f"{json.dumps(words)}\n".encode())

    def listen(self) -> Word:
        """The guest's next word, with the moment, `at_s`, when it came. Raises GuestError where none comes."""
        until_s = time.monotonic() + SILENCE_LIMIT_S
        while not self._words:
            ready, _, _ = select.select([self._socket], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                raise GuestError(f"the guest said nothing for {SILENCE_LIMIT_S:.0f} s: {self._last_line()}")
            if not self._receive():
                raise GuestError(f"the guest died by itself: {self._last_line()}")
        return self._words.pop(0)

    def wait(self, seconds: float) -> None:
        """Let so much time pass, with an ear to the guest: nothing that it says is lost."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left_s)[0] and not self._receive():
                return

    def cut(self) -> list[Word]:
        """Cut the power; returns what the guest had said that was not listened to yet."""
        self._process.kill()
        self._process.wait()
        while self._socket.fileno() >= 0 and self._receive():
            pass
        self._socket.close()
        words, self._words = self._words, []
        return words

    def _receive(self) -> bool:
        """Take in what lies there; False at the end."""
        data, now_s = self._socket.recv(65536), time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._words += [json.loads(line) | {"at_s": now_s} for line in lines]
        return bool(data)

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "its console is empty")


def _command(disk: Path, kernel: Kernel, initramfs: Path, port: int) -> list[str]:
    limits = f"throttling.iops-write={WRITES_PER_S},throttling.bps-write={WRITE_BYTES_PER_S}"
    return [
        QEMU, "-M", "virt", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(MEMORY_MB),
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-rtc", "base=1970-01-01T00:00:00", "-kernel", str(kernel.image), "-initrd", str(initramfs),
        "-append", "console=ttyAMA0 quiet panic=-1",
        "-drive", f"if=none,id=disk,format=raw,cache=writethrough,file={disk},{limits}",
        "-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci", "-chardev", f"socket,id=words,fd={port}",
        "-device", f"virtserialport,chardev=words,name={PORT}",
    ]  # fmt: skip
