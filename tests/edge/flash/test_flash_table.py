"""What people see: lines that are drawn again on a terminal, plain ones elsewhere, and a table at the end."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest
from maskwatch.flash.result import Outcome, Result, Step
from maskwatch.flash.table import MAX_MODEL, MAX_REASON, Board, result_words, size_of, table_rows
from maskwatch.verbs.plain import one_line

RESULTS = [
    Result("door-1", Outcome.CONFIRMED, "", "masknet 1.0.0", 6.04, 414_000),
    Result("pi@door-22", Outcome.ROLLED_BACK, "not confirmed within 180 s", "masknet 0.3.1", 187.5, 414_000),
    Result("door-3", Outcome.UNREACHABLE, "ssh: connect to host door-3 port 22: No route to host", "", 3.0),
]


class Screen(io.StringIO):
    """A terminal that understands what is drawn: lines, and the way back up to erase them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = [""]

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for part in re.split(r"(\x1b\[\d+F\x1b\[J|\n)", text):
            if part == "\n":
                self.rows.append("")
            elif part.startswith("\x1b"):
                up = int(part[2 : part.index("F")])
                assert up < len(self.rows)
                self.rows[-up - 1 :] = [""]
            else:
                self.rows[-1] += part
        return len(text)


class Time:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def test_elsewhere_each_step_is_one_line() -> None:
    stream = io.StringIO()
    board = Board(stream, 1, one_line)
    board.progress("door-1", Step.CONNECTING, 0, 0)
    for done in range(0, 414_001, 1000):
        board.progress("door-1", Step.UPLOADING, done, 414_000)
    board.progress("door-1", Step.VERIFYING, 0, 0)
    board.progress("door-1", Step.TRYING, 0, 0)
    board.progress("door-1", Step.TRYING, 0, 0)
    board.ended(RESULTS[0])
    board.close()
    board.table(RESULTS[:1], "masknet 1.0.0")
    assert stream.getvalue().splitlines() == [
        "door-1: connecting",
        "door-1: uploading 414 kB",
        "door-1: verifying there",
        "door-1: trying",
        "door-1: confirmed, runs masknet 1.0.0, 6.0 s",
        "1 of 1 door runs masknet 1.0.0",
    ]


def test_a_terminal_shows_a_bar_a_door_and_keeps_what_ended() -> None:
    screen = Screen()
    board = Board(screen, 3, one_line, clock=Time(), size=lambda _: (80, 24))
    board.progress("door-1", Step.UPLOADING, 207_000, 414_000)
    board.progress("pi@door-22", Step.TRYING, 0, 0)
    assert screen.rows == [
        "  door-1      uploading  [##########----------] 207 of 414 kB",
        "  pi@door-22  trying",
        "0 of 3 done",
        "",
    ]
    board.ended(RESULTS[0])
    board.ended(RESULTS[2])
    assert screen.rows == [
        "door-1: confirmed, runs masknet 1.0.0, 6.0 s",
        "door-3: unreachable: ssh: connect to host door-3 port 22: No route to host, 3.0 s",
        "  pi@door-22  trying",
        "2 of 3 done, 1 failed",
        "",
    ]
    board.close()
    assert len(screen.rows) == 3


def test_a_small_terminal_is_not_overdrawn() -> None:
    screen = Screen()
    board = Board(screen, 300, one_line, clock=Time(), size=lambda _: (20, 6))
    for number in range(30):
        board.progress(f"a-door-with-a-long-name-{number}", Step.UPLOADING, 1, 2)
    assert len(screen.rows) <= 6
    assert all(len(row) < 20 for row in screen.rows)


def test_it_is_not_drawn_more_often_than_eyes_see() -> None:
    screen = Screen()
    board = Board(screen, 1, one_line, clock=lambda: 5.0, size=lambda _: (80, 24))
    board.progress("door-1", Step.UPLOADING, 1, 4)
    board.progress("door-1", Step.UPLOADING, 4, 4)
    assert "1 of 4" not in "".join(screen.rows)
    assert screen.rows[0].endswith("0 of 0 kB")
    assert "[#####---" in screen.rows[0]


def test_a_new_step_is_drawn_at_once() -> None:
    """A step that came within a tenth of a second was not shown until the next one, and "uploading" stood there."""
    screen = Screen()
    board = Board(screen, 1, one_line, clock=lambda: 5.0, size=lambda _: (80, 24))
    board.progress("door-1", Step.UPLOADING, 1, 4)
    board.progress("door-1", Step.VERIFYING, 0, 0)
    assert screen.rows == ["  door-1  verifying there", "0 of 1 done", ""]


def test_a_trial_shows_its_judged_frames() -> None:
    screen = Screen()
    board = Board(screen, 1, one_line, clock=Time(), size=lambda _: (80, 24))
    board.progress("door-1", Step.TRYING, 10, 50)
    assert screen.rows[0] == "  door-1  trying     [####----------------] 10 of 50 frames"


def test_the_width_is_that_of_the_terminal_that_is_drawn_on() -> None:
    """stdout, whose width it was, may be a file or a wider terminal."""
    master, terminal = pty.openpty()
    with os.fdopen(master, "rb"), os.fdopen(terminal, "w") as stream:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 7, 33, 0, 0))
        assert size_of(stream) == (33, 7)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        assert min(size_of(stream)) > 0
    assert min(size_of(io.StringIO())) > 0


class Gone(io.StringIO):
    """A terminal or a pipe that nobody reads any more."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.tries = 0

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.tries += 1
        raise OSError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("stream", [Gone(terminal=False), Gone(terminal=True), None])
def test_nobody_who_reads_is_no_fault(stream: Gone | None) -> None:
    board = Board(stream, 2, one_line, clock=Time())
    board.progress("door-1", Step.CONNECTING, 0, 0)
    board.ended(RESULTS[0])
    board.close()
    board.table(RESULTS, "masknet 1.0.0")
    assert stream is None or stream.tries == 1


def test_a_door_with_much_to_say_does_not_spoil_the_table() -> None:
    loud = Result("door-1", Outcome.REFUSED, "r" * 400, "m" * 400, 1.0)
    for line in (result_words(loud), *table_rows([loud, RESULTS[0]])):
        assert len(line) < MAX_MODEL + MAX_REASON + 60
    assert f"runs {'m' * (MAX_MODEL - 1)}…" in result_words(loud)


def test_the_table_has_a_line_a_door_and_columns() -> None:
    assert list(table_rows(RESULTS)) == [
        "door        result       runs           time     why",
        "door-1      confirmed    masknet 1.0.0  6.0 s    ",
        "pi@door-22  rolled back  masknet 0.3.1  187.5 s  not confirmed within 180 s",
        "door-3      unreachable  -              3.0 s    ssh: connect to host door-3 port 22: No route to host",
    ]


def test_the_last_line_counts() -> None:
    stream = io.StringIO()
    Board(stream, 3, one_line).table(RESULTS, "masknet 1.0.0")
    assert stream.getvalue().splitlines()[-1] == "1 of 3 doors run masknet 1.0.0"


def test_what_was_resumed_is_told() -> None:
    result = Result("door-1", Outcome.CONFIRMED, "", "m 1", 1.0, 200, 212_000)
    assert result_words(result) == "confirmed, runs m 1, resumed at 212 kB, 1.0 s"


def test_words_of_a_door_cannot_draw_on_the_terminal() -> None:
    stream = io.StringIO()
    board = Board(stream, 2, one_line)
    evil = Result("door-1", Outcome.REFUSED, "\x1b[2J\nall is well", "m\x07", 1.0)
    board.ended(evil)
    board.table([evil, evil], "m")
    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 5
