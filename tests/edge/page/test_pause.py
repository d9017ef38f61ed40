"""The service's pause: what is asked of systemd, in which order, whatever fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from maskwatch.errors import OperatorError
from maskwatch.page.pause import RESUME, UNIT, run_as_root, service_paused

DISARM = f"systemctl stop {RESUME}.timer"
ARM = f"systemd-run --quiet --collect --unit={RESUME} --on-active=660 systemctl start --no-block {UNIT}"
STOP, START = f"systemctl stop {UNIT}", f"systemctl start --no-block {UNIT}"


class Systemd:
    """Remembers each command; fails those that begin with given words."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[str] = []
        self._failing = failing

    def __call__(self, *words: str) -> str | None:
        call = " ".join(words)
        self.calls.append(call)
        return "it says no" if self._failing and call.startswith(self._failing) else None


def test_a_timer_stands_by_before_the_service_is_stopped() -> None:
    systemd = Systemd()
    with service_paused(600.0, systemd):
        assert systemd.calls == [DISARM, ARM, STOP]
    assert systemd.calls == [DISARM, ARM, STOP, START, DISARM]


@pytest.mark.parametrize("fault", [OperatorError("no file"), KeyboardInterrupt(), SystemExit(1), ZeroDivisionError()])
def test_the_service_is_started_again_after_any_fault(fault: BaseException) -> None:
    systemd = Systemd()
    with pytest.raises(type(fault)), service_paused(600.0, systemd):
        raise fault
    assert systemd.calls == [DISARM, ARM, STOP, START, DISARM]


def test_without_a_timer_nothing_is_stopped() -> None:
    systemd = Systemd("systemd-run")
    with (
        pytest.raises(OperatorError, match=r"cannot be paused \(it says no\): put sudo"),
        service_paused(600.0, systemd),
    ):
        pytest.fail("it went on")
    assert systemd.calls == [DISARM, ARM]


def test_a_stop_that_failed_half_way_is_taken_back() -> None:
    systemd = Systemd(STOP)
    with pytest.raises(OperatorError, match=r"does not stop \(it says no\)"), service_paused(600.0, systemd):
        pytest.fail("it went on")
    assert systemd.calls == [DISARM, ARM, STOP, START, DISARM]


def test_a_start_that_fails_is_left_to_the_timer_and_said(caplog: pytest.LogCaptureFixture) -> None:
    systemd = Systemd(START)
    with service_paused(600.0, systemd):
        pass
    assert systemd.calls == [DISARM, ARM, STOP, START]
    (message,) = caplog.messages
    assert "not started yet (it says no); a timer does it" in message
    assert message.endswith("sudo systemctl start maskwatch")


def test_no_leftover_timer_is_no_fault() -> None:
    systemd = Systemd(DISARM)
    with service_paused(600.0, systemd):
        pass
    assert START in systemd.calls


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sudo that lets everybody do everything; root needs none."""
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("root")
def test_a_command_says_what_went_wrong_and_nothing_else() -> None:
    assert run_as_root("true") is None
    assert run_as_root("false") == "exit code 1"
    assert run_as_root("sh", "-c", "echo one >&2; echo two >&2; exit 3") == "two"
    assert "absent-program" in str(run_as_root("absent-program"))


@pytest.mark.usefixtures("root")
def test_ctrl_c_does_not_reach_a_command() -> None:
    """It goes to all of the terminal's foreground group, and would end a `systemctl start` half way."""
    group = run_as_root(sys.executable, "-c", "import os, sys; sys.exit(str(os.getpgrp()))")
    assert group is not None
    assert int(group) != os.getpgrp()
