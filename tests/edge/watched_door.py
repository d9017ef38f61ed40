"""A model watch over real slots, whose time and whose loading a test decides."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from maskwatch.config import ModelSettings
from maskwatch.door import Model
from maskwatch.errors import BundleError, RuntimeRefusedError
from maskwatch.model_watch import LOOK_SECONDS, RETRY_SECONDS, ModelWatch
from maskwatch.observer import RunningModel
from maskwatch.slots import folder as disk
from maskwatch.slots.running import Onlooker, Runner
from quick_slots import QuickSlots, load
from status_stage import LIMIT_S, Clock

SETTINGS = ModelSettings()
LONG = round(RETRY_SECONDS / LOOK_SECONDS) + 2
"""So many looks later everything that has failed once has been tried again."""


class Watched:
    """A watch over quick slots, to be led step by step."""

    def __init__(self, folder: Path, slots: type[Onlooker] = Runner) -> None:
        self.slots, self.clock = QuickSlots(folder), Clock()
        self.runner = slots(self.slots.slots)
        self.told: list[RunningModel] = []
        self.whys: list[str] = []
        self.watch = ModelWatch(self.load, self.runner, lambda: None, self._tell, self.clock)
        self.loads = 0
        self.fault: Exception | None = None  # of loading
        self.fault_of_slots: Exception | None = None  # of loading what is not built-in

    def _tell(self, model: RunningModel, why: str) -> None:
        self.told.append(model)
        self.whys.append(why)

    def load(self, settings: ModelSettings, loaded: Model | None) -> Model:
        self.loads += 1
        if self.fault is not None:
            raise self.fault
        if self.fault_of_slots is not None and settings.bundle:
            raise self.fault_of_slots
        return load(settings, loaded)

    def begin(self, seconds: float = LOOK_SECONDS) -> None:
        """Look, and let what that began come to its end, which is not taken yet."""
        self.clock.now_s += seconds
        self.watch.look(SETTINGS)
        self.watch.close(LIMIT_S)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.begin()
            self.watch.take()

    def judge(self, frames: int) -> None:
        for _ in range(frames):
            self.watch.judged()

    def on_trial(self) -> str:
        """Another trial, whatever was on trial before; its SHA-256."""
        if self.slots.read().trying:
            self.slots.roll_back()
        return self.slots.bring()

    @property
    def runs(self) -> str:
        return self.watch.running.sha256


def make_unreadable(slot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slot's bundle, by an error that may pass."""
    read_file = disk.read_file

    def read(path: Path, most_bytes: int) -> bytes:
        if path.parent.name == slot:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return read_file(path, most_bytes)

    monkeypatch.setattr(disk, "read_file", read)


def refused(words: str) -> BundleError:
    """As a network that the runtime refuses comes out of a bundle."""
    try:
        try:
            raise RuntimeRefusedError(words)
        except RuntimeRefusedError as error:
            raise BundleError(f"tiny: finder.tflite: {words}") from error
    except BundleError as error:
        return error


def wrapped(cause: BaseException) -> BundleError:
    error = BundleError("tiny: cannot be read")
    error.__cause__ = cause
    return error
