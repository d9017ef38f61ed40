"""USB cameras through Video4Linux and OpenCV, in a thread of their own, so that a stuck driver blocks nobody."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from maskwatch.cameras.base import CameraMissingError, FrameGuard, not_open, silent, turn
from maskwatch.errors import CameraError
from maskwatch.types import Frame, Image

if TYPE_CHECKING:
    from maskwatch.config import CameraSettings

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 1.0


class V4L2Camera:
    """A USB camera at a device such as /dev/video0; one stream, no `lores`.

    Asks for MJPG (raw video at this size does not fit through USB 2), `width_px`×`height_px` and `frames_per_second`; a
    camera that has no such mode gives its nearest, which is logged.
    """

    live = True

    def __init__(self, device: Path, settings: CameraSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._settings, self._clock = device, settings, clock
        self._grabber: _Grabber | None = None
        self._guard = FrameGuard(str(device))
        self._index = 0

    def open(self) -> None:
        """Start the camera.

        Raises:
            CameraMissingError: no such device, or no permission for it.
            CameraError: the device is busy or is no camera, or does not answer within `settings.timeout_seconds`.
        """
        if self._grabber is not None:
            return
        if not self._device.exists():
            raise CameraMissingError(f"{self._device} is not there: plug it in, or see which there are: ls /dev/video*")
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise CameraMissingError(f"no permission for {self._device}: sudo usermod -aG video $USER, log in again")
        grabber = _Grabber(self._device, self._settings)
        grabber.start()
        try:
            grabber.wait_until_open(self._settings.timeout_seconds)
        except CameraError:
            grabber.stop()
            raise
        self._grabber, self._guard, self._index = grabber, FrameGuard(str(self._device)), 0

    def read(self, timeout_s: float) -> Frame | None:
        """The first picture that arrives from now on; never None.

        Raises:
            CameraError: not open, unplugged, silent for `timeout_s`, or frozen.
        """
        if self._grabber is None:
            raise not_open(str(self._device))
        image = self._grabber.take(timeout_s)
        captured_s = self._clock()
        self._guard.check(image, captured_s)
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        frame = Frame(turn(rgb, self._settings.rotation_degrees), captured_s, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Stop the camera; where its driver hangs, the thread is left to end when the driver lets go."""
        if self._grabber is not None:
            self._grabber.stop()
            self._grabber = None


class _Grabber(threading.Thread):
    """Owns the capture from opening to release; hands over a picture only when one is asked for.

    It empties the driver's queue all the time, which is cheap, and decodes what is asked for, which is not: so a
    picture is never older than the question, and a slow reader costs nothing.
    """

    def __init__(self, device: Path, settings: CameraSettings) -> None:
        super().__init__(name=f"camera-{device.name}", daemon=True)
        self._device, self._settings = device, settings
        self._changed = threading.Condition()
        self._opened = False
        self._wanted = False
        self._stopping = False
        self._picture: Image | None = None
        self._fault: str | None = None

    def wait_until_open(self, timeout_s: float) -> None:
        """Return once the camera runs; CameraError where it does not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._opened or self._fault is not None, timeout_s):
                raise CameraError(f"{self._device} does not answer: unplug it and plug it in again")
            if self._fault is not None:
                raise CameraError(self._fault)

    def take(self, timeout_s: float) -> Image:
        """A picture (BGR) grabbed after this call; CameraError where none comes in time."""
        with self._changed:
            self._picture, self._wanted = None, True
            self._changed.wait_for(lambda: self._picture is not None or self._fault is not None, timeout_s)
            self._wanted = False
            if self._picture is not None:
                return self._picture
            raise CameraError(self._fault) if self._fault is not None else silent(str(self._device), timeout_s)

    def stop(self) -> None:
        """Ask the thread to release the camera and end; wait for it a short while."""
        self._stopping = True
        self.join(_JOIN_SECONDS)
        if self.is_alive():
            logger.warning("%s is still inside its driver; it is released when the driver answers", self._device)

    def run(self) -> None:
        """Open, grab until stopped or lost, release."""
        cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_SILENT
        )  # OpenCV's own lines on stderr say less than ours
        capture = cv2.VideoCapture(str(self._device), cv2.CAP_V4L2)
        try:
            if not capture.isOpened():
                self._fail(f"{self._device} cannot be opened: another program may hold it, or it is no camera")
                return
            self._configure(capture)
            with self._changed:
                self._opened = True
                self._changed.notify_all()
            while not self._stopping:
                if not capture.grab():
                    self._fail(f"{self._device} is lost: check its cable")
                    return
                if self._wanted:
                    self._decode(capture)
        except cv2.error:
            logger.debug("%s", self._device, exc_info=True)
            self._fail(f"{self._device} failed inside OpenCV: unplug it and plug it in again")
        finally:
            capture.release()

    def _decode(self, capture: cv2.VideoCapture) -> None:
        there, picture = capture.retrieve()
        if not there or picture is None:
            logger.debug("%s: a picture arrived broken; waiting for the next", self._device)
            return
        with self._changed:
            self._picture = picture.astype(np.uint8, copy=False)
            self._wanted = False
            self._changed.notify_all()

    def _configure(self, capture: cv2.VideoCapture) -> None:
        settings = self._settings
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height_px)
        capture.set(cv2.CAP_PROP_FPS, settings.frames_per_second)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        given = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if given != (settings.width_px, settings.height_px):
            logger.warning(
                "%s gives %d×%d instead of %d×%d", self._device, *given, settings.width_px, settings.height_px
            )

    def _fail(self, fault: str) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()
