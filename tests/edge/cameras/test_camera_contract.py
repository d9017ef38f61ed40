"""What every camera does alike, whatever is behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskwatch.cameras import Camera, make_camera
from maskwatch.cameras.fake import FakeCamera, Show, noise_picture
from maskwatch.config import CameraSettings
from maskwatch.errors import CameraError

FRAMES = 4


@dataclass(frozen=True)
class Case:
    make: Callable[[], Camera]
    live: bool
    ends: bool
    lores: bool = False


@pytest.fixture(params=["folder", "video", "demo", "fake", "v4l2", "picamera"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    quick = {"frames_per_second": 60.0}
    match request.param:
        case "folder":
            folder = tmp_path / "pictures"
            folder.mkdir()
            for index in range(FRAMES):
                cv2.imwrite(str(folder / f"{index}.png"), noise_picture(index))
            return Case(lambda: make_camera(CameraSettings(source=str(folder))), live=False, ends=True)
        case "video":
            path = tmp_path / "a.avi"
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
            for index in range(FRAMES):
                writer.write(noise_picture(index))
            writer.release()
            return Case(lambda: make_camera(CameraSettings(source=str(path))), live=False, ends=True)
        case "demo":
            return Case(lambda: make_camera(CameraSettings(source="demo", **quick)), live=True, ends=False)
        case "fake":
            return Case(lambda: FakeCamera(Show(noise_picture(i)) for i in range(FRAMES)), live=True, ends=True)
        case "v4l2":
            device = request.getfixturevalue("device")
            settings = CameraSettings(source="v4l2:7", **quick)
            from maskwatch.cameras.v4l2 import V4L2Camera

            return Case(lambda: V4L2Camera(device.path, settings), live=True, ends=False)
        case _:
            request.getfixturevalue("picamera2")
            return Case(lambda: make_camera(CameraSettings(source="picamera")), live=True, ends=False, lores=True)


@pytest.fixture
def camera(case: Case):
    camera = case.make()
    yield camera
    camera.close()


def test_reading_before_opening_is_an_error(camera: Camera) -> None:
    with pytest.raises(CameraError, match="not open"):
        camera.read(1)


def test_closing_is_safe_at_any_time(camera: Camera) -> None:
    camera.close()
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(CameraError, match="not open"):
        camera.read(1)


def test_frames_are_rgb_bytes_with_growing_times_and_numbers(camera: Camera, case: Case) -> None:
    camera.open()
    frames = [camera.read(5) for _ in range(FRAMES)]
    for frame in frames:
        assert frame is not None
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == frames[0].image.shape
        assert frame.image.ndim == 3
        assert frame.image.shape[2] == 3
        assert frame.image.flags.c_contiguous
        assert (frame.lores is not None) == case.lores
    assert [frame.index for frame in frames] == list(range(FRAMES))
    times = [frame.captured_s for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert camera.live is case.live


def test_a_frame_kept_is_not_overwritten(camera: Camera) -> None:
    camera.open()
    first = camera.read(5)
    before = first.image.copy()
    second = camera.read(5)
    np.testing.assert_array_equal(first.image, before)
    assert not np.array_equal(first.image, second.image)


def test_opening_twice_changes_nothing(camera: Camera) -> None:
    camera.open()
    assert camera.read(5).index == 0
    camera.open()
    assert camera.read(5).index == 1


def test_a_source_ends_with_none_or_never(camera: Camera, case: Case) -> None:
    camera.open()
    frames = [camera.read(5) for _ in range(FRAMES + 2)]
    assert [frame is None for frame in frames] == [False] * FRAMES + [case.ends] * 2


def test_a_closed_camera_opens_again(camera: Camera) -> None:
    camera.open()
    camera.read(5)
    camera.close()
    camera.open()
    frame = camera.read(5)
    assert frame is not None
    assert frame.index == 0
