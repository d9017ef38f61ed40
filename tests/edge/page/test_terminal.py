"""The preview as text: what the line says, one line on a terminal, a line a second elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.page.board import Board
from maskwatch.page.figures import as_line, clock_words
from maskwatch.page.hints import Aim, Hint, Trouble
from maskwatch.page.terminal import Terminal
from maskwatch.types import Box
from maskwatch.verbs.plain import one_line
from sights import face, sight

SEEN = sight(1, 128, 96)


class Screen(io.StringIO):
    """A terminal's stream."""

    def isatty(self) -> bool:
        return True


def board(**changes: object) -> Board:
    return Board(replace(SEEN, **changes), "", 581.4)


def terminal(stream: io.StringIO, columns: int = 120) -> tuple[Terminal, list[float]]:
    now_s = [0.0]
    return Terminal(stream, one_line, lambda: now_s[0], lambda: columns), now_s


def test_the_line_says_all_of_it() -> None:
    two = (face(Box(0, 0, 100, 212), 0.98), face(Box(0, 0, 40, 60.4), 0.1))
    assert (
        as_line(board(faces=two))
        == "9:41 left | 9.5 fps | light 90/255 | 2 faces: mask 212 px, no mask 60 px | well aimed"
    )
    aim = Aim(20.4, (Hint(Trouble.DARK, "give more light"), Hint(Trouble.BLURRED, "wipe the lens")))
    assert as_line(board(faces=two[:1], aim=aim)) == (
        "9:41 left | 9.5 fps | light 20/255 | 1 face: mask 212 px | too dark: give more light | blurred: wipe the lens"
    )


def test_the_line_without_faces_picture_or_camera() -> None:
    assert as_line(board(faces=())).endswith(" | no face | stand where people will stand")
    assert as_line(Board(None, "", 60)) == "1:00 left | waiting for the camera"
    assert as_line(Board(SEEN, "pulled out", 60)) == "1:00 left | no camera: pulled out; trying again"


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (600, "10:00")])
def test_time_left(seconds: float, words: str) -> None:
    assert clock_words(seconds) == words


def test_a_terminal_has_one_line_that_is_drawn_again() -> None:
    screen = Screen()
    view, now_s = terminal(screen)
    for _ in range(3):
        view.redraw(board())
        now_s[0] += 0.3
    view.say("no camera")
    view.redraw(board())
    view.close()
    view.close()
    line = f"\r{as_line(board())}\x1b[K"
    assert screen.getvalue() == f"{line * 3}\r\x1b[Kno camera\n{line}\n"


def test_elsewhere_there_is_a_whole_line_a_second() -> None:
    stream = io.StringIO()
    view, now_s = terminal(stream)
    view.say("hello")
    for _ in range(21):
        view.redraw(board())
        now_s[0] += 0.125
    view.close()
    assert stream.getvalue() == "hello\n" + f"{as_line(board())}\n" * 3


def test_a_terminal_is_drawn_five_times_a_second_at_most() -> None:
    screen = Screen()
    view, now_s = terminal(screen)
    for _ in range(16):
        view.redraw(board())
        now_s[0] += 1 / 16
    assert screen.getvalue().count("\r") == 4


def test_control_characters_of_a_fault_do_nothing() -> None:
    screen = Screen()
    view, _ = terminal(screen)
    view.redraw(Board(None, "a\x1b[2Jb\nc", 60))
    view.say("d\x07")
    assert screen.getvalue() == "\r1:00 left | no camera: a\\x1b[2Jb\\nc; trying again\x1b[K\r\x1b[Kd\\x07\n"


@given(st.text(alphabet=st.characters(categories=["L", "N", "P"]), max_size=80), st.integers(1, 100))
def test_the_line_fits_any_terminal(reason: str, columns: int) -> None:
    import unicodedata

    screen = Screen()
    view, _ = terminal(screen, columns)
    view.redraw(Board(None, reason, 60))
    drawn = screen.getvalue().removeprefix("\r").removesuffix("\x1b[K")
    assert sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in drawn) < max(columns, 1)
