"""What a door that runs for years writes to its SD card: less than 1 MB an hour, however busy it is."""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_stage import BARE, EMPTY, MASKED, NOON, Stage, files, scene, serial
from maskwatch.cameras.fake import Show, Step
from maskwatch.config import AlertSettings, CameraSettings, Settings, TrackerSettings
from maskwatch.daemon import CHANGES_AT_ONCE, SECONDS_A_CHANGE, SHOWS, Daemon
from maskwatch.darkness import DARK_SECONDS
from maskwatch.door import Parts
from maskwatch.indicators.claim import NOTE, noted
from maskwatch.notify import Notifier
from maskwatch.observer import Observers
from maskwatch.service import ServiceObserver
from maskwatch.status_keeper import StatusKeeper
from maskwatch.types import Image

pytestmark = pytest.mark.usefixtures("short_pauses")

FPS = 10
HOUR_S = 3600

LINE_BYTES = 1000
FLUSH_BYTES, FLUSH_SECONDS = 100_000, 30
"""What a line costs a journal on a card: itself with its fields, and all the pages of the index that it has touched,
which Linux writes out after 30 s (`vm.dirty_expire_centisecs`). Measured with systemd 252 on ext4, as `write_bytes` in
journald's /proc/PID/io: 52 to 75 kB for a lone line, 94 kB for 60 at once; in the file itself 330 to 590 bytes each."""


def lit(level: int) -> Image:
    """A scene by day, of which the stub's eyes look at one pixel."""
    picture = scene(90)
    picture[0, 0] = level
    picture[44, 60] = next(serial) % 256  # one of those by which a frozen camera is told from one that lives
    return picture


def hour(*levels: int) -> Iterator[Step]:
    """An hour in which the door sees one level after the other, over and over."""
    pictures = {level: [lit(level) for _ in range(2)] for level in levels}
    for index in range(HOUR_S * FPS):
        yield Show(pictures[levels[index % len(levels)]][index % 2], after_s=1 / FPS)


def lasting(level: int, seconds: float) -> list[int]:
    return [level] * round(seconds * FPS)


BUSY: dict[str, tuple[AlertSettings, TrackerSettings, list[int]]] = {
    "another light with every frame": (
        AlertSettings(hold_seconds=0.0),
        TrackerSettings(votes_needed=1, window_frames=1, max_missed_seconds=0.0),
        [EMPTY, MASKED, BARE],
    ),
    "a visitor every ten seconds": (
        AlertSettings(),
        TrackerSettings(),
        [*lasting(EMPTY, 5), *lasting(BARE, 2), *lasting(MASKED, 3)],
    ),
}


class Opened:
    """Files that this process opens for writing, renames or makes, while `watching`; its hook cannot be taken away."""

    def __init__(self) -> None:
        self.watching = False
        self.paths: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, details: tuple[object, ...]) -> None:
        if not self.watching:
            return
        if event == "open":
            path, _, flags = details
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.paths.append(str(path))
        elif event in ("os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate"):
            self.paths += [str(detail) for detail in details if isinstance(detail, str | bytes | os.PathLike)]


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


class Journal(logging.Handler):
    """Counts what a journal would cost a card; the frames tell the time."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.now_s: Callable[[], float] = float
        self.flushes: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.flushes.add(int(self.now_s() // FLUSH_SECONDS))

    @property
    def card_bytes(self) -> int:
        assert max(map(len, self.lines)) < LINE_BYTES / 4  # next to its fields
        return len(self.lines) * LINE_BYTES + len(self.flushes) * FLUSH_BYTES


@contextmanager
def kept(journal: Journal) -> Iterator[None]:
    logger = logging.getLogger("maskwatch")
    level = logger.level
    logger.addHandler(journal)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(journal)
        logger.setLevel(level)


def logged(stage: Stage) -> list[str]:
    journal = Journal()
    with kept(journal):
        stage.daemon().run()
    return journal.lines


@pytest.mark.parametrize("kind", BUSY)
def test_an_hour_of_a_busy_door_costs_the_card_less_than_a_megabyte(kind: str, opened: Opened, tmp_path: Path) -> None:
    alert, tracker, levels = BUSY[kind]
    settings = Settings(camera=CameraSettings(source="demo"), alert=alert, tracker=tracker)
    stage = Stage(files(hour(*levels)), settings=settings)
    runtime = tmp_path / "run"
    runtime.mkdir()
    keeper = StatusKeeper()
    situations = []
    daemon = Daemon(
        stage.load_settings,
        Parts(stage.camera, noted(stage.outputs, runtime / NOTE), stage.model),
        on_verdict=lambda frame, verdict: situations.append(verdict.situation),
        wall_time=lambda: NOON,
        observer=Observers(ServiceObserver(Notifier({})), keeper),
    )
    journal = Journal()
    journal.now_s = lambda: daemon.frames / FPS
    opened.paths.clear()
    with kept(journal):
        opened.watching = True
        try:
            daemon.run()
        finally:
            opened.watching = False
    changes = sum(before is not after for before, after in itertools.pairwise(situations))
    assert (daemon.frames, changes > 500) == (HOUR_S * FPS, True)
    assert journal.card_bytes < 1_000_000
    assert opened.paths, "not even the note was seen: this test sees nothing"
    assert [path for path in opened.paths if not path.startswith(str(runtime))] == []
    told = [line for line in journal.lines if line.startswith(SHOWS)]
    assert CHANGES_AT_ONCE < len(told) <= CHANGES_AT_ONCE + HOUR_S / SECONDS_A_CHANGE
    untold = sum(int(line.rpartition("; ")[2].split()[0]) - 1 for line in told if "changes since" in line)
    assert len(told) + untold <= changes + 1  # the first light is a line too
    assert len(told) + untold >= 0.8 * changes  # all but those since the last line


def test_after_a_busy_time_the_log_says_what_the_door_shows() -> None:
    """The last line must not be one that was overtaken by what it passed over."""
    levels = [EMPTY, BARE] * 50 + lasting(EMPTY, SECONDS_A_CHANGE)
    alert, tracker, _ = BUSY["another light with every frame"]
    settings = Settings(alert=alert, tracker=tracker)
    stage = Stage(files(Show(lit(level), after_s=1 / FPS) for level in levels), settings=settings)
    told = [line for line in logged(stage) if line.startswith(SHOWS)]
    assert len(told) == CHANGES_AT_ONCE + 1
    assert told[-1] == f"{SHOWS}nobody: 0 seen, 0 unmasked; {101 - CHANGES_AT_ONCE} changes since the last line"


def test_a_picture_that_turned_black_is_told_at_once_however_much_went_untold() -> None:
    alert, tracker, levels = BUSY["another light with every frame"]
    steps = [Show(lit(level), after_s=1 / FPS) for level in levels * 30]
    steps += [Show(scene(EMPTY), after_s=1 / FPS) for _ in range(round((DARK_SECONDS + 1) * FPS))]
    lines = logged(Stage(files(steps), settings=Settings(alert=alert, tracker=tracker)))
    assert "the picture is black" in lines[-2]
