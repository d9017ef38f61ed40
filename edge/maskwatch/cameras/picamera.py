"""The Raspberry Pi's own camera through Picamera2: a big stream for faces' crops, a small one to find them in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.cameras.base import CameraMissingError, FrameGuard, not_open, silent
from maskwatch.errors import CameraError, OperatorError
from maskwatch.types import Frame, Image

if TYPE_CHECKING:
    from maskwatch.config import CameraSettings

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.5
_BUFFERS = 4  # two in flight, one newest, one with us; each costs main plus lores of scarce contiguous memory


class PiCamera:
    """Camera modules on the ribbon cable: `image` and `lores` in the sizes that the settings give.

    Picamera2 rounds sizes to what the hardware can align; what it really gives is logged. It is imported by `open`,
    because it exists on a Pi only and comes from apt. `pixel_format` is Picamera2's name of the large picture's format,
    as agreed upon when it was last opened; empty before.
    """

    live = True

    def __init__(self, settings: CameraSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self.pixel_format = ""
        self._camera: Any = None
        self._lores_width_px = 0
        self._guard = FrameGuard("the Pi camera")
        self._index = 0

    def open(self) -> None:
        """Start both streams.

        Raises:
            OperatorError: Picamera2 is not installed.
            CameraMissingError: no camera is connected.
            CameraError: another program holds the camera, or it does not start.
        """
        if self._camera is not None:
            return
        try:
            from libcamera import Transform  # type: ignore[import-not-found]  # comes with Picamera2
            from picamera2 import Picamera2
        except ImportError as error:
            raise OperatorError(
                "Picamera2 is missing: sudo apt install python3-picamera2; in a virtual environment, make that with"
                " --system-site-packages"
            ) from error
        try:
            if not Picamera2.global_camera_info():
                raise CameraMissingError(
                    "no Pi camera is connected: switch off, push the cable in, then see: rpicam-hello --list-cameras"
                )
            self._camera = Picamera2()
            self._start(Transform)
        except (RuntimeError, OSError, IndexError) as error:  # what Picamera2 raises; CameraError is an OSError too
            self.close()
            if isinstance(error, CameraError):
                raise
            raise CameraError(f"the Pi camera does not start ({error}): close other programs that use it") from error

    def _start(self, transform: Callable[..., object]) -> None:
        settings, camera = self._settings, self._camera
        flip = int(settings.rotation_degrees == 180)
        period_us = round(1e6 / settings.frames_per_second)
        configuration = camera.create_video_configuration(
            # Picamera2 names formats by the word in memory: BGR888 is R, G, B byte by byte.
            main={"format": "BGR888", "size": (settings.width_px, settings.height_px)},
            lores={"format": "YUV420", "size": (settings.lores_width_px, settings.lores_height_px)},
            transform=transform(hflip=flip, vflip=flip),
            controls={"FrameDurationLimits": (period_us, period_us)},
            buffer_count=_BUFFERS,
            display=None,
            encode=None,
        )
        camera.align_configuration(configuration)
        camera.configure(configuration)
        given = camera.camera_configuration()
        self._lores_width_px = given["lores"]["size"][0]
        self.pixel_format = str(given["main"]["format"])
        logger.info("the Pi camera gives %s, and %s for finding faces", given["main"]["size"], given["lores"]["size"])
        camera.start()
        self._guard, self._index = FrameGuard("the Pi camera"), 0

    def read(self, timeout_s: float) -> Frame | None:
        """The newest picture in both streams; never None. After an error the camera is shut: open it again.

        Raises:
            CameraError: not open, silent for `timeout_s`, or frozen.
        """
        if self._camera is None:
            raise not_open("the Pi camera")
        try:
            image, yuv, sensor_s = self._capture(timeout_s)
            captured_s = self._clock()
            self._guard.check(image, sensor_s)
        except TimeoutError as error:
            self.close()
            raise silent("the Pi camera", timeout_s) from error
        except CameraError:
            self.close()
            raise
        except (RuntimeError, OSError, KeyError) as error:
            self.close()
            raise CameraError(f"the Pi camera failed ({error})") from error
        frame = Frame(image, captured_s, self._index, i420_to_rgb(yuv, self._lores_width_px))
        self._index += 1
        return frame

    def close(self) -> None:
        """Stop and release the camera; its own clean-up can hang, so it is given a short while in a thread."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        closer = threading.Thread(target=_shut, args=(camera,), name="picamera-close", daemon=True)
        closer.start()
        closer.join(_CLOSE_SECONDS)
        if closer.is_alive():
            logger.error("the Pi camera does not let go: it may need a restart of the service")

    def _capture(self, timeout_s: float) -> tuple[Image, npt.NDArray[np.uint8], float]:
        """Main stream as RGB, lores as I420 rows with their padding, and the sensor's time stamp in seconds."""
        request = self._camera.capture_request(wait=timeout_s)  # without wait= it could block for ever
        try:
            metadata = request.get_metadata()
            return request.make_array("main"), request.make_array("lores"), metadata["SensorTimestamp"] / 1e9
        finally:
            request.release()


def i420_to_rgb(planes: npt.NDArray[np.uint8], width_px: int) -> Image:
    """Planar YUV 4:2:0 (Y, then U, then V; I420) to H×`width_px`×3 RGB.

    `planes` is (H·3/2)×stride uint8, as Picamera2 makes it: rows padded to the stride. The padding is converted along
    and then cut off, because the planes' rows cannot be taken apart without copying them.
    """
    padded = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)
    return np.ascontiguousarray(padded[:, :width_px]).astype(np.uint8, copy=False)


def _shut(camera: Any) -> None:
    # A capture that never came is cancelled first, or stopping would wait for it.
    for step in (camera.cancel_all_and_flush, camera.stop, camera.close):
        try:
            step()
        except (RuntimeError, OSError) as error:
            logger.warning("the Pi camera's %s failed: %s", step.__name__, error)
