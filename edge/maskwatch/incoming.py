"""Where an upload lies until it is whole: part files, bounded in size and number, from which it may be resumed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
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
_PART = re.compile(rf"[0-9a-f]{{64}}\{SUFFIX}")
MAX_PARTS = 4
"""Uploads that go on, or broke off and may be resumed; of these the one that was left alone for longest gives way to a
fifth."""

SPARE_BYTES = 8 * 1024 * 1024
"""Room that an upload leaves on the disk, beside the bundle's second copy in a slot."""

CHUNK_BYTES = 64 * 1024
SILENCE_S = 20.0
"""A sender that is silent for longer is gone: TCP may take hours to say so, and the part would be taken until then."""


BUSY = "another upload of this bundle is going on there"

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


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
            return _is_held(self._part(sha256))

    def take(self, sha256: str, size_bytes: int, offset_bytes: int, stream: IO[bytes]) -> int:
        """Write what comes to its part, from `offset_bytes` on, until it is whole or the stream ends; returns its size.

        Each byte stays, however the stream ends. A part that is whole and not the bundle is removed.

        Raises:
            TryAgainError: another upload of this bundle, or too many others, are going on, or nothing more comes.
            OperatorError: no room, an offset that is not the part's end, or another file than was promised.
        """
        with disk.plain_faults(self.folder), self._held(sha256, 2 * size_bytes - offset_bytes) as part:
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
                part = os.open(self._part(sha256), _FLAGS | os.O_RDONLY)
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
    def _held(self, sha256: str, needed_bytes: int) -> Iterator[int]:
        """The part, open for appending, and nobody else's meanwhile; `needed_bytes` are free when it is made."""
        self._prepare()
        with self._alone():  # or what is made room for might be taken, and what is taken removed
            self._make_room(sha256, needed_bytes)
            part = os.open(self._part(sha256), _FLAGS | os.O_RDWR | os.O_CREAT | os.O_APPEND, disk.FILE_MODE)
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(part)
                raise TryAgainError(f"{BUSY}, or was until {self._silence_s:.0f} s ago") from error
        try:
            if os.fstat(part).st_uid == os.geteuid():
                os.fchmod(part, disk.FILE_MODE)  # whatever the umask
            yield part
        finally:
            os.close(part)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from making or removing parts for a moment."""
        folder = os.open(self.folder, _FLAGS | os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _prepare(self) -> None:
        disk.prepare(self.folder.parent)
        with suppress(FileExistsError):
            self.folder.mkdir(disk.FOLDER_MODE)
            self.folder.chmod(self.folder.stat().st_mode & stat.S_ISGID | disk.FOLDER_MODE)  # whatever the umask
        if not stat.S_ISDIR(self.folder.lstat().st_mode):  # no link: it would lead elsewhere
            raise OperatorError(f"{self.folder}: no folder, must be one: move it away")

    def _append(self, part: int, have_bytes: int, size_bytes: int, stream: IO[bytes]) -> int:
        while have_bytes < size_bytes:
            try:
                chunk = _next_chunk(stream, min(CHUNK_BYTES, size_bytes - have_bytes), self._silence_s)
            except TryAgainError as error:
                raise TryAgainError(f"{error}, with {have_bytes} of {size_bytes} bytes") from error
            if not chunk:
                break
            have_bytes += _write_all(part, chunk)
        return have_bytes

    def _make_room(self, sha256: str, needed_bytes: int) -> None:
        """Remove what is left of other uploads where there are too many of them, or too little room."""
        others = self._others(sha256)
        left = sorted((part for part in others if not _is_held(part)), key=_changed_ns)
        live_count = len(others) - len(left)
        if live_count >= MAX_PARTS:
            raise TryAgainError(f"{live_count} other uploads are going on there: try again when one is done")
        wanted_bytes = needed_bytes + SPARE_BYTES
        while left and (live_count + len(left) >= MAX_PARTS or self._free_bytes(self.folder) < wanted_bytes):
            left.pop(0).unlink(missing_ok=True)
        free_bytes = self._free_bytes(self.folder)
        if free_bytes < wanted_bytes:
            raise OperatorError(
                f"the disk is full: {free_bytes / 1e6:.1f} MB are free at {self.folder}, an upload needs "
                f"{wanted_bytes / 1e6:.1f} MB: make room"
            )

    def _others(self, sha256: str) -> list[Path]:
        mine = self._part(sha256)
        return [part for part in self.folder.iterdir() if part != mine and _PART.fullmatch(part.name)]


def read_stream(stream: IO[bytes], most_bytes: int, silence_s: float = SILENCE_S) -> bytes:
    """What comes on a stream until it ends, `most_bytes` at the most. Raises TryAgainError where nothing comes."""
    read = b""
    while len(read) < most_bytes and (chunk := _next_chunk(stream, most_bytes - len(read), silence_s)):
        read += chunk
    return read


def _next_chunk(stream: IO[bytes], most_bytes: int, silence_s: float) -> bytes:
    """What comes next; nothing at the stream's end. Raises TryAgainError where the sender is silent for too long."""
    if not select.select([stream], [], [], silence_s)[0]:
        raise TryAgainError(f"nothing came for {silence_s:.0f} s")
    return os.read(stream.fileno(), most_bytes)


def _is_held(part: Path) -> bool:
    """Whether somebody writes to a part."""
    try:
        descriptor = os.open(part, _FLAGS | os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False  # a link, which nobody here has made
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


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
