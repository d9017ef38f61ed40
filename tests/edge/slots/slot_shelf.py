"""A door's slots, and bundles to put there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from maskwatch.slots.states import State
from maskwatch.slots.store import Slots
from nobody import NOBODY
from tiny_models import tiny_bundle

_made: dict[str, bytes] = {}


def make_bundle(version: str, **changes: object) -> bytes:
    """A bundle of the tiny networks, each made once."""
    key = f"{version} {changes}"
    if key not in _made:
        with tempfile.TemporaryDirectory() as folder:
            _made[key] = tiny_bundle(Path(folder), version=version, **changes).read_bytes()
    return _made[key]


@dataclass(frozen=True)
class Shelf:
    """A door's slots in a folder of their own."""

    slots: Slots

    @property
    def folder(self) -> Path:
        return self.slots.folder

    def install(self, version: str, **changes: object) -> State:
        return self.slots.install(make_bundle(version, **changes), None)

    def bring(self, *versions: str) -> State:
        """Install, try and confirm."""
        for version in versions:
            self.install(version)
            self.slots.activate()
            state = self.slots.confirm("healthy")
        return state

    def try_out(self, version: str) -> State:
        self.install(version)
        return self.slots.activate()

    def again(self) -> Slots:
        """As another process finds them."""
        return Slots(self.folder, NOBODY)

    def running(self) -> str | None:
        """What a daemon that starts looking now would run; None for the built-in bundle."""
        choice = self.again().choose()
        if choice.path is None:
            return None
        assert choice.slot is not None
        assert sha256(choice.path.read_bytes()).hexdigest() == choice.sha256
        return self.again().read().slot(choice.slot).version

    def spoil(self, name: str) -> None:
        path = self.folder / name / "bundle.maskwatch"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
