"""Where an upload lies until it is whole: part files, bounded in size and number, from which it may be resumed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.limits import MAX_BUNDLE_BYTES
from maskwatch.slots import folder as disk

SUFFIX = ".part"
MAX_PARTS = 4
"""Uploads that broke off and may be resumed; the one that was left alone for longest gives way to a fifth."""

SPARE_BYTES = 8 * 1024 * 1024
"""Room that an upload leaves on the disk, beside the bundle's second copy in a slot."""

CHUNK_BYTES = 64 * 1024
SILENCE_S = 20.0
"""A sender that is silent for longer is gone: TCP may take hours to say so, and the part would be taken until then."""


BUSY = "another upload of this bundle is going on there"


class Incoming:
    """Part files in one folder, SHA256.part each. `silence_s` is how long a sender may say nothing.

    All methods raise OperatorError where the disk refuses, in words that say what to do.
    """

    def __init__(
        self, folder: Path, silence_s: float = SILENCE_S, free_bytes: Callable[[Path], int] | None = None
    ) -> None:
        self.folder = folder
        self._silence_s = silence_s
        self._free_bytes = _free_bytes if free_bytes is None else free_bytes

    def have_bytes(self, sha256: str, size_bytes: int) -> int:
        """How many bytes of a bundle lie here: where an upload may go on."""
        with disk.plain_faults(self.folder):
            try:
                found = self._part(sha256).lstat()
            except FileNotFoundError:
                return 0
        return found.st_size if stat.S_ISREG(found.st_mode) and found.st_size <= size_bytes else 0

    def is_busy(self, sha256: str) -> bool:
        """Whether an upload of this bundle is going on, or is not given up yet."""
        with disk.plain_faults(self.folder):
            try:
                part = os.open(self._part(sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                return False
        try:
            fcntl.flock(part, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(part)
        return False

    def take(self, sha256: str, size_bytes: int, offset_bytes: int, stream: IO[bytes]) -> int:
        """Write what comes to its part, from `offset_bytes` on, until it is whole or the stream ends; returns its size.

        Each byte stays, however the stream ends. A part that is whole and not the bundle is removed.

        Raises:
            TryAgainError: another upload of this bundle is going on, or nothing more comes.
            OperatorError: no room, an offset that is not the part's end, or another file than was promised.
        """
        self._make_room(sha256, 2 * size_bytes - offset_bytes)
        with disk.plain_faults(self.folder), self._held(sha256) as part:
            have_bytes = os.fstat(part).st_size
            if offset_bytes == 0 or have_bytes > size_bytes:
                os.ftruncate(part, 0)
                have_bytes = 0
            if offset_bytes != have_bytes:
                raise TryAgainError(f"{have_bytes} bytes lie here, so nothing can go on from {offset_bytes}")
            have_bytes = self._append(part, have_bytes, size_bytes, stream)
            os.fsync(part)
        if have_bytes == size_bytes:
            self.read(sha256)
        return have_bytes

    def read(self, sha256: str) -> bytes:
        """A whole bundle. Raises TryAgainError where it is not whole, and removes it where it is another file."""
        with disk.plain_faults(self.folder):
            try:
                part = os.open(self._part(sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError as error:
                raise TryAgainError("that bundle is not here any more: upload it again") from error
            with os.fdopen(part, "rb") as file:
                data = file.read(MAX_BUNDLE_BYTES + 1)
        if hashlib.sha256(data).hexdigest() != sha256:
            self.drop(sha256)
            raise TryAgainError("what arrived is not the bundle that was sent (SHA-256 differs): upload it again")
        return data

    def drop(self, sha256: str) -> None:
        """Remove a part; none is no fault."""
        with disk.plain_faults(self.folder):
            self._part(sha256).unlink(missing_ok=True)

    def _part(self, sha256: str) -> Path:
        return self.folder / f"{sha256}{SUFFIX}"

    @contextmanager
    def _held(self, sha256: str) -> Iterator[int]:
        """The part, open for appending, and nobody else's meanwhile."""
        disk.prepare(self.folder.parent)
        with suppress(FileExistsError):
            self.folder.mkdir(disk.FOLDER_MODE)
            self.folder.chmod(self.folder.stat().st_mode & stat.S_ISGID | disk.FOLDER_MODE)  # whatever the umask
        if not stat.S_ISDIR(self.folder.lstat().st_mode):  # no link: it would have root write elsewhere
            raise OperatorError(f"{self.folder}: no folder, must be one: move it away")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        part = os.open(self._part(sha256), flags, disk.FILE_MODE)
        try:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TryAgainError(f"{BUSY}, or was until {self._silence_s:.0f} s ago") from error
            if os.fstat(part).st_uid == os.geteuid():
                os.fchmod(part, disk.FILE_MODE)  # whatever the umask
            yield part
        finally:
            os.close(part)

    def _append(self, part: int, have_bytes: int, size_bytes: int, stream: IO[bytes]) -> int:
        source = stream.fileno()
        while have_bytes < size_bytes:
            if not select.select([source], [], [], self._silence_s)[0]:
                raise TryAgainError(
                    f"nothing came for {self._silence_s:.0f} s, with {have_bytes} of {size_bytes} bytes"
                )
            chunk = os.read(source, min(CHUNK_BYTES, size_bytes - have_bytes))
            if not chunk:
                break
            have_bytes += _write_all(part, chunk)
        return have_bytes

    def _make_room(self, sha256: str, needed_bytes: int) -> None:
        """Remove what is left of other uploads where there are too many of them, or too little room."""
        with disk.plain_faults(self.folder):
            others = sorted(self._others(sha256), key=_changed_ns)
            there = next(folder for folder in (self.folder, *self.folder.parents) if folder.is_dir())
            while others and (len(others) >= MAX_PARTS or self._free_bytes(there) < needed_bytes + SPARE_BYTES):
                others.pop(0).unlink(missing_ok=True)
            free_bytes = self._free_bytes(there)
        if free_bytes < needed_bytes + SPARE_BYTES:
            raise OperatorError(
                f"the disk is full: {free_bytes / 1e6:.1f} MB are free at {there}, an upload needs "
                f"{(needed_bytes + SPARE_BYTES) / 1e6:.1f} MB: make room"
            )

    def _others(self, sha256: str) -> list[Path]:
        if not self.folder.is_dir():
            return []
        mine = self._part(sha256)
        return [part for part in self.folder.iterdir() if part != mine and not part.is_dir()]


def _write_all(part: int, chunk: bytes) -> int:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(part, rest) :]
    return len(chunk)


def _changed_ns(part: Path) -> int:
    with suppress(FileNotFoundError):
        return part.lstat().st_mtime_ns
    return 0


def _free_bytes(folder: Path) -> int:
    """What those who are not root may still write there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
