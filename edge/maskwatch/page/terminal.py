"""The preview told as text: one line drawn again and again on a terminal, one line a second anywhere else."""

from __future__ import annotations

import shutil
import time
import unicodedata
from collections.abc import Callable
from typing import TextIO

from maskwatch.page.board import Board
from maskwatch.page.figures import as_line

TERMINAL_SECONDS, PLAIN_SECONDS = 0.2, 1.0
"""How often the line is drawn again, and how often a plain one is added."""

_START, _ERASE = "\r", "\x1b[K"  # carriage return; ECMA-48, EL: erase to the end of the line


class Terminal:
    """Writes to `stream`, whose errors are raised. `columns` gives the terminal's width, `clock` is monotonic."""

    def __init__(
        self,
        stream: TextIO,
        clean: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
    ) -> None:
        self._stream, self._clean, self._clock, self._columns = stream, clean, clock, columns
        self._redraws = stream.isatty()
        self._written_s: float | None = None
        self._open_line = False

    def say(self, words: str) -> None:
        """Write a line that stays."""
        start = _START + _ERASE if self._open_line else ""
        self._open_line = False
        self._write(f"{start}{self._clean(words)}\n")

    def redraw(self, board: Board) -> None:
        """Write the board's line, unless one has been written just now."""
        now_s = self._clock()
        pause_s = TERMINAL_SECONDS if self._redraws else PLAIN_SECONDS
        if self._written_s is not None and now_s - self._written_s < pause_s:
            return
        self._written_s = now_s
        line = self._clean(as_line(board))
        if not self._redraws:
            self._write(f"{line}\n")
            return
        self._open_line = True
        self._write(f"{_START}{_fitting(line, self._columns() - 1)}{_ERASE}")

    def close(self) -> None:
        """Leave the line that was drawn last."""
        if self._open_line:
            self._open_line = False
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _fitting(line: str, columns: int) -> str:
    """As much of a line as fits; a wide letter takes two columns."""
    used = 0
    for place, letter in enumerate(line):
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > columns:
            return line[: max(0, place - 1)] + "…" if place else ""
    return line
