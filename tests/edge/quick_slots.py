"""Real slots on a disk that never makes a test wait, fails as it is told to, and notes what is written to it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from maskwatch.config import ModelSettings
from maskwatch.door import Model
from maskwatch.errors import SignatureError
from maskwatch.slots import folder as disk
from maskwatch.slots import slot_files, states, store
from maskwatch.slots.running import Runner
from maskwatch.slots.state_file import read_state, to_json
from maskwatch.slots.states import Slot, State
from maskwatch.slots.store import Slots
from maskwatch.trust import Trust
from maskwatch.types import Face, Frame
from nobody import NOBODY

BUILT_IN = "0" * 64


class QuickSlots:
    """A door's slots, filled with a few bytes for a model each. An operator's changes never fail.

    `unreadable` bundles, a state that cannot be read (`stateless`), `read_only`, signatures that do not count
    (`refused`, by their bundles' SHA-256s): what passes, while a test says so.
    """

    def __init__(self, folder: Path) -> None:
        self.slots = Slots(folder / "slots", NOBODY)
        self.unreadable = self.stateless = self.read_only = False
        self.refused: set[str] = set()
        self.healthy: list[str] = []  # what a daemon has confirmed
        self.confirmed: set[str] = set()  # by whomever, at any time
        self._made = 0
        self._put, self._read_file, self._unfit = disk.put, disk.read_file, slot_files.unfit
        disk.prepare(self.slots.folder)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While it stands in for the disk."""
        with ExitStack() as stack:
            for where, name, what in (
                (os, "fsync", lambda descriptor: None),
                (disk, "LOCK_WAIT_S", 0.0),
                (disk, "put", self._put_unless),
                (disk, "read_file", self._read_file_unless),
                (store, "read_state", self._read_state_unless),
                (store, "unfit", self._unfit_unless),
            ):
                stack.enter_context(mock.patch.object(where, name, what))
            yield

    def read(self) -> State:
        """How they are, whatever fails."""
        return read_state(self.slots.state_path)

    def set(self, state: State) -> None:
        self._note(state)
        self._put(self.slots.state_path, to_json(state))

    def bring(self) -> str:
        """A model of its own, on trial; its SHA-256."""
        self._made += 1
        data = f"model {self._made}".encode()
        sha256 = hashlib.sha256(data).hexdigest()
        state = self.read()
        (self.slots.folder / state.spare / slot_files.BUNDLE_FILE).write_bytes(data)
        self.set(states.verify(states.stage(state, Slot(sha256=sha256, name="tiny", version="1.0.0"))))
        self.set(states.activate(self.read()))
        return sha256

    def confirm(self) -> None:
        self.set(states.confirm(self.read(), "confirm"))

    def roll_back(self) -> None:
        self.set(states.roll_back(self.read(), "by hand"))

    def damage(self) -> None:
        """The active one's file."""
        active = self.read().active
        assert active is not None
        (self.slots.folder / active / slot_files.BUNDLE_FILE).write_bytes(b"torn")

    def revoke(self) -> None:
        """The active one's key; and something else changes, so that a daemon looks."""
        active = self.read().active_slot
        assert active is not None
        self.refused.add(active.sha256)
        self.touch()

    def touch(self) -> None:
        """Change something that is no matter."""
        self.set(self.read())

    def runner(self) -> Runner:
        """As a daemon that starts has them."""
        return Runner(self.slots)

    def _note(self, state: State) -> None:
        self.confirmed |= {slot.sha256 for slot in (state.a, state.b) if slot.state == "confirmed"}
        if state.last_event is not None and state.last_event.event == "healthy":
            self.healthy.append(state.slot(state.last_event.slot).sha256)

    def _put_unless(self, path: Path, content: bytes) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        self._put(path, content)
        self._note(self.read())

    def _read_file_unless(self, path: Path, most_bytes: int) -> bytes:
        if self.unreadable:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return self._read_file(path, most_bytes)

    def _read_state_unless(self, path: Path) -> State:
        if self.stateless:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return read_state(path)

    def _unfit_unless(self, slot: Path, sha256: str, trust: Trust) -> str | None:
        damage = self._unfit(slot, sha256, trust)
        if damage is None and sha256 in self.refused:
            raise SignatureError(f"{slot}: signed with a key that is revoked")
        return damage


class Eyes:
    def faces(self, frame: Frame) -> tuple[Face, ...]:
        return ()


def load(settings: ModelSettings, loaded: Model | None) -> Model:
    """A model that is known by its SHA-256, and sees nothing."""
    sha256 = hashlib.sha256(Path(settings.bundle).read_bytes()).hexdigest() if settings.bundle else BUILT_IN
    return Model(Eyes(), (sha256, settings.threads), sha256)
