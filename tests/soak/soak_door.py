"""`maskwatch run` as it is, but for two things: OpenCV's capture reads from a socket, and judged frames are counted.

    python soak_door.py SOCKET COUNTS run --source v4l2:0 …

All of Maskwatch's own code is at work, that for USB cameras too: only a machine without one can be soaked everywhere.
"""

from __future__ import annotations

import mmap
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from maskwatch import service
from maskwatch.cameras import v4l2
from maskwatch.cli import main as maskwatch
from soak_camera import LENGTH, die_with_parent

if TYPE_CHECKING:
    from maskwatch.config import CameraSettings
    from maskwatch.notify import Notifier
    from maskwatch.types import Image, Verdict

COUNTS = struct.Struct("@Qd")
"""Frames judged so far; the longest time between two of them, in seconds, while there was a camera."""


class SocketCapture:
    """The part of cv2.VideoCapture that `V4L2Camera` needs."""

    def __init__(self, name: str, backend: int) -> None:
        self._settings: dict[int, float] = {}
        self._jpeg = b""
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._channel.connect(name)
        except OSError:
            self._channel.close()
        self._stream = self._channel.makefile("rb") if self.isOpened() else None

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self._channel.fileno() >= 0

    def set(self, key: int, value: float) -> bool:
        self._settings[key] = value
        return True

    def get(self, key: int) -> float:
        return self._settings.get(key, 0.0)

    def grab(self) -> bool:
        assert self._stream is not None
        try:
            length = self._stream.read(LENGTH.size)
            self._jpeg = self._stream.read(LENGTH.unpack(length)[0]) if len(length) == LENGTH.size else b""
        except OSError:
            self._jpeg = b""
        return self._jpeg != b""

    def retrieve(self) -> tuple[bool, Image | None]:
        picture = cv2.imdecode(np.frombuffer(self._jpeg, np.uint8), cv2.IMREAD_COLOR)
        return picture is not None, picture

    def release(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._channel.close()


class CountingObserver(service.ServiceObserver):
    """The service's own observer, which also leaves its counts in a file that another process can read."""

    counts_path = Path()

    def __init__(self, notifier: Notifier) -> None:
        super().__init__(notifier)
        with self.counts_path.open("r+b") as file:
            self._counts = mmap.mmap(file.fileno(), COUNTS.size)
        self._frames = 0
        self._longest_s = 0.0
        self._last_s: float | None = None

    def judged(self, verdict: Verdict) -> None:
        super().judged(verdict)
        now_s = time.monotonic()
        if self._last_s is not None:
            self._longest_s = max(self._longest_s, now_s - self._last_s)
        self._last_s = now_s
        self._frames += 1
        COUNTS.pack_into(self._counts, 0, self._frames, self._longest_s)

    def lost_camera(self, reason: str) -> None:
        self._last_s = None
        super().lost_camera(reason)


def main() -> int:
    die_with_parent()
    camera, counts, *words = sys.argv[1:]
    CountingObserver.counts_path = Path(counts)

    class SocketCamera(v4l2.V4L2Camera):
        def __init__(self, device: Path, settings: CameraSettings, clock: Callable[[], float]) -> None:
            super().__init__(Path(camera), settings, clock)

    cv2.VideoCapture = SocketCapture
    v4l2.V4L2Camera = SocketCamera
    service.ServiceObserver = CountingObserver
    return maskwatch(words)


if __name__ == "__main__":
    sys.exit(main())
