"""Signals become commands."""

from __future__ import annotations

import signal
from collections import deque

import pytest
from maskwatch.signals import Command, commands_from_signals, hung_up


def test_a_hung_up_signal_reloads_unless_its_terminal_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Command] = []
    for terminals, expected in (
        ([False], Command.RELOAD),
        ([True, True], Command.RELOAD),
        ([True, False], Command.STOP),
    ):
        answers = deque(terminals)
        monkeypatch.setattr("os.isatty", lambda descriptor, answers=answers: answers.popleft())
        with commands_from_signals(commands.append):
            signal.raise_signal(signal.SIGHUP)
        assert commands.pop() is expected


def test_a_terminal_is_hung_up_when_its_other_end_is_closed() -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    assert not hung_up(theirs)
    os.close(ours)
    assert hung_up(theirs)
    os.close(theirs)
