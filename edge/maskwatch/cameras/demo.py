"""A live source for a machine without a camera: one real portrait, some seconds bare, then as long with a mask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from maskwatch.cameras.base import not_open, silent
from maskwatch.cameras.portrait import load_portraits
from maskwatch.types import Frame, Image

if TYPE_CHECKING:
    from maskwatch.config import CameraSettings

WIDTH_PX, HEIGHT_PX = 640, 480

_FACE_CENTRE_PX = (266.0, 236.0)  # on the portrait
_FACE_AT_PX = (320.0, 205.0)  # on the frame, on average
_SWAY_PX = (18.0, 6.0)
_ZOOM, _ZOOM_SWING = 0.92, 0.06
_SWAY_SECONDS, _ZOOM_SECONDS = 11.0, 17.0


class DemoCamera:
    """The portrait sways and nears a little, as a person does who waits at a door; 480×640×3 RGB, no second stream.

    It paces itself to `settings.frames_per_second`; where the reader is slower, frames are dropped, as a camera does.
    `pause` sleeps for so many seconds.
    """

    live = True

    def __init__(
        self,
        settings: CameraSettings,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
        phase_seconds: float = 5.0,
    ) -> None:
        self._period_s = 1 / settings.frames_per_second
        self._clock, self._pause = clock, pause
        self._phase_seconds = phase_seconds
        self._portraits: tuple[Image, Image] | None = None
        self._opened_s = self._due_s = 0.0
        self._index = 0

    def open(self) -> None:
        """Load the portrait; the first phase, bare, starts now."""
        if self._portraits is not None:
            return
        self._portraits = load_portraits()
        self._opened_s = self._due_s = self._clock()
        self._index = 0

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when it is due; never None."""
        if self._portraits is None:
            raise not_open("the demo")
        wait_s = self._due_s - self._clock()
        if wait_s > timeout_s:
            self._pause(timeout_s)
            raise silent("the demo", timeout_s)
        if wait_s > 0:
            self._pause(wait_s)
        now_s = max(self._clock(), self._due_s)
        self._due_s += self._period_s * (1 + (now_s - self._due_s) // self._period_s)
        elapsed_s = now_s - self._opened_s
        masked = int(elapsed_s / self._phase_seconds) % 2 == 1
        frame = Frame(_scene(self._portraits[masked], elapsed_s), captured_s=now_s, index=self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Drop the portrait."""
        self._portraits = None


def _scene(portrait: Image, elapsed_s: float) -> Image:
    """The frame at a moment: the portrait scaled and shifted, what lies beyond its edges mirrored."""
    turn = 2 * math.pi * elapsed_s
    zoom = _ZOOM + _ZOOM_SWING * math.sin(turn / _ZOOM_SECONDS)
    shift_x = _FACE_AT_PX[0] + _SWAY_PX[0] * math.sin(turn / _SWAY_SECONDS) - zoom * _FACE_CENTRE_PX[0]
    shift_y = _FACE_AT_PX[1] + _SWAY_PX[1] * math.cos(turn / _SWAY_SECONDS) - zoom * _FACE_CENTRE_PX[1]
    matrix = np.array([[zoom, 0, shift_x], [0, zoom, shift_y]])
    scene = cv2.warpAffine(
        portrait, matrix, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return scene.astype(np.uint8, copy=False)
