"""Stand-ins for OpenCV's V4L2 capture and for picamera2, true to their interfaces and to their traps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from maskwatch.cameras.fake import noise_picture


@dataclass
class FakeDevice:
    """What a stubbed USB camera does; the capture that is open reads it at each grab."""

    path: Path
    opens: bool = True
    period_s: float = 0.002
    picture: Callable[[int], np.ndarray | None] = noise_picture
    lost: bool = False
    raises: bool = False
    released: int = 0
    retrieved: int = 0
    settings: dict[int, float] = field(default_factory=dict)
    opened_with: tuple[str, int] | None = None
    release_driver: threading.Event = field(default_factory=threading.Event)
    blocks: bool = False
    many_grabs: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


class StubCapture:
    """The part of cv2.VideoCapture that a camera needs; it behaves as the device says at each call."""

    def __init__(self, fake: FakeDevice, name: str, backend: int) -> None:
        self._fake = fake
        fake.opened_with = (name, backend)
        self._grabbed = -1

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self._fake.opens

    def set(self, key: int, value: float) -> bool:
        self._fake.settings[key] = value
        return True

    def get(self, key: int) -> float:
        return self._fake.settings.get(key, 0.0)

    def grab(self) -> bool:
        if self._fake.raises:
            raise cv2.error("driver")
        if self._fake.blocks:
            self._fake.release_driver.wait(30)
            return False
        time.sleep(self._fake.period_s)  # a sensor's pace
        self._grabbed += 1
        if self._grabbed >= 20:
            self._fake.many_grabs.set()
        return not self._fake.lost

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        self._fake.retrieved += 1
        picture = self._fake.picture(self._grabbed)
        return picture is not None, picture

    def release(self) -> None:
        self._fake.released += 1
        self._fake.gone.set()


class StubRequest:
    """A completed request: buffers stay valid until released, and each must be released once."""

    def __init__(self, camera: StubPicamera2, stamp_ns: int, scene: np.ndarray) -> None:
        self._camera, self._stamp_ns, self._scene = camera, stamp_ns, scene
        self._released = False
        camera.outstanding += 1

    def get_metadata(self) -> dict[str, Any]:
        assert not self._released
        return {"SensorTimestamp": self._stamp_ns, "ExposureTime": 9000}

    def make_array(self, name: str) -> np.ndarray:
        """As picamera2 0.3: RGB rows cut to their width, YUV rows left as long as the stride."""
        assert not self._released
        stream = self._camera.configuration[name]
        width, height = stream["size"]
        scene = cv2.resize(self._scene, (width, height), interpolation=cv2.INTER_NEAREST)
        if stream["format"] == "BGR888":
            return scene
        if stream["format"] == "RGB888":
            return scene[..., ::-1].copy()
        assert stream["format"] == "YUV420"
        return padded_i420(scene, stream["stride"])

    def release(self) -> None:
        assert not self._released, "released twice"
        self._released = True
        self._camera.outstanding -= 1


def padded_i420(rgb: np.ndarray, stride: int) -> np.ndarray:
    """(H·3/2)×stride uint8: planes Y, U, V with rows padded by rubbish, chroma rows half as long."""
    height, width = rgb.shape[:2]
    flat = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, chroma = width * height, width * height // 4
    planes = (
        (flat[:luma].reshape(height, width), stride),
        (flat[luma : luma + chroma].reshape(height // 2, width // 2), stride // 2),
        (flat[luma + chroma :].reshape(height // 2, width // 2), stride // 2),
    )
    rows = []
    for plane, row_bytes in planes:
        padded = np.random.default_rng(0).integers(0, 256, (plane.shape[0], row_bytes), np.uint8)
        padded[:, : plane.shape[1]] = plane
        rows.append(padded.reshape(-1))
    return np.concatenate(rows).reshape(height * 3 // 2, stride)


class StubPicamera2:
    """The part of picamera2.Picamera2 that a camera driver needs; one camera, `scene(index)` before it."""

    connected = True
    busy = False
    start_fails = False
    silent = False
    stuck_stamps = False
    lores_padding = 64
    scene = staticmethod(lambda index: noise_picture(index, 128, 96))
    stop_blocks: threading.Event | None = None
    last: StubPicamera2

    def __init__(self) -> None:
        if type(self).busy:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        StubPicamera2.last = self
        self.calls: list[str] = []
        self.outstanding = 0
        self.waits: list[object] = []
        self.configuration: dict[str, Any] = {}
        self._frames = 0
        self._pending = False

    @classmethod
    def global_camera_info(cls) -> list[dict[str, object]]:
        return [{"Model": "imx708", "Num": 0}] if cls.connected else []

    def create_video_configuration(
        self, main=None, lores=None, raw=None, transform=None, colour_space=None, buffer_count=6, controls=None,
        display="main", encode="main", queue=True, sensor=None, use_case="video",
    ) -> dict[str, Any]:  # fmt: skip
        for stream in (main, lores):
            assert set(stream) <= {"format", "size", "stride", "preserve_ar"}
        return {"main": dict(main), "lores": dict(lores), "transform": transform, "controls": dict(controls),
                "buffer_count": buffer_count, "display": display, "encode": encode, "queue": queue}  # fmt: skip

    def align_configuration(self, config: dict[str, Any], optimal: bool = True) -> None:
        width, height = config["lores"]["size"]
        config["lores"]["size"] = (width - width % 64, height - height % 2)
        width, height = config["main"]["size"]
        config["main"]["size"] = (width - width % 32, height - height % 2)

    def configure(self, config: dict[str, Any]) -> None:
        assert "start" not in self.calls
        self.calls.append("configure")
        self.configuration = config
        config["main"]["stride"] = config["main"]["size"][0] * 3
        config["lores"]["stride"] = config["lores"]["size"][0] + type(self).lores_padding

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        if type(self).start_fails:
            raise RuntimeError("Failed to start camera: Device or resource busy")
        self.calls.append("start")

    def capture_request(self, wait=None, signal_function=None, flush=None) -> StubRequest:
        assert not isinstance(wait, bool), "a flag waits for ever where the camera has died"
        assert wait is not None, "no timeout waits for ever where the camera has died"
        self.waits.append(wait)
        if type(self).silent:
            self._pending = True
            raise TimeoutError
        index, self._frames = self._frames, self._frames + 1
        stamp_ns = 5_000_000_000 + (0 if type(self).stuck_stamps else index * 33_333_000)
        return StubRequest(self, stamp_ns, type(self).scene(index))

    def cancel_all_and_flush(self) -> None:
        self.calls.append("cancel")
        self._pending = False

    def stop(self) -> None:
        assert not self._pending, "stopping waits for the job that never ends"
        if type(self).stop_blocks is not None:
            type(self).stop_blocks.wait(30)
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")
