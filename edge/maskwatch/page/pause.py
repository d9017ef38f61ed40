"""Stops the service for a while and starts it again, whatever happens in between."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskwatch.errors import OperatorError

logger = logging.getLogger(__name__)

UNIT = "maskwatch.service"

RESUME = "maskwatch-resume"
"""A timer that starts the service even where this process is killed, made before the service is stopped."""

GRACE_SECONDS = 60
"""So long after the preview's own end that timer fires."""

COMMAND_SECONDS = 90.0
"""A stop takes up to TimeoutStopSec and the switching off of all lights after it."""

BY_HAND = "sudo systemctl start maskwatch"

Run = Callable[..., str | None]
"""Runs a command as root; None where it succeeded, else what it said."""


def run_as_root(*words: str) -> str | None:
    """Run a command as root, by sudo where need be, without ever asking for a password."""
    prefix = () if os.geteuid() == 0 else ("sudo", "-n")
    try:
        done = subprocess.run(
            (*prefix, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
            process_group=0,  # or Ctrl-C would end it too
        )
    except subprocess.TimeoutExpired:
        return f"no answer for {COMMAND_SECONDS:.0f} seconds"
    except OSError as error:
        return f"{error.filename or words[0]}: {error.strerror}"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


@contextmanager
def service_paused(seconds: float, run: Run = run_as_root) -> Iterator[None]:
    """Within this block, of at most so many seconds, the service that runs is stopped; after it, it is started again.

    Signals must not raise in here: their handlers only note them. Against SIGKILL and the like a timer of systemd's
    stands by.

    Raises:
        OperatorError: it cannot be stopped, or nothing could start it again for sure. It runs then as before.
    """
    run("systemctl", "stop", f"{RESUME}.timer")  # what a killed preview has left; mostly there is none
    later_s = round(seconds + GRACE_SECONDS)
    start = ("systemctl", "start", "--no-block", UNIT)
    fault = run("systemd-run", "--quiet", "--collect", f"--unit={RESUME}", f"--on-active={later_s}", *start)
    if fault is not None:
        raise OperatorError(f"the service cannot be paused ({fault}): put sudo before the command")
    try:
        fault = run("systemctl", "stop", UNIT)
        if fault is not None:
            raise OperatorError(f"the service does not stop ({fault}): sudo systemctl status maskwatch says more")
        yield
    finally:
        fault = run(*start)
        if fault is None:
            run("systemctl", "stop", f"{RESUME}.timer")
        else:
            logger.error("the service is not started yet (%s); a timer does it; to do it now: %s", fault, BY_HAND)
