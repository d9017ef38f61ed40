"""What a soak is made of: the film, the camera's process, the service manager's ear, a look at a process."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from maskwatch.bench import camera_frame
from maskwatch.cameras.demo import DemoCamera
from maskwatch.config import CameraSettings
from maskwatch.errors import OperatorError
from maskwatch.types import Image
from soak_camera import FILM_PICTURES_PER_SECOND, LENGTH
from soak_figures import Sample

HERE = Path(__file__).resolve().parent

PHASE_SECONDS, EMPTY_SECONDS = 4.0, 2.0
"""The film: so long a bare face, as long a masked one, then nobody."""

JPEG_QUALITY = 90


def film() -> Iterator[bytes]:
    """The film as JPEGs of a camera's default size. Raises OperatorError where the portrait is not installed."""
    now_s = [0.0]
    camera = DemoCamera(CameraSettings(source="demo"), lambda: now_s[0], phase_seconds=PHASE_SECONDS)
    camera.open()
    for _ in range(round(2 * PHASE_SECONDS * FILM_PICTURES_PER_SECOND)):
        frame = camera.read(timeout_s=1.0)
        assert frame is not None, "the demo never ends"
        yield _jpeg(camera_frame(frame.image).image)
        now_s[0] += 1 / FILM_PICTURES_PER_SECOND
    rng = np.random.default_rng(0)
    for _ in range(round(EMPTY_SECONDS * FILM_PICTURES_PER_SECOND)):
        wall = (150 + rng.integers(-6, 7, (480, 640, 3))).astype(np.uint8)
        yield _jpeg(camera_frame(wall).image)


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return LENGTH.pack(len(data)) + data.tobytes()


class Camera:
    """The camera's process: started, killed, started again."""

    def __init__(self, folder: Path, frames_per_second: float) -> None:
        self.path = folder / "camera"
        self._film = folder / "film"
        self._film.write_bytes(b"".join(film()))
        self._frames_per_second = frames_per_second
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, HERE / "soak_camera.py", self.path, self._film, str(self._frames_per_second)]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """SIGKILL, and the device is gone; nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.path.unlink(missing_ok=True)


class Ear:
    """Where a service manager listens."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))

    def hear(self, timeout_s: float) -> Iterator[str]:
        """All words that are there, one after the other; the first is waited for."""
        while True:
            self._socket.settimeout(timeout_s)
            try:
                yield from self._socket.recv(4096).decode().split("\n")
            except (TimeoutError, BlockingIOError):
                return
            timeout_s = 0.0

    def close(self) -> None:
        self._socket.close()


def take_sample(process_id: int, at_s: float, frames: int) -> Sample | None:
    """Of proc(5): resident (VmRSS), proportional (Pss) and private memory, open files, threads; None at its end."""
    folder = Path("/proc") / str(process_id)
    try:
        text = (folder / "status").read_text() + (folder / "smaps_rollup").read_text()
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
    except ProcessLookupError:
        return None
    except FileNotFoundError as error:
        raise OperatorError(f"{error.filename} is not there: the soak needs Linux 4.14 or later") from error
    counts = {name: int(count) for name, count in re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE)}
    return Sample(
        at_s,
        resident_bytes=counts["VmRSS"] * 1024,
        proportional_bytes=counts["Pss"] * 1024,
        private_bytes=(counts["Private_Clean"] + counts["Private_Dirty"]) * 1024,
        descriptors=descriptors,
        threads=counts["Threads"],
        frames=frames,
    )
