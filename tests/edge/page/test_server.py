"""The page's server over real loopback: who may see what, and that nobody holds up anybody else."""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import cv2
import numpy as np
import pytest
from maskwatch.errors import ExitCode, OperatorError
from maskwatch.page import server as server_module
from maskwatch.page.board import Showcase
from maskwatch.page.figures import as_json
from maskwatch.page.server import MAX_CLIENTS, PageServer
from sights import LIMIT_S, sight


@pytest.fixture
def showcase() -> Showcase:
    return Showcase(100.0, clock=lambda: 40.0)


@pytest.fixture
def server(showcase: Showcase, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", 0.05)
    with PageServer(0, showcase, lambda: as_json(showcase.board(), "demo", "tiny 1.2.3", 48)) as page, page.serving():
        yield page
        showcase.close()


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()


def ask(server: PageServer, name: str = "", method: str = "GET", host: str | None = None, path: str = "") -> Answer:
    """Ask for a name behind the secret word, or for a whole path."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        headers = {} if host is None else {"Host": host}
        connection.request(method, path or f"/{server.token}/{name}", headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def raw(server: PageServer, request: bytes) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as connection:
        connection.sendall(request)
        return connection.makefile("rb").read()


def test_the_page_loads_nothing_from_elsewhere(server: PageServer) -> None:
    answer = ask(server)
    text = answer.body.decode()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert not re.search(r"https?://|//[a-z]|@import|url\(|src=", text.replace("picture.src = address", ""))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert text.count(f'nonce="{nonce}"') == text.count("<style") + text.count("<script") == 2
    assert nonce not in ask(server).headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["", "figures", "picture", "absent", "picture?after=x"])
def test_no_answer_is_stored_or_guessed_or_shared(server: PageServer, showcase: Showcase, name: str) -> None:
    showcase.show(sight(1))
    headers = ask(server, name).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/picture", "/figures", "//", "/{half}/", "/{token}x/figures", "/ä/", "/%00/", "*"]
)
def test_without_the_word_nothing_is_seen(server: PageServer, showcase: Showcase, path: str) -> None:
    showcase.show(sight(1))
    path = path.format(token=server.token, half=server.token[:-1])
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"\r\n\r\nopen the address that `maskwatch preview` has printed last\n")
    assert showcase.encoded == 0


def test_every_server_has_a_word_of_its_own(server: PageServer, showcase: Showcase) -> None:
    with PageServer(0, showcase, dict) as other:
        assert other.token != server.token
    assert len(server.token) >= 20
    assert server.url == f"http://127.0.0.1:{server.port}/{server.token}/"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:9", "127.0.0.1:8765", "[::1]:80", "[::1]"])
def test_its_own_names_are_answered_at_any_forwarded_port(server: PageServer, host: str) -> None:
    assert ask(server, "figures", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.", "x@localhost", "", "10.0.0.1"]
)
def test_a_name_that_was_rebound_is_turned_away(server: PageServer, showcase: Showcase, host: str) -> None:
    showcase.show(sight(1))
    assert ask(server, "picture", host=host).status == 403
    assert showcase.encoded == 0


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_no_name_and_two_names_are_turned_away(server: PageServer, hosts: bytes) -> None:
    assert raw(server, b"GET /%b/ HTTP/1.1\r\n%b\r\n" % (server.token.encode(), hosts)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_it_can_only_be_read(server: PageServer, method: str) -> None:
    answer = ask(server, "figures", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.headers["Connection"] == "close"


def test_a_question_with_a_body_is_turned_away(server: PageServer) -> None:
    head = f"GET /{server.token}/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n"
    smuggled = f"GET /{server.token}/figures HTTP/1.1\r\n"
    answer = raw(server, (head + smuggled).encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G" * 70_000]
)
def test_rubbish_is_answered_with_a_fault_and_nothing_of_itself(
    server: PageServer, rubbish: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = raw(server, rubbish)
    assert b"200 OK" not in answer
    assert b"GGGG" not in answer
    assert ask(server, "figures").status == 200
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["", "figures", "picture", "absent"])
def test_head_says_the_same_without_the_body(server: PageServer, showcase: Showcase, name: str) -> None:
    showcase.show(sight(1))
    full = ask(server, name)
    question = f"HEAD /{server.token}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, _, body = raw(server, question.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % full.status)
    assert f"\r\nContent-Length: {len(full.body)}\r\n" in head.decode() + "\r\n"
    assert body == b""


def test_the_address_without_its_last_slash_leads_to_the_page(server: PageServer) -> None:
    answer = ask(server, path=f"/{server.token}")
    assert (answer.status, answer.headers["Location"]) == (308, f"/{server.token}/")


def test_it_listens_at_one_address_alone(server: PageServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=LIMIT_S)


def test_the_picture_is_small_and_has_boxes(server: PageServer, showcase: Showcase) -> None:
    showcase.show(sight(7))
    answer = ask(server, "picture?after=6")
    assert (answer.status, answer.headers["Content-Type"], answer.headers["X-Serial"]) == (200, "image/jpeg", "7")
    picture = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert picture.shape == (480, 640, 3)
    edge = np.abs(picture[140:340, 245] - (213, 94, 0)).sum(axis=1)  # the box's left edge, at half its size
    assert (edge < 90).mean() > 0.2
    assert np.abs(picture[:, :100] - 90).max() < 12


def test_a_small_frame_is_not_shrunk(server: PageServer, showcase: Showcase) -> None:
    showcase.show(sight(1, 600, 450))
    picture = cv2.imdecode(np.frombuffer(ask(server, "picture").body, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (450, 600, 3)


def test_the_newest_picture_wins_and_is_given_once(server: PageServer, showcase: Showcase) -> None:
    for serial in (1, 2, 3):
        showcase.show(sight(serial))
    assert ask(server, "picture").headers["X-Serial"] == "3"
    again = ask(server, "picture?after=3")
    assert (again.status, again.body) == (204, b"")
    assert ask(server, "picture?after=99").headers["X-Serial"] == "3"  # a page of an earlier preview


def test_before_the_first_picture_there_is_none(server: PageServer) -> None:
    assert ask(server, "picture").status == 204
    assert json.loads(ask(server, "figures").body)["sight"] is None


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1e3", "after=" + "9" * 30, "after=%D9%A3"])
def test_after_takes_a_number(server: PageServer, query: str) -> None:
    assert ask(server, f"picture?{query}").status == 400


def test_nothing_is_encoded_until_somebody_looks_and_then_once_for_all(server: PageServer, showcase: Showcase) -> None:
    for serial in range(1, 20):
        showcase.show(sight(serial))
        ask(server, "figures")
    assert showcase.encoded == 0
    assert ask(server, "picture").body == ask(server, "picture").body != b""
    assert showcase.encoded == 1


def test_a_waiting_client_gets_the_next_picture(
    server: PageServer, showcase: Showcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", LIMIT_S)
    showcase.show(sight(1))
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(ask(server, "picture?after=1")))
    client.start()
    assert ask(server, "figures").status == 200  # while the other one waits
    showcase.show(sight(2))
    client.join(LIMIT_S)
    assert answers[0].headers["X-Serial"] == "2"


def test_the_end_of_the_preview_ends_all_waiting(
    server: PageServer, showcase: Showcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", 10 * LIMIT_S)
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(ask(server, "picture")))
    client.start()
    showcase.close()
    client.join(LIMIT_S)
    assert [answer.status for answer in answers] == [204]


def test_figures_are_those_of_the_board(server: PageServer, showcase: Showcase) -> None:
    showcase.show(sight(7))
    answer = ask(server, "figures")
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {
        "source": "demo",
        "model": "tiny 1.2.3",
        "min_face_height_px": 48,
        "seconds_left": 60.0,
        "no_camera": None,
        "sight": {
            "serial": 7,
            "width": 1280,
            "height": 960,
            "frames_per_second": 9.5,
            "brightness": 90,
            "hints": [],
            "faces": [
                {
                    "box": [490, 280, 790, 680], "height_px": 400, "label": "without_mask", "words": "no mask",
                    "mask": 0.02, "score": 0.9,
                }
            ],
        },
    }  # fmt: skip


def test_a_lost_camera_is_told_until_it_is_back(server: PageServer, showcase: Showcase) -> None:
    showcase.show(sight(1))
    showcase.lose("pulled out")
    lost = json.loads(ask(server, "figures").body)
    assert (lost["no_camera"], lost["sight"]) == ("pulled out", None)
    showcase.show(sight(2))
    back = json.loads(ask(server, "figures").body)
    assert (back["no_camera"], back["sight"]["serial"]) == (None, 2)


class Huge:
    """Pictures that no socket's buffers hold."""

    def picture(self, after: int, patience_s: float) -> tuple[int, bytes]:
        return after + 1, bytes(60_000_000)


def test_a_client_that_does_not_read_holds_up_nobody() -> None:
    with PageServer(0, Huge(), dict) as server, server.serving():
        head = f"GET /{server.token}/picture HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as lazy:
            lazy.sendall(head)
            assert lazy.recv(15) == b"HTTP/1.1 200 OK"
            with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as half:
                half.sendall(head[:10])
                assert ask(server, "figures").status == 200
    # and the server has ended while both were still there


def test_a_connection_serves_many_questions(server: PageServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    for _ in range(3):
        connection.request("GET", f"/{server.token}/figures")
        assert connection.getresponse().read().startswith(b"{")
    connection.close()


def guest(server: PageServer) -> http.client.HTTPConnection:
    """A connection that has shown the word, and stays."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    connection.request("GET", f"/{server.token}/figures")
    assert connection.getresponse().read().startswith(b"{")
    return connection


def test_too_many_connections_with_the_word_are_turned_away_until_one_ends(server: PageServer) -> None:
    held = [guest(server) for _ in range(MAX_CLIENTS)]
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server, "figures")
    held.pop().close()
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        try:
            assert ask(server, "figures").status == 200
            break
        except (http.client.HTTPException, ConnectionError):
            assert time.monotonic() < deadline_s
    for connection in held:
        connection.close()


def test_strangers_who_say_nothing_keep_nobody_out(server: PageServer) -> None:
    """Sixteen connections of any user of the machine locked the owner out for half a minute."""
    with ExitStack() as after:
        guests = [after.enter_context(closing(guest(server))) for _ in range(2)]
        strangers = [
            after.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S))
            for _ in range(MAX_CLIENTS - len(guests))
        ]
        guests.append(after.enter_context(closing(guest(server))))
        assert strangers[0].recv(1) == b""  # the oldest gave way
        for connection in guests:
            connection.request("GET", f"/{server.token}/figures")
            assert connection.getresponse().status == 200
        wrong = b"GET /x/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
        strangers[1].sendall(wrong)  # the others have been let be
        assert strangers[1].recv(12) == b"HTTP/1.1 403"


def test_a_client_that_goes_away_is_no_fault(
    server: PageServer, showcase: Showcase, caplog: pytest.LogCaptureFixture
) -> None:
    showcase.show(sight(1))
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close with a reset
        connection.sendall(b"GET /x")
    assert ask(server, "figures").status == 200
    assert caplog.records == []


def test_a_bug_is_told_in_one_line_and_the_others_are_served(
    showcase: Showcase, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> dict[str, object]:
        raise ZeroDivisionError("a bug")

    with PageServer(0, showcase, broken) as server, server.serving():
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server, "figures")
        assert ask(server).status == 200
    assert caplog.messages == ["the page failed (ZeroDivisionError: a bug); please report it"]
    assert capsys.readouterr().err == ""


def test_no_log_holds_the_word(
    server: PageServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(server)
        ask(server, "absent")
        ask(server, "", "POST")
    assert server.token not in caplog.text + "".join(capsys.readouterr())


def test_a_taken_port_is_a_matter_for_the_operator_and_free_again_afterwards(showcase: Showcase) -> None:
    with PageServer(0, showcase, dict) as first:
        with pytest.raises(OperatorError, match=f"^port {first.port} is taken: name another one") as caught:
            PageServer(first.port, showcase, dict)
        assert caught.value.exit_code is ExitCode.OPERATOR
    with PageServer(first.port, showcase, dict) as second:
        assert second.port == first.port
