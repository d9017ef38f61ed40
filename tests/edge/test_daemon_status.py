"""The status of a whole daemon, asked while it runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from maskwatch import capture as capture_module
from maskwatch.cameras.fake import FakeCamera, Show, Step, Vanish, noise_picture
from maskwatch.config import AlertSettings, CameraSettings, ModelSettings, Settings, TrackerSettings
from maskwatch.daemon import Daemon
from maskwatch.door import Model, Parts
from maskwatch.indicators.record import RecordOutputs
from maskwatch.observer import NoObserver, Observers
from maskwatch.signals import Command
from maskwatch.status import PersonStatus, read_status
from maskwatch.status_keeper import StatusKeeper
from maskwatch.status_socket import served
from maskwatch.types import Box, Face, Frame, Label
from status_stage import LIMIT_S, Asker, answer, askers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., Asker]]:
    with askers(path) as one:
        yield one


# A whole daemon


class Fed(FakeCamera):
    """A live camera that shows what a test feeds it, when it does."""

    def __init__(self) -> None:
        super().__init__([])
        self.feed: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self.asked = threading.Semaphore(0)

    def read(self, timeout_s: float) -> Frame | None:
        self.asked.release()
        step = self.feed.get(timeout=LIMIT_S)
        if step is not None:
            self._steps.append(step)
        return super().read(timeout_s)


class OneBareFace:
    """Eyes that see somebody without a mask in every frame, once they may look."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        assert self.open.wait(LIMIT_S)
        return (Face(Box(0, 0, 100, 120), 0.9, 0.04, Label.WITHOUT_MASK),)


class Running:
    """A daemon in a thread of its own, with a fed camera, recorded lights and a socket."""

    def __init__(self, path: Path) -> None:
        self.camera, self.eyes, self.judged = Fed(), OneBareFace(), threading.Semaphore(0)
        self.settings = Settings(
            camera=CameraSettings(source="demo", timeout_seconds=0.5),
            tracker=TrackerSettings(votes_needed=1),
            alert=AlertSettings(hold_seconds=0.0),
        )
        self.model = "one 1.0.0"
        self.seed = 0
        keeper = StatusKeeper(passed_frames=lambda: self.daemon.passed_frames)
        self.daemon = Daemon(
            lambda: self.settings,
            Parts(lambda _: self.camera, lambda _: RecordOutputs(), self._model),
            lambda frame, verdict: self.judged.release(),
            observer=Observers(NoObserver(), keeper),
            wait_for_camera=True,
        )
        self.served = served(path, lambda: keeper.status(self.daemon.dropped_frames))
        self.thread = threading.Thread(target=self._run)

    def _model(self, settings: ModelSettings, loaded: Model | None) -> Model:
        return Model(self.eyes, (self.model, 1), self.model)

    def _run(self) -> None:
        with self.served:
            self.daemon.run()

    def show(self, count: int) -> None:
        """Frames, one after the other: each is judged before the next is there."""
        for _ in range(count):
            self.seed += 1
            self.camera.feed.put(Show(noise_picture(self.seed)))
            assert self.judged.acquire(timeout=LIMIT_S)


@pytest.fixture
def running(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(capture_module, "LONGEST_PAUSE_SECONDS", 0.002)
    door = Running(path)
    door.thread.start()
    door.show(1)  # from now on there is a socket
    yield door
    door.eyes.open.set()
    door.camera.feed.put(None)
    door.thread.join(LIMIT_S)
    assert not door.thread.is_alive()


def test_a_daemon_tells_what_it_sees_loses_and_loads(
    running: Running, path: Path, connect: Callable[..., Asker]
) -> None:
    asker = connect(b"watch\n")
    first = asker.status()
    assert (first.state, first.camera_source, first.model) == ("unmasked", "demo", "one 1.0.0")
    assert (first.people_count, first.unmasked_count) == (1, 1)
    assert first.people == (PersonStatus("without_mask", 0.04),)
    running.camera.feed.put(Vanish(refused_opens=5))
    lost = asker.wait_for("no_camera")
    assert (lost.camera_lost_reason, lost.fps, lost.people_count) == ("the fake camera is unplugged", 0.0, 0)
    running.show(2)
    assert asker.wait_for("unmasked").camera_lost_reason is None
    running.model = "two 2.0.0"
    running.daemon.command(Command.RELOAD)
    while (status := asker.status()).reloads == 0:
        pass
    assert (status.reloads, status.model) == (1, "two 2.0.0")
    running.show(4)
    assert answer(path).frames >= 6  # the last frame's observers may not have been told yet
    running.camera.feed.put(None)
    while line := asker.lines.readline():
        read_status(line)
    running.thread.join(LIMIT_S)
    assert not path.exists()


def test_dropped_frames_are_told_while_the_daemon_runs(running: Running, path: Path) -> None:
    def wait_for_reads(count: int) -> None:
        for _ in range(count):
            assert running.camera.asked.acquire(timeout=LIMIT_S)

    wait_for_reads(2)  # the first frame, and the one that is waited for
    running.eyes.open.clear()
    for seed in range(100, 105):
        running.camera.feed.put(Show(noise_picture(seed)))
    wait_for_reads(5)  # all five lie in the mailbox, or did
    assert answer(path).dropped_frames in (3, 4)  # the daemon is busy with one, or does not know of any yet
    running.eyes.open.set()


def test_no_client_keeps_a_frame_from_being_judged(running: Running, path: Path, connect: Callable[..., Asker]) -> None:
    hostile = [connect() for _ in range(300)]
    hostile += [connect(b"watch\n") for _ in range(20)]  # none of them reads
    running.show(50)
    Asker(path, b"x" * 1000).close()
    running.show(50)
    assert running.daemon.frames == 101
    assert answer(path).people_count == 1
