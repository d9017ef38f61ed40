"""An indicator drawn on the terminal, for the demo and for a look without wires."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from maskwatch.errors import IndicatorError
from maskwatch.indicators.base import OFF, Levels

# ANSI escape codes (ECMA-48, SGR): bold bright red and green, faint, reset.
_RED, _GREEN, _FAINT, _RESET = "\x1b[1;91m", "\x1b[1;92m", "\x1b[2m", "\x1b[0m"


class ConsoleOutputs:
    """Writes one line per change: lamps as coloured shapes with their names, the caption, and a note for the buzzer.

    Colour only on a terminal and where NO_COLOR is unset or empty (https://no-color.org); the words stay without it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._colour = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._shown = OFF
        self._closed = False

    def set(self, levels: Levels) -> None:
        """Write a line if anything changed."""
        if self._closed:
            raise IndicatorError("the console indicator is closed")
        self._show(levels)
        if self._closed:  # meanwhile, by a thread that could not wait for this line
            self._write(OFF)

    def close(self) -> None:
        """Say that all is off."""
        if not self._closed:
            self._closed = True
            self._show(OFF)

    def _show(self, levels: Levels) -> None:
        if levels == self._shown:
            return
        self._shown = levels
        self._write(levels)

    def _write(self, levels: Levels) -> None:
        try:
            self._stream.write(self._line(levels).rstrip() + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            raise IndicatorError(f"the console indicator cannot write: {error}") from error

    def _line(self, levels: Levels) -> str:
        red = self._painted("● RED", _RED) if levels.red else self._painted("○    ", _FAINT)
        green = self._painted("● GREEN", _GREEN) if levels.green else self._painted("○      ", _FAINT)
        note = "♪" if levels.buzzer else " "
        return f"{red}  {green}  {note}  {levels.caption}"

    def _painted(self, text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if self._colour else text
