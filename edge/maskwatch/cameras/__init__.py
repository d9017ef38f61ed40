"""Cameras: one small protocol, chosen by the name of the source."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.cameras.base import Camera, CameraMissingError
from maskwatch.errors import ConfigError

if TYPE_CHECKING:
    from maskwatch.config import CameraSettings

__all__ = ["Camera", "CameraMissingError", "make_camera"]

_V4L2_PREFIX = "v4l2:"


def make_camera(settings: CameraSettings, clock: Callable[[], float] = time.monotonic) -> Camera:
    """The camera that `settings.source` names, not opened yet: `picamera`, `v4l2:N`, `demo`, or a file or folder.

    `v4l2:` takes a number (`v4l2:0` is /dev/video0) or a device's path. A file or folder that is called like a
    camera is reached as `./demo`. `clock` gives the frames their times.

    Raises:
        ConfigError: the source names no camera.
    """
    source = settings.source
    if source == "picamera":
        from maskwatch.cameras.picamera import PiCamera

        return PiCamera(settings, clock)
    if source == "demo":
        from maskwatch.cameras.demo import DemoCamera

        return DemoCamera(settings, clock)
    if source.startswith(_V4L2_PREFIX):
        from maskwatch.cameras.v4l2 import V4L2Camera

        return V4L2Camera(_v4l2_device(source), settings, clock)
    if not source:
        raise ConfigError("the camera's source is empty: set it to picamera, v4l2:0, demo, or a file or folder")
    from maskwatch.cameras.files import FilesCamera

    return FilesCamera(Path(source), settings, clock)


def _v4l2_device(source: str) -> Path:
    name = source.removeprefix(_V4L2_PREFIX)
    if name.isascii() and name.isdigit():
        return Path(f"/dev/video{int(name)}")
    if name.startswith("/"):
        return Path(name)
    raise ConfigError(f"{source} names no camera: give a number, as in v4l2:0 for /dev/video0, or a device's path")
