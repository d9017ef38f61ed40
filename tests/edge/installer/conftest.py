"""A fake Pi, and wheels of Maskwatch."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from fake_pi import FakePi
from maskwatch.installer.wheel import Wheel, pack, take_wheel

CLONE = Path(__file__).parents[3]


@pytest.fixture
def pi(tmp_path: Path) -> FakePi:
    os.umask(0o022)
    return FakePi(tmp_path / "pi")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return take_wheel(CLONE, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def newer_wheel(tmp_path_factory: pytest.TempPathFactory, wheel: Wheel) -> Wheel:
    """A later version, with another unit."""
    with zipfile.ZipFile(wheel.path) as archive:
        members = {name.replace(wheel.version, "9.9.9"): archive.read(name) for name in archive.namelist()}
    members["maskwatch/data/systemd/maskwatch.service"] += b"# newer\n"
    del members["maskwatch-9.9.9.dist-info/RECORD"]
    return pack(members, "9.9.9", tmp_path_factory.mktemp("newer"))
