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
from maskwatch.cameras.fake import FakeCamera, Show, Step, Vanish
from maskwatch.config import AlertSettings, CameraSettings, Settings, TrackerSettings
from maskwatch.daemon import CHANGES_AT_ONCE, FAULTS_AT_ONCE, SECONDS_A_CHANGE, SECONDS_A_FAULT, SHOWS, Daemon
from maskwatch.darkness import DARK_SECONDS
from maskwatch.door import Parts
from maskwatch.indicators.claim import NOTE, noted
from maskwatch.notify import Notifier
from maskwatch.observer import Observers
from maskwatch.service import ServiceObserver
from maskwatch.status_keeper import StatusKeeper
from maskwatch.types import Image, Situation

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


# What goes wrong over and over: at two frames a second, as an hour of it is long


def at_two_a_second(level: int | None, seconds: int) -> list[Step]:
    """A scene by day, or a black one (None). Two pictures are enough to tell the camera from a frozen one."""
    pictures = [scene(0) if level is None else lit(level) for _ in range(2)]
    return [Show(pictures[index % 2], after_s=0.5) for index in range(2 * seconds)]


def flapping_camera(away_s: int, works_s: int) -> list[Step]:
    works = at_two_a_second(MASKED, works_s)
    away = [Vanish(refused_opens=3), Show(lit(MASKED), after_s=float(away_s))]
    return [*works, *[*away, *works] * (HOUR_S // (away_s + works_s))]


def flapping_lamp(dark_s: int, light_s: int, seconds: int = HOUR_S) -> list[Step]:
    dark, light = at_two_a_second(None, dark_s), at_two_a_second(EMPTY, light_s)
    return [*light, *[*dark, *light] * (seconds // (dark_s + light_s))]


FLAPPING: dict[str, tuple[list[Step], str]] = {
    "a camera with a loose cable": (flapping_camera(40, 20), "no_camera"),
    "a camera that is lost each two minutes": (flapping_camera(2, 118), "no_camera"),
    "a lamp that is switched by passers-by": (flapping_lamp(40, 20), "the picture is black"),
}


def kept_journal(steps: list[Step]) -> tuple[Journal, Stage]:
    """The daemon's clock is the frames', which begins at 0."""
    stage = Stage(FakeCamera(steps, live=False, clock=lambda: 0.0))
    journal = Journal()
    journal.now_s = lambda: stage.eyes[0].frames[-1].captured_s if stage.eyes and stage.eyes[0].frames else 0.0
    with kept(journal):
        stage.daemon(clock=journal.now_s).run()
    return journal, stage


@pytest.mark.parametrize("kind", FLAPPING)
def test_an_hour_of_a_fault_that_comes_and_goes_costs_the_card_less_than_a_megabyte(kind: str) -> None:
    """Each loss was told, however many there were: some megabytes. Their ends were not: the log ended with one."""
    steps, fault = FLAPPING[kind]
    journal, stage = kept_journal(steps)
    assert stage.verdicts[-1].captured_s > 0.95 * HOUR_S
    assert journal.card_bytes < 1_000_000
    told = [line for line in journal.lines if line.startswith(SHOWS)]
    faults = [fault in line for line in told]
    assert faults == [False, *[True, False] * sum(faults)], "what was told as wrong is told as right"
    assert FAULTS_AT_ONCE <= sum(faults) <= FAULTS_AT_ONCE + HOUR_S / SECONDS_A_FAULT


def test_a_loss_that_lasts_is_told_in_the_end_with_the_number_of_what_was_not() -> None:
    flaps = FAULTS_AT_ONCE + 2
    steps = [
        *at_two_a_second(MASKED, 2),
        *[Vanish(), *at_two_a_second(MASKED, 2)] * flaps,
        Vanish(refused_opens=50),
        *at_two_a_second(MASKED, 2),
    ]
    camera = FakeCamera(steps, live=False, clock=lambda: 0.0)
    stage = Stage(camera)

    def clock() -> float:
        """Some time passes at each try to open the camera of the last loss."""
        frame_s = stage.eyes[0].frames[-1].captured_s if stage.eyes and stage.eyes[0].frames else 0.0
        lost = camera.calls.count("open") - flaps - 1
        return frame_s + max(0, lost) * SECONDS_A_FAULT / 20

    journal = Journal()
    with kept(journal):
        stage.daemon(clock=clock).run()
    told = [line for line in journal.lines if line.startswith(SHOWS)]
    lost = f"{SHOWS}no_camera: the fake camera is unplugged; trying again"
    back = f"{SHOWS}all_masked: 1 seen, 0 unmasked"
    assert told == [back, *[lost, back] * FAULTS_AT_ONCE, f"{lost}; 5 changes since the last line", back]


def test_losses_that_went_untold_hide_no_change_of_the_light() -> None:
    """The log must not end with what was shown before them."""
    flap = [Vanish(), *at_two_a_second(MASKED, 2)]
    steps = [*at_two_a_second(MASKED, 2), *flap * 10, Vanish(), *at_two_a_second(BARE, 9)]
    journal, stage = kept_journal(steps)
    assert stage.verdicts[-1].situation is Situation.UNMASKED
    told = [line for line in journal.lines if line.startswith(SHOWS)]
    assert told[-1].startswith(f"{SHOWS}unmasked: 1 seen")


def test_a_flapping_lamp_does_not_hide_that_the_camera_is_lost() -> None:
    steps = [*flapping_lamp(40, 20, seconds=600), Vanish(), *at_two_a_second(MASKED, 2)]
    journal, _ = kept_journal(steps)
    assert sum("the picture is black" in line for line in journal.lines) == FAULTS_AT_ONCE
    assert f"{SHOWS}no_camera: the fake camera is unplugged; trying again" in journal.lines[-3]
