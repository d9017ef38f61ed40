"""The preview's loop with a scripted camera and eyes that see what a test wants: no networks, no lights."""

from __future__ import annotations

import itertools
import threading

import pytest
from maskwatch import capture as capture_module
from maskwatch.cameras.base import CameraMissingError
from maskwatch.cameras.fake import FakeCamera, Show, Silence, Step, Vanish, noise_picture
from maskwatch.config import CameraSettings, Settings
from maskwatch.errors import CameraError, MaskwatchError, OperatorError
from maskwatch.page import watch as watch_module
from maskwatch.page.board import Board, Showcase
from maskwatch.page.hints import Aim, Hint, Trouble
from maskwatch.page.watch import HOLD_SECONDS, HeldHints, Preview
from maskwatch.signals import Command
from maskwatch.types import Box, Face, Frame, Label
from sights import LIMIT_S

SETTINGS = Settings(camera=CameraSettings(source="demo", timeout_seconds=0.5))
FACE = Face(Box(20, 10, 40, 30), 0.9, 0.02, Label.WITHOUT_MASK)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(watch_module, "TICK_SECONDS", 0.01)


class Eyes:
    def faces(self, frame: Frame) -> tuple[Face, ...]:
        return (FACE,)


class Stage:
    """A preview, its clock, which each redrawing moves by a second, and all it says and draws."""

    def __init__(
        self,
        *steps: Step,
        live: bool = False,
        seconds: float = 1e6,
        camera: FakeCamera | None = None,
        **options: object,
    ) -> None:
        self.now_s = 0.0
        self.said: list[str] = []
        self.boards: list[Board] = []
        self.camera = camera or FakeCamera(steps, live, clock=lambda: 0.0)
        self.showcase = Showcase(seconds, lambda: self.now_s)
        self.preview = Preview(
            SETTINGS, self.camera, Eyes(), self.showcase, self.redraw, self.said.append,
            clock=lambda: self.now_s, **options,
        )  # fmt: skip

    def redraw(self, board: Board) -> None:
        self.boards.append(board)
        self.now_s += 1.0

    def serials(self) -> list[int]:
        """What was shown, one after the other; a board that is drawn again counts once."""
        shown = [board.sight.serial for board in self.boards if board.sight is not None and not board.lost]
        return [serial for serial, _ in itertools.groupby(shown)]


def frames(count: int, first: int = 0) -> list[Step]:
    return [Show(noise_picture(first + index)) for index in range(count)]


def test_frames_become_sights_and_the_sources_end_is_the_end() -> None:
    stage = Stage(*frames(5))
    stage.preview.run()
    assert stage.serials() == [1, 2, 3, 4, 5]
    assert stage.said == ["the source has ended"]
    assert stage.camera.calls[-1] == "close"
    last = stage.boards[-1].sight
    assert last is not None
    assert last.faces == (FACE,)
    assert last.frames_per_second == pytest.approx(10.0)
    assert [hint.trouble for hint in last.aim.hints] == [Trouble.SMALL]


def test_it_stops_by_itself() -> None:
    stage = Stage(*frames(1000), seconds=10)
    stage.preview.run()
    assert stage.serials() == list(range(1, 11))
    assert [board.seconds_left for board in stage.boards] == [10 - index for index in range(10)]
    assert (stage.said, stage.camera.calls[-1]) == (["the time is over"], "close")


def test_it_stops_by_itself_without_any_picture() -> None:
    stage = Stage(camera=Mute(), live=True, seconds=10)
    stage.preview.run()
    assert len(stage.boards) == 10
    assert stage.showcase.board().sight is None


def test_the_last_picture_of_files_can_stay_until_the_time_is_over() -> None:
    stage = Stage(*frames(3), seconds=20, stays=True)
    stage.preview.run()
    assert stage.said == ["the source has ended; its last picture stays", "the time is over"]
    assert (len(stage.boards), stage.serials()[-1]) == (20, 3)


