"""One slot's files: the bundle and its signature."""

from __future__ import annotations

import errno
from pathlib import Path

from maskwatch.errors import OperatorError
from maskwatch.slots import folder as disk

BUNDLE_FILE = "bundle.maskwatch"
SIGNATURE_FILE = f"{BUNDLE_FILE}.sig"

SPARE_BYTES = 256 * 1024
"""What an installation may take beside the bundle: state.json twice, folders, whole blocks."""

_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EIO)
"""What will be no better another time; no permission, or too many open files, might."""


def fill(slot: Path, data: bytes, signature: bytes | None) -> None:
    """Put a bundle into a slot, in the place of all that is there, and on the disk. Raises OSError."""
    disk.sweep(slot)
    disk.put(slot / BUNDLE_FILE, data)
    if signature is not None:
        disk.put(slot / SIGNATURE_FILE, signature)
    disk.forget_cached(slot / BUNDLE_FILE)


def check_room(slot: Path, size_bytes: int) -> None:
    """Raise OperatorError where a slot cannot take so much in the place of what it holds."""
    needed = size_bytes + SPARE_BYTES
    room = disk.room_bytes(slot)
    if room is not None and room < needed:
        raise OperatorError(f"{slot}: the disk is full: {needed / 1e6:.1f} MB are needed, {room / 1e6:.1f} MB are free")


def damage_of(slot: Path, sha256: str) -> str | None:
    """What is wrong with a slot's bundle, for good, if anything. Raises OSError where nobody can tell."""
    path = slot / BUNDLE_FILE
    try:
        same = disk.sha256_of(path) == sha256
    except OSError as error:
        if error.errno not in _LASTING:
            raise
        return f"{path} is damaged: {error.strerror}"
    return None if same else f"{path} is damaged: its SHA-256 is not the one that was installed"
