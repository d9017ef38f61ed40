"""USB cameras: format, freshness, and drivers that hang."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from maskwatch.cameras import v4l2
from maskwatch.cameras.base import CameraMissingError
from maskwatch.cameras.fake import noise_picture
from maskwatch.cameras.v4l2 import V4L2Camera
from maskwatch.config import CameraSettings
from maskwatch.errors import CameraError


@pytest.fixture
def make(device):
    made: list[V4L2Camera] = []

    def build(**options) -> V4L2Camera:
        settings = CameraSettings(source="v4l2:7", **options)
        made.append(V4L2Camera(device.path, settings))
        return made[-1]

    yield build
    for camera in made:
        camera.close()


def until_error(camera: V4L2Camera, timeout_s: float = 30.0) -> CameraError:
    """The error that soon comes: pictures under way when the fault began may still arrive."""
    try:
        for _ in range(3):
            camera.read(timeout_s)
    except CameraError as error:
        return error
    pytest.fail("the camera went on")


def test_colours_come_out_as_rgb(device, make) -> None:
    def red_bgr(index: int) -> np.ndarray:
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 2] = 255
        picture[0, 0, 0] = index % 256
        return picture

    device.picture = red_bgr
    camera = make()
    camera.open()
    assert tuple(camera.read(5).image[20, 20]) == (255, 0, 0)


def test_it_asks_for_mjpg_in_the_settings_size(device, make) -> None:
    camera = make(width_px=640, height_px=480, frames_per_second=7.0)
    camera.open()
    assert device.opened_with == (str(device.path), cv2.CAP_V4L2)
    assert device.settings == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 640,
        cv2.CAP_PROP_FRAME_HEIGHT: 480,
        cv2.CAP_PROP_FPS: 7.0,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }


def test_a_slow_reader_gets_a_fresh_picture_and_costs_no_decoding(device, make) -> None:
    numbers: list[int] = []

    def numbered(index: int) -> np.ndarray:
        numbers.append(index)
        return noise_picture(index)

    device.picture = numbered
    camera = make()
    camera.open()
    first = camera.read(5)
    assert device.many_grabs.wait(20)  # the reader is busy elsewhere
    second = camera.read(5)
    assert numbers[1] >= 20
    assert device.retrieved == 2
    np.testing.assert_array_equal(second.image[..., ::-1], noise_picture(numbers[1]))
    assert first.index + 1 == second.index


def test_a_broken_picture_is_skipped(device, make) -> None:
    device.picture = lambda index: None if device.retrieved < 3 else noise_picture(index)
    camera = make()
    camera.open()
    assert camera.read(5) is not None
    assert device.retrieved == 3


def test_upside_down_is_turned(device, make) -> None:
    device.picture = lambda index: noise_picture(4)
    camera = make(rotation_degrees=180)
    camera.open()
    np.testing.assert_array_equal(camera.read(5).image, noise_picture(4)[::-1, ::-1, ::-1])


def test_a_driver_that_hangs_is_bounded_in_reading_and_closing(device, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "_JOIN_SECONDS", 0.05)
    camera = make()
    camera.open()
    camera.read(5)
    device.blocks = True
    begin = time.monotonic()
    assert "no picture for 0.1 seconds" in str(until_error(camera, timeout_s=0.1))
    camera.close()
    assert time.monotonic() - begin < 3
    assert device.released == 0
    device.release_driver.set()
    assert device.gone.wait(5)


def test_an_unplugged_camera_fails_at_once(device, make) -> None:
    camera = make()
    camera.open()
    camera.read(5)
    device.lost = True
    assert "is lost" in str(until_error(camera))


def test_an_error_inside_opencv_is_a_camera_error(device, make) -> None:
    camera = make()
    camera.open()
    device.raises = True
    assert "failed inside OpenCV" in str(until_error(camera))


def test_a_busy_camera_says_so_and_can_be_opened_later(device, make) -> None:
    device.opens = False
    camera = make()
    with pytest.raises(CameraError, match="another program may hold it"):
        camera.open()
    device.opens = True
    camera.open()
    assert camera.read(5) is not None


def test_no_permission_names_the_group(device, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2.os, "access", lambda *_: False)
    with pytest.raises(CameraMissingError, match="usermod -aG video"):
        make().open()


def test_another_mode_than_asked_for_is_logged(device, make, caplog: pytest.LogCaptureFixture) -> None:
    camera = make()
    device.settings = type("Stubborn", (dict,), {"__setitem__": lambda *_: None})({cv2.CAP_PROP_FRAME_WIDTH: 320})
    camera.open()
    assert "gives 320×0 instead of 1280×960" in caplog.text
