"""Which camera a source names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from maskwatch.cameras import make_camera
from maskwatch.config import CameraSettings
from maskwatch.errors import CameraError, ConfigError, ExitCode, ImageError


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("picamera", "PiCamera"),
        ("demo", "DemoCamera"),
        ("v4l2:0", "V4L2Camera"),
        ("./demo", "FilesCamera"),
        ("/tmp/a.jpg", "FilesCamera"),
    ],
)
def test_source_names_the_camera(source: str, kind: str) -> None:
    assert type(make_camera(CameraSettings(source=source))).__name__ == kind


@pytest.mark.parametrize("source", ["", "v4l2:", "v4l2:front", "v4l2:-1", "v4l2:²"])
def test_a_bad_source_names_itself(source: str) -> None:
    # Settings refuse these too; a source from the command line may come without them.
    with pytest.raises(ConfigError, match=r"source|v4l2"):
        make_camera(SimpleNamespace(source=source, frames_per_second=10.0))


def test_a_missing_usb_camera_is_for_the_operator() -> None:
    camera = make_camera(CameraSettings(source="v4l2:98"))
    with pytest.raises(CameraError, match=r"/dev/video98 is not there: plug it in") as caught:
        camera.open()
    assert caught.value.exit_code == ExitCode.OPERATOR


def test_a_missing_file_is_for_the_operator() -> None:
    camera = make_camera(CameraSettings(source="picamra"))
    with pytest.raises(ImageError, match="picamra is not there") as caught:
        camera.open()
    assert caught.value.exit_code == ExitCode.OPERATOR
