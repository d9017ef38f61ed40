"""A daemon whose bundles lie in real slots, while its eyes are stubs that a test lets load slowly, or fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from daemon_stage import LIMIT_S, Stage, StubEyes
from maskwatch.bundle import open_bundle
from maskwatch.cameras.fake import FakeCamera
from maskwatch.config import ModelSettings, Settings
from maskwatch.daemon import Daemon
from maskwatch.door import Model
from maskwatch.observer import NoObserver, RunningModel
from maskwatch.slots.running import Runner
from maskwatch.slots.store import Slots
from maskwatch.types import Face, Frame, Verdict
from nobody import NOBODY
from tiny_models import tiny_bundle

BUILT_IN = RunningModel("built-in", "0" * 64)


class Shelf:
    """Slots in a folder of the test's own, and bundles to fill them with."""

    def __init__(self, folder: Path) -> None:
        self.slots = Slots(folder / "slots", NOBODY)
        self._made = folder

    def install(self, version: str, **changes: object) -> str:
        """Bring a bundle into the spare slot; its SHA-256."""
        return self._install(tiny_bundle(self._made, version=version, **changes))

    def _install(self, bundle: Path) -> str:
        state = self.slots.install(bundle.read_bytes(), None)
        return state.slot(state.spare).sha256

    def activate_file(self, bundle: Path) -> str:
        """Bring a file on trial; its SHA-256."""
        sha256 = self._install(bundle)
        self.slots.activate()
        return sha256

    def activate(self, version: str, **changes: object) -> str:
        """Bring a bundle on trial; its SHA-256."""
        sha256 = self.install(version, **changes)
        self.slots.activate()
        return sha256

    def confirm(self, version: str) -> str:
        sha256 = self.activate(version)
        self.slots.confirm()
        return sha256

    def bundle_file(self) -> Path:
        """The active slot's."""
        active = self.slots.read().active
        assert active is not None
        return self.slots.folder / active / "bundle.maskwatch"


class VersionEyes(StubEyes):
    """Stub eyes that know their model's name, and fail after so many frames where `fault` is set."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.fault: Exception | None = None
        self.sound_frames = 0

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        if self.fault is not None and len(self.frames) >= self.sound_frames:
            raise self.fault
        return super().faces(frame)


class SlotStage(Stage):
    """Loads stub eyes for whatever bundle the slots choose; notes what ran at each frame and what was told of it."""

    def __init__(self, shelf: Shelf, *cameras: FakeCamera, settings: Settings | None = None) -> None:
        super().__init__(*cameras, settings=settings)
        self.slots = Runner(shelf.slots)
        self.faults: dict[str, Exception] = {}  # by version: what loading it raises
        self.eye_faults: dict[str, tuple[Exception, int]] = {}  # by version: what a look raises, after so many frames
        self.begun: list[str] = []
        self.loaded: list[str] = []
        self.load_threads: list[str] = []
        self.held: dict[str, threading.Event] = {}  # by version: what loading it waits for
        self.told: list[tuple[str, str]] = []
        self.names: list[str] = []

    def model(self, settings: ModelSettings, loaded: Model | None) -> Model:
        if not settings.bundle:
            name, version, sha256 = "built-in", "built-in", BUILT_IN.sha256
        else:
            bundle = open_bundle(Path(settings.bundle))
            version, sha256 = bundle.manifest.version, bundle.sha256
            name = f"{bundle.manifest.name} {version}"
        if loaded is not None and loaded.identity == (sha256, settings.threads):
            return loaded
        self.begun.append(version)
        if version in self.held:
            assert self.held[version].wait(LIMIT_S)
        self.loaded.append(version)
        self.load_threads.append(threading.current_thread().name)
        if version in self.faults:
            raise self.faults[version]
        eyes = VersionEyes(name)
        eyes.fault, eyes.sound_frames = self.eye_faults.get(version, (None, 0))
        self.eyes.append(eyes)
        return Model(eyes, (sha256, settings.threads), name)

    def runs(self, model: RunningModel, why: str) -> None:
        self.told.append((str(model), why))

    def daemon(self, on_verdict: Callable[[Frame, Verdict], object] | None = None, **options: object) -> Daemon:
        observer = NoObserver()
        observer.runs = self.runs  # type: ignore[method-assign]
        options = {"observer": observer, "slots": self.slots} | options

        def note(frame: Frame, verdict: Verdict) -> None:
            self.names.append(self.eyes_of(frame))
            if on_verdict is not None:
                on_verdict(frame, verdict)

        return super().daemon(note, **options)

    def eyes_of(self, frame: Frame) -> str:
        """Whose eyes have seen this frame; nobody's of ours where a test loads real ones."""
        return next((eyes.name for eyes in self.eyes if eyes.frames and eyes.frames[-1] is frame), "")
