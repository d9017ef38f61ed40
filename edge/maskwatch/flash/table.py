"""What a roll-out looks like while it goes on, and a table of how it ended: a line a door."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from maskwatch.flash.audience import Audience
from maskwatch.flash.result import Outcome, Result, Step

REDRAW_S = 0.1
BAR = 20
MAX_LIVE = 20
"""Lines that are drawn again and again; on a lower terminal, as many as it has."""

MAX_MODEL, MAX_REASON = 40, 240
"""Characters that are shown of what a door says; the JSON has more of it."""

WORDS = {
    Outcome.CONFIRMED: "confirmed",
    Outcome.ALREADY: "already there",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.REFUSED: "refused",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.INTERRUPTED: "broken off",
    Outcome.NOT_BEGUN: "not begun",
}


class Board:
    """Progress on `stream`: lines that are drawn again where it is a terminal, one more at each step anywhere else.

    Any thread may tell. `clean` makes a text fit for a terminal, `clock` is monotonic.
    """

    def __init__(
        self,
        stream: TextIO | None,
        doors: int,
        clean: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
        size: Callable[[TextIO], tuple[int, int]] | None = None,
    ) -> None:
        self._audience = Audience(stream)
        self._doors, self._clean, self._clock, self._size = doors, clean, clock, size or size_of
        self._redraws = stream is not None and stream.isatty()
        self._lock = threading.Lock()
        self._live: dict[str, tuple[Step, int, int]] = {}
        self._drawn = 0
        self._drawn_s: float | None = None
        self._done = self._failed = 0

    def progress(self, host: str, step: Step, done: int, total: int) -> None:
        """Something goes on at a door."""
        with self._lock:
            before = self._live.get(host)
            self._live[host] = (step, done, total)
            is_new = before is None or before[0] is not step
            if self._redraws:
                self._redraw(force=is_new)
            elif is_new:
                self._write(f"{self._line(f'{host}: {_step_words(step, total)}')}\n")

    def ended(self, result: Result) -> None:
        """A door is done."""
        with self._lock:
            self._live.pop(result.host, None)
            self._done += 1
            self._failed += not result.outcome.good
            self._erase()
            self._write(f"{self._line(f'{result.host}: {result_words(result)}')}\n")
            if self._redraws:
                self._redraw(force=True)

    def close(self) -> None:
        """Take away what was drawn for the moment."""
        with self._lock:
            self._live.clear()
            self._erase()

    def table(self, results: Sequence[Result], model: str) -> None:
        """How it ended, door by door, and in one line."""
        rows = list(table_rows(results)) if len(results) > 1 else []
        good = sum(result.outcome.good for result in results)
        doors = "1 door runs" if len(results) == 1 else f"{len(results)} doors run"
        with self._lock:
            self._write("".join(f"{self._line(row)}\n" for row in [*rows, f"{good} of {doors} {model}"]))

    def _redraw(self, *, force: bool) -> None:
        now_s = self._clock()
        if not force and self._drawn_s is not None and now_s - self._drawn_s < REDRAW_S:
            return
        self._drawn_s = now_s
        if self._audience.stream is None:
            return
        columns, rows = self._size(self._audience.stream)
        shown = list(self._live.items())[: max(1, min(MAX_LIVE, rows - 2))]
        width = max((len(host) for host, _ in shown), default=0)
        lines = [f"  {host:<{width}}  {_live_words(*state)}" for host, state in shown]
        lines.append(f"{self._done} of {self._doors} done{f', {self._failed} failed' if self._failed else ''}")
        self._erase()
        self._write("".join(f"{self._line(line)[: max(1, columns - 1)]}\n" for line in lines))
        self._drawn = len(lines)

    def _erase(self) -> None:
        # ECMA-48: to the beginning of the first line that was drawn, and erase from there on.
        if self._drawn:
            self._write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _line(self, text: str) -> str:
        return self._clean(text.rstrip())

    def _write(self, text: str) -> None:
        self._audience.tell(text)


def size_of(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of this terminal; stdout's may be another one, or none."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except OSError:
        columns = rows = 0
    return (columns, rows) if columns and rows else shutil.get_terminal_size()


def result_words(result: Result) -> str:
    """One door's end, in a line."""
    resumed = f", resumed at {result.resumed_bytes / 1000:.0f} kB" if result.resumed_bytes else ""
    model = f", runs {_cut(result.model, MAX_MODEL)}" if result.model else ""
    reason = f": {_cut(result.reason, MAX_REASON)}" if result.reason else ""
    return f"{WORDS[result.outcome]}{reason}{model}{resumed}, {result.seconds:.1f} s"


def table_rows(results: Sequence[Result]) -> Iterator[str]:
    """The table's lines; its columns are as wide as what stands in them."""
    head = ("door", "result", "runs", "time", "why")
    cells = [
        (
            result.host,
            WORDS[result.outcome],
            _cut(result.model, MAX_MODEL) or "-",
            f"{result.seconds:.1f} s",
            _cut(result.reason, MAX_REASON),
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in (head, *cells)) for column in range(len(head) - 1)]
    for row in (head, *cells):
        yield "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _step_words(step: Step, total: int) -> str:
    return f"{step.value} {total / 1000:.0f} kB" if step is Step.UPLOADING else step.value


def _live_words(step: Step, done: int, total: int) -> str:
    if not total:
        return step.value
    full = BAR * done // total
    amount = f"{done / 1000:.0f} of {total / 1000:.0f} kB" if step is Step.UPLOADING else f"{done} of {total} frames"
    return f"{step.value:<10} [{'#' * full}{'-' * (BAR - full)}] {amount}"
