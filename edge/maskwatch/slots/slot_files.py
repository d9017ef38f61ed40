"""One slot's files: the bundle and its signature."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

from maskwatch.errors import OperatorError, SignatureError
from maskwatch.limits import MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES
from maskwatch.slots import folder as disk
from maskwatch.trust import Trust

BUNDLE_FILE = "bundle.maskwatch"
SIGNATURE_FILE = f"{BUNDLE_FILE}.sig"

SPARE_BYTES = 256 * 1024
"""What an installation may take beside the bundle: state.json twice, folders, whole blocks."""

_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EIO)
"""What will be no better another time; no permission, or too many open files, might."""


def lasts(error: OSError) -> bool:
    """Whether what the disk refused will be no better another time."""
    return error.errno in _LASTING


def fill(slot: Path, data: bytes, signature: bytes | None) -> None:
    """Put a bundle into a slot, in the place of all that is there, and on the disk.

    Raises OSError, and OperatorError where the disk gives back something else.
    """
    disk.sweep(slot)
    disk.put(slot / BUNDLE_FILE, data)
    if signature is not None:
        disk.put(slot / SIGNATURE_FILE, signature)
    disk.forget_cached(slot / BUNDLE_FILE)
    if disk.read_file(slot / BUNDLE_FILE, len(data) + 1) != data:
        raise OperatorError(
            f"{slot / BUNDLE_FILE}: the disk gives back something else than was written: is the card worn out?"
        )


def check_room(slot: Path, size_bytes: int) -> None:
    """Raise OperatorError where a slot cannot take so much in the place of what it holds."""
    needed = size_bytes + SPARE_BYTES
    room = disk.room_bytes(slot)
    if room is not None and room < needed:
        raise OperatorError(f"{slot}: the disk is full: {needed / 1e6:.1f} MB are needed, {room / 1e6:.1f} MB are free")


def unfit(slot: Path, sha256: str, trust: Trust) -> str | None:
    """Why a slot's bundle may not be run, for good, if there is a reason: damage, or a signature that does not count.

    What was installed while its key counted goes on when that key's time is over, but not when it is revoked. Raises
    OSError or OperatorError where nobody can tell.
    """
    path = slot / BUNDLE_FILE
    data, damage = _read(path, MAX_BUNDLE_BYTES)
    if damage is None and hashlib.sha256(data).hexdigest() != sha256:
        damage = "its SHA-256 is not the one that was installed"
    if damage is not None:
        return f"{path} is damaged: {damage}"
    if not trust.is_asked_for():
        return None
    from maskwatch.signature import check_signature  # needed only where signatures are asked for

    signature, absent = _read(slot / SIGNATURE_FILE, MAX_SIGNATURE_BYTES)
    try:
        check_signature(data, None if absent else signature, trust, dates=False)
    except SignatureError as error:
        return f"{path}: {error}"
    return None


def _read(path: Path, most_bytes: int) -> tuple[bytes, str | None]:
    """A file, or one byte more than it may have; and what is wrong with it for good.

    Raises OSError for what might be better another time.
    """
    try:
        return disk.read_file(path, most_bytes + 1), None
    except OSError as error:
        if not lasts(error):
            raise
        return b"", error.strerror
