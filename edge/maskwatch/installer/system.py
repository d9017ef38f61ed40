"""The system that is installed into: this one or another root. All that is read and changed goes through here."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from maskwatch.atomic import point_link, sync_folder, temporary_of, write_file
from maskwatch.errors import OperatorError
from maskwatch.installer.commands import Completed, Runner, fault_of, run_program

SHORT_S = 120.0
LONG_S = 3600.0
"""apt and pip on a slow card."""

ASK_S = 120.0


@dataclass
class System:
    """A root filesystem; paths are as they are inside it, such as `/etc/maskwatch`.

    With `dry`, nothing is changed and `say` hears what would be. `live`: its systemd is the one that runs here.
    """

    root: Path = Path("/")
    live: bool = True
    dry: bool = False
    say: Callable[[str], None] = lambda line: None
    runner: Runner = run_program
    changed: set[str] = field(default_factory=set)
    """What was written, linked or removed so far."""

    def path(self, inside: str) -> Path:
        """Where a path of this system lies here. Raises OperatorError where a link leads out of the root."""
        path = self.root / inside.lstrip("/")
        if not path.parent.resolve().is_relative_to(self.root.resolve()):
            raise OperatorError(f"{inside} leads out of {self.root}, to {path.parent.resolve()}: mend that link")
        return path

    # What reads

    def read(self, inside: str) -> bytes | None:
        """A file's content; None where there is none."""
        try:
            return self.path(inside).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def mode(self, inside: str) -> int | None:
        """A file's permission bits; None where there is no file."""
        try:
            return self.path(inside).stat().st_mode & 0o7777
        except (FileNotFoundError, NotADirectoryError):
            return None

    def target(self, inside: str) -> str | None:
        """What a symbolic link says; None where there is none."""
        try:
            return os.readlink(self.path(inside))
        except OSError:
            return None

    def exists(self, inside: str) -> bool:
        """Whether something has this name, be it a link that leads nowhere."""
        return os.path.lexists(self.path(inside))

    def names(self, inside: str) -> list[str]:
        """What a folder holds, sorted; nothing where there is no folder."""
        try:
            return sorted(os.listdir(self.path(inside)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def owners(self, inside: str) -> set[tuple[int, int]]:
        """The numbers of user and group that a folder and all in it belong to; none where there is no folder."""
        folder = self.path(inside)
        found = [folder, *folder.rglob("*")] if folder.is_dir() else []
        return {(status.st_uid, status.st_gid) for status in map(os.lstat, found)}

    def left_over(self, inside: str) -> str:
        """Where a power cut leaves what was to become this file or link."""
        return str(temporary_of(PurePosixPath(inside)))

    def ask(self, *words: str) -> str | None:
        """What a program that changes nothing answers; None where it fails or is not there."""
        done = self.runner(words, self.root, ASK_S, ask=True)
        return done.answer.strip() if done.code == 0 else None

    # What changes

    def run(self, *words: str, limit_s: float = SHORT_S) -> str:
        """Run a program; returns what it said. Raises OperatorError or TryAgainError where it fails."""
        done = self.attempt(*words, limit_s=limit_s)
        if done.code:
            raise fault_of(words, done)
        return done.said

    def attempt(self, *words: str, limit_s: float = SHORT_S) -> Completed:
        """Run a program that may fail."""
        if self.dry:
            self.say(f"    would run: {shlex.join(words)}")
            return Completed(0, "")
        return self.runner(words, self.root, limit_s, ask=False)

    def write(self, inside: str, content: bytes, mode: int = 0o644) -> None:
        """Put a whole file in its place, with the folders above it."""
        if self._would("write", inside):
            return
        self._folder(self.path(inside).parent)
        write_file(self.path(inside), content, mode)

    def link(self, inside: str, target: str) -> None:
        """Make a symbolic link, in the place of another link or file."""
        if self._would("link", f"{inside} -> {target}"):
            return
        self._folder(self.path(inside).parent)
        point_link(self.path(inside), target)

    def copy(self, source: Path, inside: str) -> None:
        """Bring a file of this machine in."""
        if self._would("copy", f"{source} to {inside}"):
            return
        self._folder(self.path(inside).parent)
        shutil.copyfile(source, self.path(inside))

    def remove(self, inside: str) -> None:
        """Remove a file, a link or a folder with all in it; does nothing where there is none."""
        if not self.exists(inside) or self._would("remove", inside):
            return
        path = self.path(inside)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        sync_folder(path.parent)

    def sync(self) -> None:
        """Have all that was written so far on the disk."""
        if not self.dry:
            os.sync()

    def _would(self, verb: str, what: str) -> bool:
        self.changed.add(what.partition(" ")[0])
        if self.dry:
            self.say(f"    would {verb}: {what}")
        return self.dry

    def _folder(self, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(mode=0o755)
            sync_folder(new.parent)


def words_of(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
