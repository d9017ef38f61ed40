"""What a camera is, and the checks that every live one's frames pass."""

from __future__ import annotations

import zlib
from typing import Protocol

import cv2
import numpy as np

from maskwatch.errors import CameraError, ExitCode
from maskwatch.images import MIN_SIDE_PX
from maskwatch.types import Frame, Image

FROZEN_SECONDS = 10.0
"""A live sensor's noise changes some pixel in every frame; the same pixels for this long are a stuck camera."""

_SAMPLE_STEP_PX = 4  # every fourth pixel's green is plenty to see noise, and costs a fifth of all three colours
_FLAT_RANGE = 8  # darkness or a covered lens may well repeat itself


class Camera(Protocol):
    """A source of frames. One thread at a time uses it.

    `live` is True where the newest frame wins and older ones may be dropped, False where every frame counts.
    """

    live: bool

    def open(self) -> None:
        """Get ready to read; does nothing when open already. A closed camera may be opened again.

        Raises:
            CameraError: the camera is busy, or does not start; `CameraMissingError` where there is none.
            OperatorError: the source is a file that is not there, or a library is not installed.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, waited for at most `timeout_s` seconds; None where the source has ended.

        `captured_s` and `index` grow from frame to frame, `index` from 0 at each `open`.

        Raises:
            CameraError: not open, lost, silent for `timeout_s`, or frames that cannot be right (size changes, time
                stands still, pixels frozen). Close and open again.
            ImageError: a source of files has none that can be read.
        """

    def close(self) -> None:
        """Let go of the camera within about a second; safe at any time and any number of times. Never raises."""


class CameraMissingError(CameraError):
    """No such camera is connected, or this user may not use it: somebody has to do something about it."""

    exit_code = ExitCode.OPERATOR


class FrameGuard:
    """Tells a camera that works from one that only pretends to. One for each time a camera is opened."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shape: tuple[int, ...] | None = None
        self._stamp_s: float | None = None
        self._print: int | None = None
        self._print_since_s = 0.0

    def check(self, image: Image, stamp_s: float) -> None:
        """Pass a sane frame; `stamp_s` is the sensor's time stamp or the time of arrival, in seconds.

        Raises:
            CameraError: the picture is too small or changed its size, time did not advance, or the pixels have been
                the same for `FROZEN_SECONDS`.
        """
        height, width = image.shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            raise CameraError(f"{self._name} gives pictures of {width}×{height} pixels: check its cable and its driver")
        if self._shape not in (None, image.shape):
            raise CameraError(f"{self._name} changed its picture size to {width}×{height} while running")
        if self._stamp_s is not None and stamp_s <= self._stamp_s:
            raise CameraError(f"{self._name} is stuck: its time stamps no longer advance")
        self._shape, self._stamp_s = image.shape, stamp_s
        sample = np.ascontiguousarray(image[::_SAMPLE_STEP_PX, ::_SAMPLE_STEP_PX, 1])
        fingerprint = zlib.crc32(sample.data)
        flat = int(sample.max()) - int(sample.min()) <= _FLAT_RANGE
        if flat or fingerprint != self._print:
            self._print, self._print_since_s = fingerprint, stamp_s
        elif stamp_s - self._print_since_s >= FROZEN_SECONDS:
            raise CameraError(f"{self._name} is frozen: the very same picture for {FROZEN_SECONDS:.0f} seconds")


def not_open(name: str) -> CameraError:
    """The error of reading from a camera that is closed."""
    return CameraError(f"{name} is not open")


def silent(name: str, timeout_s: float) -> CameraError:
    """The error of a camera that gave nothing in time."""
    return CameraError(f"{name} gave no picture for {timeout_s:g} seconds: check its cable")


def turn(image: Image, rotation_degrees: int) -> Image:
    """The picture of a camera that is mounted upside down (180) or upright (0)."""
    if rotation_degrees == 0:
        return image
    return cv2.rotate(image, cv2.ROTATE_180).astype(np.uint8, copy=False)
