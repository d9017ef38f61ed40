"""Fixtures that put stand-ins in place of cameras' libraries."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest
from camera_stubs import FakeDevice, StubCapture, StubPicamera2


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDevice]:
    """A USB camera at a path under tmp_path, in place of cv2.VideoCapture."""
    node = tmp_path / "video7"
    node.touch()
    fake = FakeDevice(node)

    monkeypatch.setattr(cv2, "VideoCapture", partial(StubCapture, fake))
    yield fake
    fake.release_driver.set()
    if fake.opened_with is not None:
        assert fake.gone.wait(5), "the capture was never released"


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[StubPicamera2]:
    """The modules picamera2 and libcamera, with a fresh class whose attributes a test may set."""
    stub = type("Picamera2", (StubPicamera2,), {})
    module = types.ModuleType("picamera2")
    module.Picamera2 = stub  # type: ignore[attr-defined]
    libcamera = types.ModuleType("libcamera")
    libcamera.Transform = lambda hflip=0, vflip=0: ("transform", hflip, vflip)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    return stub
