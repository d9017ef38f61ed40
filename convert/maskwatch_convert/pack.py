"""Write a bundle: equal content gives equal bytes, and a power cut leaves the old file or the new one."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from maskwatch.bundle import MANIFEST_NAME, SUFFIX, Bundle, verify_bundle
from maskwatch.manifest import Manifest, Member, to_json

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a ZIP can hold; `made_at` in the manifest tells the real one."""


def write_bundle(folder: Path, manifest: Manifest, members: Mapping[str, bytes]) -> Bundle:
    """Write `folder/NAME-VERSION.maskwatch` and return it as a Pi would open it.

    `manifest.members` is filled in from `members`, whatever it holds. Raises BundleError where the result would not
    open, before anything is written.
    """
    described = {name: Member(len(content), hashlib.sha256(content).hexdigest()) for name, content in members.items()}
    manifest = dataclasses.replace(manifest, members=described)
    data = _zip({**members, MANIFEST_NAME: to_json(manifest)})
    path = folder / f"{manifest.name}-{manifest.version}{SUFFIX}"
    bundle = verify_bundle(data, path)
    _replace(path, data)
    return bundle


def _zip(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.create_system = 3  # Unix, on every system, so that the bytes do not depend on it
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, contents[name])
    return buffer.getvalue()


def _replace(path: Path, data: bytes) -> None:
    """Temp, sync, rename, sync the folder."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too must not leave the temporary file
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
