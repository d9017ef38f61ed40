"""Runs the installed `maskwatch` as its users do: another process, its exit code, its stdout and its stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("maskwatch")
LIMIT_S = 100


@dataclass(frozen=True)
class Answer:
    """What a command line answered."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of stdout, where the data is."""
        return self.out.splitlines()

    def fault(self) -> str:
        """The one line on stderr; fails where there is none, or more, or a traceback."""
        assert "Traceback" not in self.err
        assert self.err.startswith("maskwatch: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("maskwatch: ").rstrip("\n")


def users_environment() -> dict[str, str]:
    """The environment without what developers set."""
    return {name: value for name, value in os.environ.items() if name not in {"MASKWATCH_DEBUG", "PYTHONUNBUFFERED"}}


def maskwatch(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, through: Sequence[str] = ()
) -> Answer:
    """Run `maskwatch WORDS…`, `through` another command where one is given."""
    done = subprocess.run(
        [*through, str(COMMAND), *map(str, words)],
        cwd=cwd,
        env=users_environment() | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=LIMIT_S,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
