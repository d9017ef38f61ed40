"""How far a roll-out has come, in a small file, so that the next one may go on from there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from maskwatch.atomic import write_file
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.flash.parcel import Parcel
from maskwatch.flash.result import Outcome, Result
from maskwatch.strict_json import SchemaError, loads, read

logger = logging.getLogger(__name__)

SUFFIX = ".flashed.json"
MAX_BYTES = 16 * 1024 * 1024
ANEW = "leave out --resume, then all doors are looked at"


@dataclass(frozen=True, slots=True)
class Entry:
    """How one door's flash ended."""

    outcome: Literal["confirmed", "already", "rolled_back", "refused", "unreachable", "interrupted", "not_begun"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """The file: which bundle, and each door's end."""

    sha256: str
    model: str
    hosts: Mapping[str, Entry] = field(default_factory=dict)
    schema_version: Literal[1] = 1


class Record:
    """One roll-out's file. Any thread may note; where it cannot be written a warning says so once, and all goes on."""

    def __init__(self, path: Path, parcel: Parcel, entries: Mapping[str, Entry]) -> None:
        self._path = path
        self._parcel = parcel
        self._entries = dict(entries)
        self._lock = threading.Lock()
        self._broken = False

    def is_done(self, host: str) -> bool:
        """Whether this door runs the new model already, as far as is known here."""
        entry = self._entries.get(host)
        return entry is not None and Outcome(entry.outcome).good

    def note(self, result: Result) -> None:
        """Keep how a door's flash ended."""
        with self._lock:
            self._entries[result.host] = Entry(result.outcome.value, result.reason)
            contents = Contents(self._parcel.sha256, self._parcel.model, self._entries)
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_file(self._path, json.dumps(asdict(contents), indent=1).encode("ascii") + b"\n")
            except OSError as error:
                if not self._broken:
                    logger.warning("%s: cannot be written, so --resume will not know: %s", self._path, error.strerror)
                self._broken = True


def open_record(path: Path, parcel: Parcel, hosts: Collection[str], *, resume: bool) -> Record:
    """The record of a roll-out to `hosts`: of the one that is to be resumed, or one that knows nothing of them.

    What it says of other doors and this bundle is kept. Raises OperatorError where what is there cannot be resumed.
    """
    try:
        contents = _read(path)
        if contents is not None and contents.sha256 != parcel.sha256:
            raise OperatorError(f"{path}: is of another bundle, {contents.model}; {ANEW}")
    except OperatorError:
        if resume:
            raise
        contents = None
    entries = {} if contents is None else contents.hosts
    return Record(path, parcel, {host: entry for host, entry in entries.items() if resume or host not in hosts})


def _read(path: Path) -> Contents | None:
    try:
        with path.open("rb") as file:
            return read(Contents, loads(file.read(MAX_BYTES)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}; {ANEW}") from error
    except SchemaError as error:
        raise OperatorError(f"{path}: damaged: {error}; {ANEW}") from error


def record_path(fleet: Path | None, hosts: Sequence[str], parcel: Parcel, environment: Mapping[str, str]) -> Path:
    """Beside the fleet's file; for single hosts, and where nobody may write there, in the user's own state folder."""
    if fleet is not None and os.access(fleet.absolute().parent, os.W_OK):
        return fleet.with_name(fleet.stem + SUFFIX)
    what = str(fleet.absolute()) if fleet is not None else " ".join(sorted(hosts)) + parcel.sha256
    state = environment.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path(environment.get("HOME", "/")) / ".local" / "state"
    return home / "maskwatch" / (hashlib.sha256(what.encode()).hexdigest()[:16] + SUFFIX)


@contextmanager
def alone(fleet: Path | None) -> Iterator[None]:
    """Keep a second roll-out of the same fleet out meanwhile. Raises TryAgainError where one goes on, OperatorError."""
    if fleet is None:
        yield
        return
    try:
        file = fleet.open("rb")
    except OSError as error:
        raise OperatorError(f"{fleet}: cannot be read: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryAgainError(f"another flash of {fleet} is going on: wait for its end") from error
        except OSError as error:  # as on NFS, which locks only what may be written, or nothing
            raise OperatorError(
                f"{fleet}: cannot be locked: {error.strerror}; put it on a disk of this machine"
            ) from error
        yield
