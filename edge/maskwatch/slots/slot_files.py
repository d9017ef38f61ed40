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


def damage_of(slot: Path, sha256: str) -> str | None:
    """What is wrong with a slot's bundle, for good, if anything. Raises OSError where nobody can tell."""
    return _sound(slot, sha256)[1]


def unfit(slot: Path, sha256: str, trust: Trust) -> str | None:
    """The same, of a bundle that must also be signed as this machine asks.

    A key's days count for what comes in, not for what is there. Raises SignatureError for a signature that does not
    count, which it may again once the lists are others; OSError or another OperatorError where nobody can tell.
    """
    data, damage = _sound(slot, sha256)
    if damage is not None or not trust.is_asked_for():
        return damage
    from maskwatch.signature import check_signature  # needed only where signatures are asked for

    signature, absent = _read(slot / SIGNATURE_FILE, MAX_SIGNATURE_BYTES)
    try:
        check_signature(data, None if absent else signature, trust, dates=False)
    except SignatureError as error:
        raise SignatureError(f"{slot / BUNDLE_FILE}: {error}") from error
    return None


def put_signature(slot: Path, signature: bytes) -> None:
    """Put a signature beside a slot's bundle, which stays as it is. Raises OSError."""
    disk.put(slot / SIGNATURE_FILE, signature)


def _sound(slot: Path, sha256: str) -> tuple[bytes, str | None]:
    """A slot's bundle, and what is wrong with it for good."""
    path = slot / BUNDLE_FILE
    data, fault = _read(path, MAX_BUNDLE_BYTES)
    if fault is None and hashlib.sha256(data).hexdigest() != sha256:
        fault = "its SHA-256 is not the one that was installed"
    return data, None if fault is None else f"{path} is damaged: {fault}"


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
