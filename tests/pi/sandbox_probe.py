"""Tries what the service's sandbox must refuse and what it must allow, and prints how each try ended, as JSON.

Run by the unit itself, and outside of it by the same user: what is refused in both tells nothing of the sandbox. Each
try has a process of its own, whose exit code is the errno.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

OPEN_FOLDERS = ("/etc/open", "/home/open", "/usr/open", "/srv/open")
"""Made by the test: anybody may write there."""

DEVICES = ("/srv/tun", "/srv/fuse")
"""Made by the test: nodes that anybody may open."""

CLONE_NEWUSER = 0x10000000
PERSONALITY_LINUX32 = 0x0008
UNKNOWN_FAULT = 255


def write(folder: str) -> None:
    path = Path(folder) / f"probe-{os.getpid()}"
    path.write_text("probe", encoding="ascii")
    path.unlink()


def change_slot(slots: str) -> None:
    """As a daemon notes how a trial went: under the lock, aside, synced, renamed, for the group to change too."""
    lock = os.open(f"{slots}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        aside = Path(slots) / f"a/.probe-{os.getpid()}"
        with aside.open("wb") as file:
            os.fchmod(file.fileno(), 0o660)
            os.fsync(file.fileno())
        probe = aside.rename(aside.with_name("probe"))
        folder = os.open(probe.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
        probe.unlink()
    finally:
        os.close(lock)


def set_user_id(folder: str) -> None:
    path = Path(folder) / f"probe-{os.getpid()}"
    path.write_text("probe", encoding="ascii")
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def open_device(path: str) -> None:
    os.close(os.open(path, os.O_RDWR))


def open_socket(family: int, kind: int = socket.SOCK_DGRAM) -> None:
    socket.socket(family, kind).close()


def call(name: str, argument: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(ctypes.c_ulong(argument)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def write_and_execute() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


REFUSED: dict[str, Callable[[], object]] = {
    **{f"write in {folder}": lambda folder=folder: write(folder) for folder in OPEN_FOLDERS},
    **{f"open {path}": lambda path=path: open_device(path) for path in DEVICES},
    "see PID 1": lambda: os.stat("/proc/1"),
    "speak IPv4": lambda: open_socket(socket.AF_INET),
    "speak IPv6": lambda: open_socket(socket.AF_INET6),
    "make memory writable and executable": write_and_execute,
    "set a file's user ID": lambda: set_user_id("/var/lib/maskwatch"),
    "make a namespace": lambda: call("unshare", CLONE_NEWUSER),
    "change the personality": lambda: call("personality", PERSONALITY_LINUX32),
}

NEEDED: dict[str, Callable[[], object]] = {
    "write in /var/lib/maskwatch": lambda: write("/var/lib/maskwatch"),
    "change a model slot": lambda: change_slot("/var/lib/maskwatch/slots"),
    "write in /run/maskwatch": lambda: write("/run/maskwatch"),
    "write in /tmp": lambda: write("/tmp"),
    "open /dev/null": lambda: open_device("/dev/null"),
    "speak to the service manager": lambda: open_socket(socket.AF_UNIX),
    "hear of cameras": lambda: open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
}


def outcome(attempt: Callable[[], object]) -> str:
    child = os.fork()
    if child == 0:
        code = UNKNOWN_FAULT
        try:
            attempt()
            code = 0
        except OSError as error:
            code = error.errno or UNKNOWN_FAULT
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "done" if code == 0 else f"killed by {-code}" if code < 0 else os.strerror(code)


if __name__ == "__main__":
    print("PROBED", json.dumps({name: outcome(attempt) for name, attempt in (REFUSED | NEEDED).items()}), flush=True)
