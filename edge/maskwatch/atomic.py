"""Changes of files that a power cut leaves either undone or done: write aside, fsync, rename, fsync the folder.

What is written aside has one fixed name, so that what a power cut left is swept by the next change of the same file.
Two changes of one path at once must therefore be kept apart by the caller; of different paths they may go on at once.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TypeVar

AnyPath = TypeVar("AnyPath", bound=PurePath)


def temporary_of(path: AnyPath) -> AnyPath:
    """Where `path` is written aside, in its own folder."""
    return path.with_name(f".{path.name}.maskwatch-tmp")


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a whole file in its place, with `mode` whatever the umask.

    Raises OSError. Then all is as before, but where the folder cannot be synced: the new file is there, and a power cut
    may take it away again.
    """
    temporary = temporary_of(path)
    temporary.unlink(missing_ok=True)
    try:
        # O_EXCL: never through a link that someone laid there meanwhile
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def point_link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target`, in the place of another link or file. Raises OSError."""
    temporary = temporary_of(path)
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(target)  # a link cannot be made over another; a rename can
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk know of what was renamed, made or removed in this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
