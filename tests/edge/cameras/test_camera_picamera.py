"""The Pi's camera: colour order, padding, timeouts, clean ends. Against a stand-in for picamera2."""

from __future__ import annotations

import sys
import threading

import cv2
import numpy as np
import pytest
from camera_stubs import padded_i420
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.cameras import picamera
from maskwatch.cameras.base import CameraMissingError
from maskwatch.cameras.picamera import PiCamera, i420_to_rgb
from maskwatch.config import CameraSettings
from maskwatch.errors import CameraError, ExitCode, OperatorError

SETTINGS = CameraSettings(source="picamera")


def plain_scene(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((96, 128, 3), colour, np.uint8)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
@pytest.mark.parametrize("padding", [0, 64, 128])
def test_golden_colours_in_both_streams(picamera2, colour: tuple[int, int, int], padding: int) -> None:
    """RGB888 is BGR in picamera2, YUV420p2RGB is YV12 in OpenCV: both swap red and blue in silence."""
    picamera2.scene = staticmethod(lambda _: plain_scene(colour))
    picamera2.lores_padding = padding
    camera = PiCamera(SETTINGS)
    camera.open()
    frame = camera.read(1)
    assert frame.image.shape == (960, 1280, 3)
    assert frame.lores.shape == (384, 512, 3)
    assert (frame.image == colour).all()
    assert np.abs(frame.lores.astype(int) - colour).max() <= 3
    assert frame.lores.flags.c_contiguous
    camera.close()


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_padding_changes_no_pixel(half_width: int, half_height: int, half_padding: int, seed: int) -> None:
    # A plane's row pairs share one padded row, so a stride is even and the height too.
    width, height = 2 * half_width, 2 * half_height
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    plain = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420)
    np.testing.assert_array_equal(i420_to_rgb(padded_i420(rgb, width + 2 * half_padding), width), plain)


def test_it_configures_two_streams_a_frame_time_and_a_timeout(picamera2) -> None:
    camera = PiCamera(CameraSettings(source="picamera", frames_per_second=20.0))
    camera.open()
    camera.read(1.25)
    stub = picamera2.last
    assert stub.configuration["controls"] == {"FrameDurationLimits": (50_000, 50_000)}
    assert stub.configuration["transform"] == ("transform", 0, 0)
    assert stub.waits == [1.25]
    assert stub.outstanding == 0
    camera.close()
    assert stub.calls == ["configure", "start", "cancel", "stop", "close"]


def test_a_size_that_the_hardware_rounds_is_taken_as_it_comes(picamera2) -> None:
    camera = PiCamera(CameraSettings(source="v4l2:0", lores_width_px=256, lores_height_px=192))
    picamera2.align_configuration = lambda self, config: config["lores"].update(size=(192, 192))
    camera.open()
    assert camera.read(1).lores.shape == (192, 192, 3)
    camera.close()


def test_it_tells_which_format_of_pixels_was_agreed_upon(picamera2) -> None:
    picamera2.align_configuration = lambda self, config: config["main"].update(format="RGB888")
    camera = PiCamera(SETTINGS)
    assert camera.pixel_format == ""
    camera.open()
    assert camera.pixel_format == "RGB888"
    camera.close()


def test_upside_down_is_left_to_the_sensor(picamera2) -> None:
    camera = PiCamera(CameraSettings(source="picamera", rotation_degrees=180))
    camera.open()
    assert picamera2.last.configuration["transform"] == ("transform", 1, 1)
    camera.close()


def test_a_silent_camera_is_cancelled_stopped_closed_and_opens_again(picamera2) -> None:
    camera = PiCamera(SETTINGS)
    camera.open()
    camera.read(1)
    first = picamera2.last
    picamera2.silent = True
    with pytest.raises(CameraError, match="no picture for 1 seconds"):
        camera.read(1)
    assert first.calls == ["configure", "start", "cancel", "stop", "close"]
    with pytest.raises(CameraError, match="not open"):
        camera.read(1)
    picamera2.silent = False
    camera.open()
    assert picamera2.last is not first
    assert camera.read(1).index == 0
    camera.close()


def test_a_sensor_clock_that_stands_still_is_an_error(picamera2) -> None:
    picamera2.stuck_stamps = True
    camera = PiCamera(SETTINGS)
    camera.open()
    camera.read(1)
    with pytest.raises(CameraError, match="time stamps"):
        camera.read(1)
    assert picamera2.last.outstanding == 0
    assert picamera2.last.calls[-1] == "close"


def test_a_request_is_given_back_when_reading_it_fails(picamera2) -> None:
    camera = PiCamera(SETTINGS)
    camera.open()
    picamera2.last.configuration.pop("lores")
    with pytest.raises(CameraError, match="failed"):
        camera.read(1)
    assert picamera2.last.outstanding == 0


def test_a_stop_that_hangs_is_bounded(picamera2, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(picamera, "_CLOSE_SECONDS", 0.05)
    picamera2.stop_blocks = threading.Event()
    camera = PiCamera(SETTINGS)
    camera.open()
    camera.close()
    assert "does not let go" in caplog.text
    picamera2.stop_blocks.set()


def test_picamera2_missing_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcamera", None)
    with pytest.raises(OperatorError, match="sudo apt install python3-picamera2"):
        PiCamera(SETTINGS).open()


def test_no_camera_is_for_the_operator(picamera2) -> None:
    picamera2.connected = False
    with pytest.raises(CameraMissingError, match="cable") as caught:
        PiCamera(SETTINGS).open()
    assert caught.value.exit_code == ExitCode.OPERATOR


def test_a_busy_camera_is_worth_another_try(picamera2) -> None:
    picamera2.busy = True
    camera = PiCamera(SETTINGS)
    with pytest.raises(CameraError, match="other programs") as caught:
        camera.open()
    assert caught.value.exit_code == ExitCode.TRY_AGAIN
    picamera2.busy = False
    camera.open()
    assert camera.read(1) is not None
    camera.close()


def test_a_failed_start_leaves_nothing_open(picamera2) -> None:
    picamera2.start_fails = True
    with pytest.raises(CameraError, match="does not start"):
        PiCamera(SETTINGS).open()
    assert picamera2.last.calls == ["configure", "cancel", "stop", "close"]
