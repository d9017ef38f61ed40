"""The daemon and its camera: lost, missing, hanging, quicker than the judge."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from daemon_stage import BARE, EMPTY, LIMIT_S, MASKED, Missing, Stage, files, scene, shows
from maskwatch import daemon as daemon_module
from maskwatch.cameras import CameraMissingError
from maskwatch.cameras.fake import FakeCamera, Show, Silence, Vanish
from maskwatch.errors import CameraError
from maskwatch.types import Frame, Situation, Verdict

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_a_lost_camera_shows_at_once_and_comes_back_by_itself(log: Callable[[], list[str]]) -> None:
    later = [Show(scene(EMPTY), after_s=60.0)]  # the tracker has forgotten whoever stood there
    stage = Stage(files([*shows(MASKED), Vanish(refused_opens=5), *later, Silence(), *later]))
    stage.daemon().run()
    assert stage.situations() == [Situation.ALL_MASKED, Situation.NOBODY, Situation.NOBODY]
    lines = log()
    assert lines[2:-1] == [
        "the door shows no_camera: the fake camera is unplugged; trying again",  # once, not for each try
        "the door shows nobody: 0 seen, 0 unmasked",
        "the door shows no_camera: the fake camera gave no picture for 0.5 seconds: check its cable; trying again",
        "the door shows nobody: 0 seen, 0 unmasked",
    ]
    assert stage.is_dark()


def test_a_camera_that_is_missing_at_the_start_ends_the_run_in_silence(log: Callable[[], list[str]]) -> None:
    stage = Stage(Missing(CameraMissingError("/dev/video9 is not there")))
    with pytest.raises(CameraMissingError, match="is not there"):
        stage.daemon().run()
    assert stage.is_dark()
    assert log() == []  # the command line says it, once


def test_a_camera_that_hangs_is_shown_as_lost_and_at_last_given_up(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    now_s, inside, release = [0.0], threading.Event(), threading.Event()

    class Frozen(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            inside.set()
            release.wait(LIMIT_S)
            return None

    def clock() -> float:
        if inside.is_set():
            now_s[0] += 1.0
        return now_s[0]

    monkeypatch.setattr(daemon_module, "TICK_SECONDS", 0.005)
    stage = Stage(Frozen([]))
    with pytest.raises(CameraError, match="hangs inside its driver: demo; only a restart"):
        stage.daemon(clock=clock).run()
    release.set()
    assert log()[0] == "the door shows no_camera: the camera hangs inside its driver: demo; trying again"
    assert stage.is_dark()


def test_a_slow_judge_sees_the_newest_frame() -> None:
    total = 200
    camera = FakeCamera(shows(BARE, total))
    stage = Stage(camera)
    drained = threading.Event()
    read = camera.read

    def watched_read(timeout_s: float) -> Frame | None:
        taken = read(timeout_s)
        if taken is None:
            drained.set()
            assert released.wait(LIMIT_S)
        return taken

    released = threading.Event()
    camera.read = watched_read  # type: ignore[method-assign]

    def judged(frame: Frame, verdict: Verdict) -> None:
        assert drained.wait(LIMIT_S)  # judging takes as long as the camera's whole script
        if frame.index == total - 1:
            released.set()

    daemon = stage.daemon(judged)
    daemon.run(seconds=LIMIT_S)
    assert [verdict.frame_index for verdict in stage.verdicts][1:] in ([total - 1], [])
    assert daemon.frames + daemon.dropped_frames == total