def test_a_command_stops_it() -> None:
    stage = Stage(*frames(1000))
    redraw = stage.redraw

    def stop_at_the_third(board: Board) -> None:
        redraw(board)
        if len(stage.boards) == 3:
            stage.preview.command(Command.STOP)

    stage.preview._redraw = stop_at_the_third
    stage.preview.run()
    assert 3 <= len(stage.boards) <= 5


def test_waiting_clients_are_let_go_at_the_end() -> None:
    stage = Stage(*frames(1))
    stage.preview.run()
    assert stage.showcase.picture(1, LIMIT_S) is None


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (Vanish(refused_opens=2), "the fake camera is unplugged"),
        (Silence(), "the fake camera gave no picture for 0.5 seconds: check its cable"),
    ],
)
def test_a_lost_camera_is_said_once_and_taken_up_again(loss: Step, reason: str) -> None:
    stage = Stage(*frames(2), loss, Show(noise_picture(10), after_s=2.0), *frames(1, 11))
    stage.preview.run()
    assert stage.said == [f"no camera: {reason}; trying again", "the camera is back", "the source has ended"]
    assert stage.serials() == [1, 2, 3, 4]
    assert {board.lost for board in stage.boards} == {"", reason}
    back = stage.boards[-1].sight
    assert back is not None
    assert back.frames_per_second == pytest.approx(10.0)  # the gap is not counted


def test_a_camera_that_is_missing_at_the_start_is_the_end() -> None:
    class Missing(FakeCamera):
        def open(self) -> None:
            raise CameraMissingError("no camera")

    stage = Stage(camera=Missing([]))
    with pytest.raises(CameraMissingError, match=r"^no camera$"):
        stage.preview.run()


class Unlucky:
    """Remembers what it was asked, and has a better word for it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, error: CameraError) -> MaskwatchError | None:
        self.asked.append(str(error))
        return OperatorError("the service has it")


@pytest.mark.parametrize("opens", [False, True])
def test_a_camera_that_fails_before_its_first_picture_is_explained(opens: bool) -> None:
    """Some drivers refuse a busy camera when it is opened, others only when it is read."""
    camera = FakeCamera([Vanish()], live=False)
    if not opens:
        camera._refused_opens = 1
    unlucky = Unlucky()
    stage = Stage(camera=camera, explain=unlucky)
    with pytest.raises(OperatorError, match=r"^the service has it$"):
        stage.preview.run()
    assert unlucky.asked == ["the fake camera is unplugged"]


def test_a_camera_that_has_worked_needs_no_explanation() -> None:
    unlucky = Unlucky()
    stage = Stage(*frames(1), Vanish(), *frames(1, 5), explain=unlucky)
    stage.preview.run()
    assert unlucky.asked == []
    assert stage.serials() == [1, 2]


class Mute(FakeCamera):
    """Its `read` comes back only when it is closed, or the test lets it."""

    def __init__(self) -> None:
        super().__init__([])
        self.live = True
        self.release = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        assert self.release.wait(LIMIT_S)
        return None


def test_a_camera_that_hangs_in_its_driver_is_said_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    camera = Mute()
    stage = Stage(camera=camera)
    with pytest.raises(CameraError, match=r"; start the preview again; if that does not help, restart the Pi$"):
        stage.preview.run()
    assert stage.said == ["no camera: the camera hangs inside its driver: demo; trying again"]
    assert 60 <= len(stage.boards) <= 70
    assert caplog.messages == ["the camera is still inside its driver; left behind"]
    camera.release.set()


def test_hints_come_at_once_and_go_slowly() -> None:
    dark, small = Hint(Trouble.DARK, "more light"), Hint(Trouble.SMALL, "47 px")
    smaller = Hint(Trouble.SMALL, "46 px")
    held = HeldHints()
    assert held.held(Aim(20, (small,)), 0.0).hints == (small,)
    assert held.held(Aim(20, (dark,)), 0.5).hints == (dark, small)
    assert held.held(Aim(20, (smaller,)), 1.0).hints == (dark, smaller)
    assert held.held(Aim(20, ()), 0.5 + HOLD_SECONDS).hints == (smaller,)
    assert held.held(Aim(20, ()), 1.0 + HOLD_SECONDS).hints == ()
