"""What the daemon costs this machine: memory, time to the first verdict, time to stop. Measured on a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwatch.daemon import SHOWS
from maskwatch.errors import FindingError

START_LIMIT_SECONDS = 60.0
STOP_LIMIT_SECONDS = 5.0

SETTLE_SECONDS = 3.0
"""How long the daemon works before its memory is read: some 30 frames."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """`resident_bytes` after some frames, `peak_bytes` since the start (VmRSS and VmHWM of proc(5))."""

    first_verdict_seconds: float
    stop_seconds: float
    resident_bytes: int
    peak_bytes: int


def measure_daemon(bundle: Path, settle_seconds: float = SETTLE_SECONDS) -> Footprint:
    """Run the daemon on the demo source, with default settings and no lights. Linux only.

    Raises FindingError where it gives no verdict, or does not stop.
    """
    return measure_command(
        [
            *(sys.executable, "-m", "maskwatch.cli", "run", "--source", "demo", "--indicator", "none"),
            *("--config", os.devnull, "--bundle", str(bundle)),
        ],
        settle_seconds,
    )


def measure_command(command: Sequence[str], settle_seconds: float) -> Footprint:
    """Run a daemon by this command: it tells of its first verdict on stderr, and stops on SIGTERM. Raises as above."""
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for_verdict(process)
        first_verdict_s = time.monotonic() - began_s
        try:
            process.wait(settle_seconds)
        except subprocess.TimeoutExpired:
            pass  # as it should: it is at work
        else:
            raise FindingError(f"the daemon ended by itself, with exit code {process.returncode}")
        resident_bytes, peak_bytes = _memory(process.pid)
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise FindingError(f"the daemon did not stop within {STOP_LIMIT_SECONDS:g} s of SIGTERM") from error
        return Footprint(first_verdict_s, time.monotonic() - asked_s, resident_bytes, peak_bytes)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _wait_for_verdict(process: subprocess.Popen[str]) -> None:
    """Read the log up to the first verdict."""
    assert process.stderr is not None
    limit = threading.Timer(START_LIMIT_SECONDS, process.kill)  # ends the reading below
    limit.start()
    try:
        last_line = "no word from it"
        for line in process.stderr:
            if SHOWS in line:
                return
            last_line = line.strip()
    finally:
        limit.cancel()
    raise FindingError(f"the daemon gave no verdict: {last_line.removeprefix('maskwatch: ')}")


def _memory(process_id: int) -> tuple[int, int]:
    """Resident memory of a process, now and at its peak, in bytes."""
    status = Path(f"/proc/{process_id}/status").read_text()
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return int(sizes["VmRSS"]) * 1024, int(sizes["VmHWM"]) * 1024
