"""A daemon over real slots that a test leads from frame to frame."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from daemon_stage import EMPTY, LIMIT_S, Endless
from maskwatch.config import IdleSettings, ModelSettings
from maskwatch.door import Model
from maskwatch.signals import Command
from maskwatch.types import Frame, Verdict
from slots_stage import Shelf, SlotStage


class Door:
    """A daemon that runs in this thread, with a camera whose next frame comes once the last has been judged."""

    def __init__(self, shelf: Shelf, level: int = EMPTY) -> None:
        self.camera = Endless(level)
        self.stage = SlotStage(shelf, self.camera)
        self.stage.settings = replace(self.stage.settings, idle=IdleSettings(after_seconds=0.0))
        self.frames = 0
        self.dropped_frames = 0
        self.daemon = self.stage.daemon(self._judged)
        self._steps: list[tuple[Callable[[], bool], Callable[[], object]]] = []

    def when(self, condition: Callable[[], bool], then: Callable[[], object] = lambda: None) -> Door:
        """After a frame at which `condition` holds do this, and only then wait for the next condition."""
        self._steps.append((condition, then))
        return self

    def give(self, model: Callable[[ModelSettings, Model | None], Model]) -> None:
        """Have this load the models."""
        self.stage.model = model  # type: ignore[method-assign]
        self.camera = Endless(EMPTY)
        self.stage.waiting.append(self.camera)
        self.daemon = self.stage.daemon(self._judged)

    def run(self) -> SlotStage:
        """Until the last condition holds."""
        self.daemon.run(seconds=LIMIT_S)
        assert self._steps == [], f"still waiting after {self.frames} frames: {self.stage.told}"
        assert self.dropped_frames == 0
        assert self.daemon.frames == self.frames == len(self.stage.names)
        assert self.camera.calls.count("open") == 1
        assert self.stage.is_dark()
        return self.stage

    def _judged(self, frame: Frame, verdict: Verdict) -> None:
        self.frames += 1
        self.dropped_frames = self.daemon.dropped_frames
        if self._steps and self._steps[0][0]():
            self._steps.pop(0)[1]()
        if not self._steps:
            self.daemon.command(Command.STOP)
        self.camera.judged.release()

    def runs(self, name: str) -> Callable[[], bool]:
        """A condition: this is what was told last."""
        return lambda: bool(self.stage.told) and self.stage.told[-1][0] == name

    def begins(self, version: str) -> Callable[[], bool]:
        """A condition: this version is being loaded."""
        return lambda: version in self.stage.begun

    def at(self, frames: int) -> Callable[[], bool]:
        """A condition: so many frames more than when it was asked first."""
        started = []

        def passed() -> bool:
            started.append(self.frames)
            return self.frames - started[0] >= frames

        return passed


def groups(names: list[str]) -> list[str]:
    """Each name once for a run of it."""
    return [name for name, _ in itertools.groupby(names)]
