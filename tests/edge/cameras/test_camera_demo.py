"""The demo source: phases, pace, and the portrait with its mask."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from maskwatch.cameras import portrait
from maskwatch.cameras.demo import DemoCamera
from maskwatch.config import CameraSettings
from maskwatch.errors import CameraError, OperatorError

MOUTH = (slice(265, 285), slice(245, 290))  # on the portrait: rows, columns


class Time:
    """A clock that only `pause` moves."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def demo(time: Time, fps: float = 10.0, **options) -> DemoCamera:
    camera = DemoCamera(CameraSettings(source="demo", frames_per_second=fps), time.clock, time.pause, **options)
    camera.open()
    return camera


def wears_mask(image: np.ndarray) -> bool:
    """Bluish where the mouth is: the demo keeps the face near the frame's middle."""
    red, _, blue = image[225:250, 300:330].reshape(-1, 3).mean(axis=0)
    return bool(blue > red)


def test_phases_alternate_bare_first() -> None:
    time = Time()
    camera = demo(time, fps=1.0)
    masked = [wears_mask(camera.read(5).image) for _ in range(20)]
    assert masked == ([False] * 5 + [True] * 5) * 2


def test_it_paces_itself_by_pausing() -> None:
    time = Time()
    camera = demo(time)
    captured = [camera.read(5).captured_s for _ in range(4)]
    assert np.allclose(captured, [50.0, 50.1, 50.2, 50.3])
    assert np.allclose(time.pauses, [0.1] * 3)


def test_a_slow_reader_misses_frames_instead_of_piling_them_up() -> None:
    time = Time()
    camera = demo(time)
    camera.read(5)
    time.now_s += 1.03
    assert camera.read(5).captured_s == pytest.approx(51.03)
    assert camera.read(5).captured_s == pytest.approx(51.1)


def test_a_timeout_shorter_than_the_pace_is_silence() -> None:
    time = Time()
    camera = demo(time, fps=0.5)
    camera.read(5)
    with pytest.raises(CameraError, match=r"no picture for 0\.5 seconds"):
        camera.read(0.5)
    assert time.pauses == [0.5]


def test_mask_covers_nose_mouth_and_chin_and_little_else() -> None:
    bare, masked = portrait.load_portraits()
    changed = np.abs(masked.astype(int) - bare).max(axis=2) > 12
    assert changed[MOUTH].mean() > 0.95
    assert not changed[:190].any()
    assert not changed[360:].any()
    assert 0.03 < changed.mean() < 0.09
    assert masked[MOUTH].reshape(-1, 3).mean(axis=0) @ [-1, 0, 1] > 20


def test_a_missing_portrait_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OperatorError, match=r'pip install "maskwatch\[demo\]"'):
        DemoCamera(CameraSettings(source="demo")).open()


def test_another_picture_in_its_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portrait, "read_image", lambda _: np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(OperatorError, match="not the demo's portrait"):
        portrait.load_portraits()


def test_matplotlib_is_never_imported() -> None:
    code = (
        "import sys; from maskwatch.cameras import make_camera; from types import SimpleNamespace;"
        "camera = make_camera(SimpleNamespace(source='demo', frames_per_second=10.0)); camera.open();"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
