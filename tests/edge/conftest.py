"""Fixtures that the tests of the daemon share."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from maskwatch import capture as capture_module
from maskwatch import model_watch


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(capture_module, "LONGEST_PAUSE_SECONDS", 0.002)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "maskwatch")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def eager_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the slots between any two frames, not once a second."""
    monkeypatch.setattr(model_watch, "LOOK_SECONDS", 0.0)
