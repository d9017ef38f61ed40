"""The model bundle, `NAME-VERSION.maskwatch`: a stored ZIP of manifest.json and its members, verified before use."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maskwatch.errors import BundleError
from maskwatch.limits import MAX_BUNDLE_BYTES
from maskwatch.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from maskwatch.strict_json import shown

SUFFIX = ".maskwatch"
MANIFEST_NAME = "manifest.json"

MAX_MEMBERS = 32
"""Manifest included."""

_ENTRY_MAGIC = b"PK\x01\x02"
"""Each member's entry in a ZIP's directory starts so."""

# What zipfile raises on hostile bytes, as its fuzzing shows, beside its own BadZipFile.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
    OSError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose members are all there, declared, and of the declared size and SHA-256; held in memory.

    `sha256` is the whole file's: the bundle's identity.
    """

    path: Path
    manifest: Manifest
    sha256: str
    size_bytes: int
    members: Mapping[str, bytes] = field(repr=False)

    def member(self, name: str) -> bytes:
        """One member's content. Raises BundleError where there is none of that name."""
        if name not in self.members:
            raise BundleError(f"{self.path}: there is no {name} in this bundle")
        return self.members[name]


def open_bundle(path: Path) -> Bundle:
    """Read and verify a bundle, from one open file, so that nobody can change it in between.

    Raises BundleError, with the file and the reason, for anything else than a sound bundle of this schema.
    """
    return verify_bundle(read_bundle(path), path)


def read_bundle(path: Path) -> bytes:
    """What a bundle's file holds, not verified yet: to sign or to send. Raises BundleError where it is no such file."""
    try:
        return _read_file(path)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def verify_bundle(data: bytes, path: Path) -> Bundle:
    """Verify a bundle that is in memory; `path` is where it comes from or goes to. Raises as `open_bundle` does."""
    try:
        contents = _read_zip(data)
        manifest = parse_manifest(contents.pop(MANIFEST_NAME))
        _check_members(manifest, contents)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    return Bundle(path, manifest, hashlib.sha256(data).hexdigest(), len(data), contents)


def default_bundle_path() -> Path:
    """The bundle that this Maskwatch was installed with. Raises BundleError unless there is exactly one."""
    folder = Path(str(importlib.resources.files("maskwatch"))) / "data"
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        raise BundleError(f"{folder}: {len(found)} built-in bundles, must be one; install Maskwatch again")
    return found[0]


def _read_file(path: Path) -> bytes:
    if path.suffix != SUFFIX:
        raise BundleError(f"not a bundle: its name must end in {SUFFIX}")
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError("not a file")
            data = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}") from error
    if not data:
        raise BundleError("the file is empty; copy it again")
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"larger than {MAX_BUNDLE_BYTES // 1024**2} MiB, too large for a bundle")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Open without the wait for a writer that a named pipe would otherwise mean."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read_zip(data: bytes) -> dict[str, bytes]:
    # zipfile makes an object of each entry before anyone can count them: 350 MB for a bundle full of empty ones
    if data.count(_ENTRY_MAGIC) > MAX_MEMBERS:
        raise BundleError(f"more than {MAX_MEMBERS} members")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(data))
            contents = {entry.filename: archive.read(entry) for entry in entries}
    except BundleError:
        raise
    except _ZIP_ERRORS as error:
        raise BundleError(f"damaged, or not a bundle: {shown(str(error))[1:-1]}; copy it again") from error
    if MANIFEST_NAME not in contents:
        raise BundleError(f"there is no {MANIFEST_NAME} in it")
    return contents


def _check_entries(entries: list[zipfile.ZipInfo], file_bytes: int) -> None:
    """Refuse what a bundle never has, before a byte of content is read."""
    seen: set[str] = set()
    for entry in entries:
        name = shown(entry.orig_filename)[1:-1]
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", entry.orig_filename) is None:
            raise BundleError(f"member {name}: a name with a folder, or with characters that are not allowed")
        if entry.filename.casefold() in seen:
            raise BundleError(f"member {name}: there twice")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BundleError(f"member {name}: not a file")
        if entry.flag_bits & 0x1:
            raise BundleError(f"member {name}: encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise BundleError(f"member {name}: compressed; a bundle stores its members as they are")
        seen.add(entry.filename.casefold())
    if sum(entry.file_size for entry in entries) > file_bytes:
        raise BundleError("damaged: its members claim to be larger than the file")
    if any(entry.filename == MANIFEST_NAME and entry.file_size > MAX_MANIFEST_BYTES for entry in entries):
        raise BundleError(f"{MANIFEST_NAME}: more than {MAX_MANIFEST_BYTES} bytes")


def _check_members(manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    for name in sorted(contents.keys() - manifest.members.keys()):
        raise BundleError(f"member {name}: not declared in {MANIFEST_NAME}")
    for name, declared in manifest.members.items():
        if name not in contents:
            raise BundleError(f"member {name}: missing")
        if len(contents[name]) != declared.size_bytes:
            raise BundleError(f"member {name}: {len(contents[name])} bytes, must be {declared.size_bytes}")
        if hashlib.sha256(contents[name]).hexdigest() != declared.sha256:
            raise BundleError(f"member {name}: changed since the bundle was made (SHA-256 differs); copy it again")
