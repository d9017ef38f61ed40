"""What the tests over a real sshd share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd as sshd_module
from sshd import Sshd


@pytest.fixture(autouse=True)
def _needs_sshd() -> None:
    if not sshd_module.is_there():
        pytest.skip(sshd_module.MISSING)


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    """A server of its own for each test: what one adds to its keys, no other meets."""
    with sshd_module.running() as server:
        yield server


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name: a socket's path has 100 letters at most."""
    with tempfile.TemporaryDirectory(prefix="mw-door-", dir="/tmp") as folder:
        yield Path(folder)
