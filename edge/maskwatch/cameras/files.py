"""Pictures and videos from disk, as if a camera had taken them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from maskwatch.cameras.base import not_open
from maskwatch.errors import ImageError
from maskwatch.images import VIDEO_SUFFIXES, check_size, find_media, read_image
from maskwatch.quiet import quiet_decoders
from maskwatch.types import Frame, Image

if TYPE_CHECKING:
    from maskwatch.config import CameraSettings

logger = logging.getLogger(__name__)


class FilesCamera:
    """An image, a video, or a folder of both, sorted by name; every frame counts, so nothing is dropped.

    `captured_s` starts from the clock when opened, then runs on the material's own time: a video's time stamps, and
    1/`settings.frames_per_second` for each single picture. In a folder, what cannot be read is logged and passed over.
    `settings.rotation_degrees` is about how a camera is mounted, so it turns no file.
    """

    live = False

    def __init__(self, path: Path, settings: CameraSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._period_s = 1 / settings.frames_per_second
        self._clock = clock
        self._frames: Generator[Frame] | None = None

    def open(self) -> None:
        """Find the files, without reading them yet.

        Raises:
            ImageError: nothing is there, or the folder holds no picture or video.
        """
        if self._frames is None:
            self._frames = self._play(find_media(self._path), self._clock())

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; None after the last. A disk needs no timeout.

        Raises:
            CameraError: not open.
            ImageError: the one file given, or every file of the folder, cannot be read.
        """
        if self._frames is None:
            raise not_open(str(self._path))
        return next(self._frames, None)

    def close(self) -> None:
        """Close the video that is being read, if any."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def _play(self, files: list[Path], start_s: float) -> Generator[Frame]:
        index, next_s = 0, start_s  # the time of a frame that brings none, or one that does not advance
        last_s = -math.inf
        first_fault: ImageError | None = None
        for path in files:
            begin_s = next_s
            try:
                for image, offset_s in self._pictures(path):
                    own_s = begin_s + offset_s
                    captured_s = own_s if own_s > last_s else next_s
                    yield Frame(image, captured_s, index)
                    index, last_s, next_s = index + 1, captured_s, captured_s + self._period_s
            except ImageError as error:
                if self._path == path:
                    raise
                logger.warning("passed over: %s", error)
                first_fault = first_fault or error
        if index == 0 and first_fault is not None:
            raise ImageError(f"{self._path}: none of its {len(files)} files can be read; the first: {first_fault}")

    def _pictures(self, path: Path) -> Iterator[tuple[Image, float]]:
        """Each picture of one file, with its time in seconds from the file's beginning."""
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield from read_video(path)
        else:
            yield read_image(path), 0.0


def read_video(path: Path) -> Iterator[tuple[Image, float]]:
    """Each frame of a video (H×W×3 uint8 RGB) with its time stamp in seconds from the beginning.

    Raises:
        ImageError: missing, empty, damaged so that no frame comes out, of an unknown codec, or too big or small.
    """
    if not path.is_file():
        raise ImageError(f"{path} is not there: check the name of the video")
    fault = f"{path} cannot be played: it is damaged, cut off or an unknown codec; copy it again or convert it"
    with quiet_decoders():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise ImageError(fault)
        check_size(str(path), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        frames = 0
        while True:
            with quiet_decoders():
                there, image = capture.read()
            if not there:
                break
            frames += 1
            offset_s = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), offset_s
        if frames == 0:
            raise ImageError(fault)
    finally:
        capture.release()
