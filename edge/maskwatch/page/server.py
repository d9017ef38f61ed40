"""The page at loopback: three addresses behind a secret word, for whoever was given it, and for nobody else.

Other users of the machine can reach loopback too, and so can web pages in the user's own browser. Hence: an address
that cannot be guessed, a check of the name that the browser believes to speak to (a name that was rebound to 127.0.0.1
is another one), reading only, nothing cached, and nothing loaded from elsewhere.
"""

from __future__ import annotations

import errno
import hmac
import importlib.resources
import json
import logging
import re
import secrets
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs

from maskwatch.errors import OperatorError

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"

OUR_NAME = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.ASCII | re.IGNORECASE)
"""What a browser calls this server; through `ssh -L` the port may be another one, so any port will do."""

PATIENCE_SECONDS = 2.0
"""So long a client waits for a newer picture; then it asks again."""

CLIENT_SECONDS = 30.0
"""A client that takes longer over a request or an answer is let go."""

MAX_CLIENTS = 16
"""Connections at a time; a browser opens up to six. The oldest that has not shown the secret word gives way to a new
one: they may be another user's of this machine, and must not keep out the one who has the word."""

_POLL_SECONDS = 0.1
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_CLOSED_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; img-src blob: data:; connect-src 'self'; script-src 'nonce-{nonce}'; "
    "style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NONCE = "NONCE"


class Pictures(Protocol):
    """Where pictures come from."""

    def picture(self, after: int, patience_s: float) -> tuple[int, bytes] | None:
        """Serial and JPEG of the newest picture, waited for until it is another than `after`."""


class PageServer(ThreadingHTTPServer):
    """Listens at `ADDRESS` from the moment it is made; answers within `serving`. A thread for each connection.

    Raises:
        OperatorError: the port is taken, or this user may not have it.
    """

    daemon_threads = True

    def __init__(self, port: int, pictures: Pictures, figures: Callable[[], Mapping[str, object]]) -> None:
        self.pictures, self.figures = pictures, figures
        self.token = secrets.token_urlsafe(16)
        self.page = importlib.resources.files("maskwatch").joinpath("data/preview.html").read_text(encoding="utf-8")
        self._guard = threading.Lock()
        self._connections: dict[socket.socket, bool] = {}  # the oldest first; True: it has shown the word
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            what = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
            raise OperatorError(f"port {port} {what}: name another one, such as --port {_other(port)}") from error

    @property
    def port(self) -> int:
        """The port that was had, also where any was asked for (0)."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{ADDRESS}:{self.port}/{self.token}/"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer within this block; after it the port is free. Clients still being answered are left to end."""
        thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name="page", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()

    def server_bind(self) -> None:
        """Bind without asking the name service for this machine's name, which can take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; where too many are open, in place of a stranger, or turn it away."""
        with self._guard:
            room = len(self._connections) < MAX_CLIENTS or self._drop_stranger()
            if room:
                self._connections[request] = False
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._guard:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def has_shown_word(self, connection: socket.socket) -> None:
        """Note that this one is no stranger."""
        with self._guard:
            if connection in self._connections:
                self._connections[connection] = True

    def _drop_stranger(self) -> bool:
        """End the oldest stranger; False where there is none. Its thread, which waits for its words, closes it."""
        for connection, shown in self._connections.items():
            if not shown:
                del self._connections[connection]
                with suppress(OSError):  # it has gone by itself
                    connection.shutdown(socket.SHUT_RDWR)
                return True
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nobody's fault; anything else is a bug, told in one line."""
        fault = sys.exception()
        if not isinstance(fault, OSError):
            logger.error("the page failed (%s: %s); please report it", type(fault).__name__, fault)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; the browser keeps it open between pictures."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "maskwatch", ""
    timeout = CLIENT_SECONDS
    disable_nagle_algorithm = True
    server: PageServer

    def do_GET(self) -> None:
        """Answer, unless the name or the secret word is wrong."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not OUR_NAME.fullmatch(hosts[0].strip()):
            self._refuse(HTTPStatus.FORBIDDEN, "this server is called 127.0.0.1 or localhost")
            return
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST, "a question has no body")
            return
        path, _, query = self.path.partition("?")
        token, slash, name = path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(errors="replace"), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that `maskwatch preview` has printed last")
            return
        self.server.has_shown_word(self.connection)
        if not slash:
            self._send(HTTPStatus.PERMANENT_REDIRECT, "text/plain", b"", {"Location": f"/{token}/"})
        elif name == "":
            self._send_page()
        elif name == "figures":
            body = json.dumps(self.server.figures(), ensure_ascii=False, allow_nan=False).encode()
            self._send(HTTPStatus.OK, "application/json", body)
        elif name == "picture":
            self._send_picture(query)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing of this name")

    def do_HEAD(self) -> None:
        """The same; `_send` leaves the body out."""
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the base class finds fault with; a method that it does not know is not allowed."""
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD are all there is", {"Allow": "GET, HEAD"})
        else:
            self._refuse(status, status.phrase)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the address holds the secret word."""

    def _refuse(self, status: HTTPStatus, words: str, more: Mapping[str, str] | None = None) -> None:
        """Answer in one line of plain text, and close."""
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{words}\n".encode(), {"Connection": "close", **(more or {})})

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        body = self.server.page.replace(_NONCE, nonce).encode()
        policy = {"Content-Security-Policy": _PAGE_POLICY.format(nonce=nonce)}
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", body, policy)

    def _send_picture(self, query: str) -> None:
        words = parse_qs(query).get("after", ["0"])[-1]
        if not (words.isascii() and words.isdigit() and len(words) < 16):
            self._refuse(HTTPStatus.BAD_REQUEST, "after= takes a number")
            return
        found = self.server.pictures.picture(int(words), PATIENCE_SECONDS)
        if found is None:
            self._send(HTTPStatus.NO_CONTENT, "", b"")
            return
        serial, picture = found
        self._send(HTTPStatus.OK, "image/jpeg", picture, {"X-Serial": str(serial)})

    def _send(self, status: HTTPStatus, kind: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Security-Policy": _CLOSED_POLICY} | _HEADERS | dict(more or {})).items():
            self.send_header(name, value)
        if status is not HTTPStatus.NO_CONTENT:  # which may not carry these two
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _other(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8765
