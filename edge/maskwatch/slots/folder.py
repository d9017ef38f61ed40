"""The slots' folder: made with its rights, locked while something changes, and its faults told in one line."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from maskwatch.atomic import sync_folder, write_file
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.installer.places import USER
from maskwatch.slots.states import SLOT_NAMES

GROUP = USER
"""Who is in it may change models."""

FILE_MODE = 0o660
FOLDER_MODE = 0o770

LOCK = "lock"
LOCK_WAIT_S = 2.0
"""Longer than any change takes, but for an installation."""

_LOCK_POLL_S = 0.05

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some room",
    errno.EDQUOT: "no room is left to this user: free some",
    errno.EROFS: "the disk is read-only: is the card worn out? sudo dmesg tells more",
    errno.EACCES: f"not permitted: run it with sudo, or as a member of the group {GROUP}",
    errno.EPERM: f"not permitted: run it with sudo, or as a member of the group {GROUP}",
    errno.ENOENT: "no such folder: install Maskwatch here, or a bundle, first",
}


@contextlib.contextmanager
def plain_faults(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into an OperatorError that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TryAgainError):
            raise
        where = folder if error.errno == errno.ENOENT else error.filename or folder
        raise OperatorError(f"{where}: {fault_words(error)}") from error


def fault_words(error: OSError) -> str:
    """Why the disk refuses, and what to do."""
    return _REMEDIES.get(error.errno or 0) or error.strerror or str(error)


def prepare(folder: Path) -> None:
    """Make what is missing of the folder and of both slots'. Raises OSError, OperatorError for what is no folder."""
    for path in (folder, *(folder / name for name in SLOT_NAMES)):
        try:
            os.mkdir(path, FOLDER_MODE)
        except FileExistsError:
            # no link: who may change models must not have root write elsewhere
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise OperatorError(f"{path}: no folder, must be one: move it away") from None
        else:
            _give_folder(path)
    for path in (folder.parent, folder):  # even if all were there: who made them may have been killed meanwhile
        with contextlib.suppress(PermissionError):
            sync_folder(path)


def put(path: Path, content: bytes) -> None:
    """Put a whole file in its place, for the group to read and to replace. Raises OSError."""
    write_file(path, content, FILE_MODE)


def sweep(folder: Path) -> None:
    """Remove all files of one slot. Raises OSError."""
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]
    for path in paths:
        os.unlink(path)


def room_bytes(slot: Path) -> int | None:
    """What can be written to a slot once its old files are gone; None where the file system does not tell."""
    figures = os.statvfs(slot)
    if not figures.f_blocks:
        return None
    with os.scandir(slot) as entries:
        old = sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in entries)
    return figures.f_bavail * figures.f_frsize + old


def read_file(path: Path, most_bytes: int) -> bytes:
    """A file's first bytes, `most_bytes` at the most. Raises OSError, for what is no file too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no file", str(path))
        return file.read(most_bytes)


def forget_cached(path: Path) -> None:
    """Let the next reading of a synced file come from the disk, as it will after a power cut, not from memory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other changes out meanwhile, those of other threads too; the kernel unlocks for who dies.

    Raises TryAgainError where another is under way for longer than LOCK_WAIT_S, OSError where the lock cannot be had.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        _give_file(descriptor)
        since_s = time.monotonic()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() - since_s >= LOCK_WAIT_S:
                    raise TryAgainError(f"{folder}: another change is under way: try again when it is done") from error
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _give_file(descriptor: int) -> None:
    """To the group, whatever the umask."""
    with contextlib.suppress(PermissionError):  # somebody else's: it has its rights already
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)


def _give_folder(path: Path) -> None:
    """To the group, whatever the umask; and all that will be made in it too, where that is so of the folder above."""
    with contextlib.suppress(PermissionError):
        os.chmod(path, os.lstat(path).st_mode & stat.S_ISGID | FOLDER_MODE)
