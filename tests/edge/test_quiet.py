"""Decoders' chatter stays off stderr, everybody else's lines do not."""

from __future__ import annotations

import gc
import logging
import os
import threading

import pytest
from maskwatch import quiet
from maskwatch.quiet import quiet_decoders


def test_chatter_goes_to_the_debug_log_and_other_lines_pass(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="maskwatch.quiet"), quiet_decoders():
        os.write(
            2, b"libpng warning: iCCP: known incorrect sRGB profile\nsomebody else's line\nPremature end of JPEG file\n"
        )
    assert capfd.readouterr().err == "somebody else's line\n"
    assert [record.getMessage().split(":")[1] for record in caplog.records] == [
        " libpng warning",
        " Premature end of JPEG file",
    ]


def test_stderr_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="decoder"), quiet_decoders():
        raise RuntimeError("decoder")
    os.write(2, b"libpng error: seen again\n")
    assert capfd.readouterr().err == "libpng error: seen again\n"


def test_no_descriptor_is_left_open() -> None:
    gc.collect()  # or what other tests left might go meanwhile
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with quiet_decoders():
            pass
    assert set(os.listdir("/proc/self/fd")) == before


def test_threads_do_not_wait_for_each_other() -> None:
    entered = threading.Event()

    def decode() -> None:
        with quiet_decoders():
            entered.set()

    with quiet_decoders():
        thread = threading.Thread(target=decode)
        thread.start()
        assert entered.wait(5)
        thread.join(5)


def test_one_with_patience_is_quiet_after_another_has_ended(capfd: pytest.CaptureFixture[str]) -> None:
    """A model that was loaded while a frame was decoded once told its runtime's chatter to the user."""
    waiting = threading.Event()

    def load() -> None:
        waiting.set()
        with quiet_decoders(patience_s=30):
            os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")

    thread = threading.Thread(target=load)
    with quiet_decoders():
        thread.start()
        assert waiting.wait(5)
        thread.join(0.2)
        assert thread.is_alive(), "it did not wait for the window"
    thread.join(30)
    assert capfd.readouterr().err == ""


def test_closed_stderr_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(quiet.os, "dup", closed)
    ran = []
    with quiet_decoders():
        ran.append(True)
    assert ran == [True]
