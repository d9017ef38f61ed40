"""The scripted camera plays its script, faults and all."""

from __future__ import annotations

import threading

import pytest
from maskwatch.cameras.fake import FakeCamera, Show, Silence, Vanish, noise_picture, plain_picture
from maskwatch.errors import CameraError


def test_pictures_come_at_the_scripts_times() -> None:
    camera = FakeCamera([Show(noise_picture(0)), Show(noise_picture(1), count=2, after_s=2.0)], clock=lambda: 10.0)
    camera.open()
    frames = [camera.read(1) for _ in range(4)]
    assert [frame and round(frame.captured_s, 3) for frame in frames] == [10.1, 12.1, 14.1, None]
    assert camera.calls == ["open", "read", "read", "read", "read"]


def test_silence_lasts_the_timeout_or_until_closed() -> None:
    camera = FakeCamera([Silence(), Silence(), Show(noise_picture(0))])
    camera.open()
    with pytest.raises(CameraError, match="no picture"):
        camera.read(0.01)

    def close_while_reading() -> None:
        while camera.calls.count("read") < 2:
            threading.Event().wait(0.001)
        camera.close()

    closer = threading.Thread(target=close_while_reading)
    closer.start()
    with pytest.raises(CameraError, match="no picture"):
        camera.read(60)
    closer.join()
    camera.open()
    assert camera.read(1) is not None


def test_a_vanished_camera_refuses_to_open_and_comes_back() -> None:
    camera = FakeCamera([Vanish(refused_opens=2), Show(noise_picture(0))])
    camera.open()
    with pytest.raises(CameraError, match="unplugged"):
        camera.read(1)
    camera.close()
    for _ in range(2):
        with pytest.raises(CameraError, match="unplugged"):
            camera.open()
    camera.open()
    assert camera.read(1).index == 0


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Show(noise_picture(1), after_s=-5.0), "time stamps"),
        (Show(noise_picture(1, 32, 24)), "changed its picture size"),
        (Show(noise_picture(0), count=200), "frozen"),
    ],
)
def test_frames_that_cannot_be_right_are_errors(step: Show, words: str) -> None:
    camera = FakeCamera([Show(noise_picture(0)), step])
    camera.open()
    camera.read(1)
    with pytest.raises(CameraError, match=words):
        any(camera.read(1) is None for _ in range(200))


def test_darkness_is_a_picture() -> None:
    camera = FakeCamera([Show(plain_picture(0), count=300)])
    camera.open()
    assert all((camera.read(1).image == 0).all() for _ in range(300))
