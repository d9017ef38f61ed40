"""Runs `maskwatch flash` to the doors of a server that a test has started."""

from __future__ import annotations

from pathlib import Path

from flash_runs import Flash, flash_command, flash_environment, run_flash
from sshd import Sshd


def command(sshd: Sshd, *words: str | Path) -> list[str | Path]:
    return flash_command(sshd.config, *words)


def environment(sshd: Sshd) -> dict[str, str]:
    return flash_environment(sshd.folder)


def flash(sshd: Sshd, *words: str | Path) -> Flash:
    """Run it to its end."""
    return run_flash(sshd.config, *words)
