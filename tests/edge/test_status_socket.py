"""The status over real sockets: who is answered, and that nobody who asks holds a daemon up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import status_socket
from maskwatch.status import PersonStatus, read_status
from maskwatch.status_socket import served
from plain_status import PLAIN
from status_stage import LIMIT_S, Asker, Clock, answer, askers


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., Asker]]:
    with askers(path) as one:
        yield one


def test_who_asks_gets_one_line_and_the_end(path: Path) -> None:
    with served(path, lambda: PLAIN):
        assert answer(path) == PLAIN
        assert answer(path) == PLAIN
    assert not path.exists()


def test_a_word_may_come_in_pieces(path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        asker = connect(b"sta")
        answer(path)
        asker.channel.sendall(b"tus")
        answer(path)
        asker.channel.sendall(b"\n")
        assert asker.status() == PLAIN


def test_who_watches_hears_of_each_change_and_of_the_end(path: Path, connect: Callable[..., Asker]) -> None:
    now = [PLAIN]
    with served(path, lambda: now[0]):
        asker = connect(b"watch\n")
        assert asker.status() == PLAIN
        now[0] = replace(PLAIN, state="unmasked")
        assert asker.wait_for("unmasked") == now[0]
    assert asker.lines.read() == b""


def test_who_watches_hears_at_most_so_often_and_at_least_so_often(
    path: Path, clock: Clock, connect: Callable[..., Asker]
) -> None:
    now = [PLAIN]
    with served(path, lambda: now[0], clock):
        asker = connect(b"watch\n")
        assert asker.status() == PLAIN
        for frames in range(20):  # figures run on
            now[0] = replace(PLAIN, frames=frames)
            answer(path)
        clock.now_s += status_socket.BEAT_SECONDS - 0.01
        answer(path)
        answer(path)
        assert not asker.has_news()
        clock.now_s += 0.01
        assert asker.status() == now[0]
        for state in ("unsure", "unmasked", "unsure", "unmasked"):  # flicker
            now[0] = replace(PLAIN, state=state)
            answer(path)
            answer(path)
            assert not asker.has_news()
        clock.now_s += status_socket.CHANGE_SECONDS
        assert asker.status() == now[0]
        answer(path)
        answer(path)
        assert not asker.has_news()


@pytest.mark.parametrize("change", ["frames", "fps", "uptime_seconds", "state_seconds", "latency_seconds"])
def test_figures_that_run_on_are_no_news(change: str) -> None:
    assert replace(PLAIN, **{change: 8}).news == PLAIN.news


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"state": "unsure"},
            {"alarm": True},
            {"dark": True},
            {"resting": True},
            {"unmasked_count": 1},
            {"reloads": 1},
            {"pid": 2},
        ),
        *({"model": "two"}, {"camera_source": "v4l2:0"}, {"camera_lost_reason": "unplugged"}),
        {"people": (PersonStatus(None, 0.5),)},
    ],
)
def test_what_is_news(change: dict[str, object]) -> None:
    assert replace(PLAIN, **change).news != PLAIN.news


# Clients that mean no good, or know no better


@pytest.mark.parametrize(
    "words",
    [
        b"\n",
        b"STATUS\n",
        b"status \n",
        b"watch\nstatus\n",
        b"status\nstatus\n",
        b"\0" * 15 + b"\n",
        b"x" * 100_000,
        b"\xff\n",
    ],
)
def test_who_says_anything_else_gets_no_answer(words: bytes, path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        asker = connect()
        with suppress(BrokenPipeError, ConnectionResetError):  # it is not even read to its end
            asker.channel.sendall(words)
        assert asker.is_let_go()
        assert answer(path) == PLAIN


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=16, max_size=64).filter(lambda words: not words.startswith((b"status\n", b"watch\n"))))
def test_garbage_is_not_answered(words: bytes) -> None:
    with garbage_server() as place:
        asker = Asker(place, words)
        assert asker.is_let_go()
        asker.close()
        assert answer(place) == PLAIN


@contextmanager
def garbage_server() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "s", lambda: PLAIN):
        yield Path(folder) / "s"


def test_who_watches_and_talks_is_let_go(path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        asker = connect(b"watch\n")
        assert asker.status() == PLAIN
        asker.channel.sendall(b"watch\n")
        while line := asker.lines.readline():
            assert read_status(line) == PLAIN


def test_who_says_nothing_is_let_go_in_time(path: Path, clock: Clock, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN, clock):
        silent, watching = connect(), connect(b"watch\n")
        watching.status()
        clock.now_s += status_socket.ASK_SECONDS - 0.01
        answer(path)
        answer(path)
        assert not silent.has_news()
        clock.now_s += 0.01
        assert silent.is_let_go()
        assert watching.status() == PLAIN


def test_a_thousand_who_connect_and_say_nothing_keep_nobody_out(path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        watching = connect(b"watch\n")
        for _ in range(500):
            Asker(path).close()
        crowd = [connect() for _ in range(500)]
        assert answer(path) == PLAIN
        assert watching.status() == PLAIN
        assert sum(asker.has_news() for asker in crowd) >= 500 - status_socket.MAX_CLIENTS  # let go


def test_more_watchers_than_there_is_room_for_are_let_go_and_others_still_get_answers(
    path: Path, clock: Clock, connect: Callable[..., Asker]
) -> None:
    with served(path, lambda: PLAIN, clock):
        watching = [connect(b"watch\n") for _ in range(status_socket.MAX_WATCHERS)]
        assert [asker.status() for asker in watching] == [PLAIN] * len(watching)
        assert connect(b"watch\n").is_let_go()
        assert answer(path) == PLAIN
        watching[0].close()
        answer(path)
        answer(path)
        assert connect(b"watch\n").status() == PLAIN


def test_who_goes_away_before_the_answer_is_forgotten(path: Path) -> None:
    with served(path, lambda: PLAIN):
        for words in (b"", b"stat", b"status\n", b"watch\n"):
            Asker(path, words).close()
        assert answer(path) == PLAIN


def test_who_does_not_read_is_let_go_and_holds_nobody_up(
    path: Path, clock: Clock, connect: Callable[..., Asker]
) -> None:
    long = replace(PLAIN, camera_source="m" * 50_000)
    with served(path, lambda: long, clock):
        lazy, busy = connect(b"watch\n"), connect(b"watch\n")
        for _ in range(20):  # more than a socket's buffer holds
            assert busy.status() == long
            clock.now_s += status_socket.BEAT_SECONDS
        assert 0 < len(lazy.lines.read()) < 20 * 50_000  # it ends


def test_a_client_killed_while_it_reads_is_forgotten(path: Path) -> None:
    script = f"""
import socket
channel = socket.socket(socket.AF_UNIX)
channel.connect({str(path)!r})
channel.sendall(b"watch\\n")
print(channel.recv(1).decode(), flush=True)
channel.recv(10_000, socket.MSG_WAITALL)
"""
    with served(path, lambda: PLAIN):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "{\n"
        child.kill()
        child.communicate(timeout=LIMIT_S)
        for _ in range(3):
            assert answer(path) == PLAIN
