"""What a roll-out looks like while it goes on, and a table of how it ended: a line a door."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from maskwatch.flash.result import Outcome, Result, Step

REDRAW_S = 0.1
BAR = 20
MAX_LIVE = 20
"""Lines that are drawn again and again; on a lower terminal, as many as it has."""

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
        stream: TextIO,
        doors: int,
        clean: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
    ) -> None:
        self._stream, self._doors, self._clean, self._clock, self._size = stream, doors, clean, clock, size
        self._redraws = stream.isatty()
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
            if self._redraws:
                self._redraw(force=False)
            elif before is None or before[0] is not step:
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
        columns, rows = self._size()
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
        self._stream.write(text)
        self._stream.flush()


def result_words(result: Result) -> str:
    """One door's end, in a line."""
    resumed = f", resumed at {result.resumed_bytes / 1000:.0f} kB" if result.resumed_bytes else ""
    model = f", runs {result.model}" if result.model else ""
    reason = f": {result.reason}" if result.reason else ""
    return f"{WORDS[result.outcome]}{reason}{model}{resumed}, {result.seconds:.1f} s"


def table_rows(results: Sequence[Result]) -> Iterator[str]:
    """The table's lines; its columns are as wide as what stands in them."""
    head = ("door", "result", "runs", "time", "why")
    cells = [
        (result.host, WORDS[result.outcome], result.model or "-", f"{result.seconds:.1f} s", result.reason)
        for result in results
    ]
    widths = [max(len(row[column]) for row in (head, *cells)) for column in range(len(head) - 1)]
    for row in (head, *cells):
        yield "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])


def _step_words(step: Step, total: int) -> str:
    return f"{step.value} {total / 1000:.0f} kB" if step is Step.UPLOADING else step.value


def _live_words(step: Step, done: int, total: int) -> str:
    if not total:
        return step.value
    full = BAR * done // total
    amount = f"{done / 1000:.0f} of {total / 1000:.0f} kB" if step is Step.UPLOADING else f"{done} of {total} frames"
    return f"{step.value:<10} [{'#' * full}{'-' * (BAR - full)}] {amount}"
