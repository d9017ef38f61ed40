"""What all tests share. Its place also makes the helper modules beside it importable."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_bundle(tmp_path_factory.mktemp("bundle")).read_bytes()


@pytest.fixture
def tiny_bundle_path(tmp_path: Path, tiny_bundle_bytes: bytes) -> Path:
    path = tmp_path / "tiny-1.2.3.maskwatch"
    path.write_bytes(tiny_bundle_bytes)
    return path
