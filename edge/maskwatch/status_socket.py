"""Serves a daemon's status on a Unix socket, to a few who ask at a time, and never at a frame's expense.

The protocol: a client connects and sends one line.

- `status`: one line of JSON comes back (`maskwatch.status.Status`), and the connection ends.
- `watch`: such a line comes at once, after each change (at most every `CHANGE_SECONDS`), and every `BEAT_SECONDS` in
  any case, until the daemon stops. A client that sends more, or does not read, is let go.

Anything else, or no line within `ASK_SECONDS`, ends the connection without an answer.
"""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from maskwatch.status import Status

logger = logging.getLogger(__name__)

SOCKET_NAME = "status.sock"

SERVICE_SOCKET = Path("/run/maskwatch") / SOCKET_NAME
"""Where the systemd unit's RuntimeDirectory puts it."""

SOCKET_MODE = 0o660
"""To write is to ask: the owner, the group and root may."""

STATUS_WORD, WATCH_WORD = b"status", b"watch"
ASK_BYTES = 16
ASK_SECONDS = 2.0
CHANGE_SECONDS = 0.25
BEAT_SECONDS = 1.0

MAX_CLIENTS = 16
MAX_WATCHERS = 8
"""The rest of the places is for those who have not asked yet; of these the oldest gives way to a new one."""

ROUND_SECONDS = 0.02
"""The thread looks at its clients at most so often, and takes in at most `MAX_CLIENTS - MAX_WATCHERS` new ones each
time: a flood of them cannot take the processor."""

JOIN_SECONDS = 1.0


def own_socket(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where a run serves: in the service manager's runtime directory, else in the user's own; None without either."""
    folder = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd's, which may name several
    if folder:
        return Path(folder) / SOCKET_NAME
    home = environment.get("XDG_RUNTIME_DIR", "")
    return Path(home) / "maskwatch" / SOCKET_NAME if home.startswith("/") else None


@contextmanager
def served(
    path: Path | None, status: Callable[[], Status], clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Within this block, answer at `path` with what `status` returns, which is called from another thread.

    Where that cannot be, a warning says why, and all else goes on. Without a path there is nothing to say.
    """
    with ExitStack() as after:
        if path is not None:
            try:
                with ExitStack() as begun:  # what ends at once where the rest cannot be had
                    server = _Server(begun.enter_context(_listening(path)), status, clock)
                    server.start()
                    begun.callback(server.stop)
                    after.enter_context(begun.pop_all())
            except OSError as error:
                reason = error.strerror or error
                logger.warning("no status socket, so `maskwatch status` will not find this run: %s: %s", path, reason)
        yield


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at a path which no other living process has. Raises OSError where that cannot be had.

    Who holds the lock beside it owns the path; the kernel frees the lock of a process that was killed. So what lies
    at the path is a dead one's, and is replaced.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as after:
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        after.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, "another Maskwatch that runs has it") from error
        if path.is_socket():
            path.unlink()
        listener = after.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.setblocking(False)
        listener.bind(str(path))
        after.callback(path.unlink, missing_ok=True)
        path.chmod(SOCKET_MODE)  # before anybody can connect
        listener.listen(MAX_CLIENTS)
        yield listener


@dataclass(eq=False, slots=True)
class _Client:
    channel: socket.socket
    since_s: float
    asked: bytes = b""
    watching: bool = False
    sent_s: float = 0.0
    news: tuple[object, ...] = field(default=())


class _Server:
    """The thread that answers. It waits without limit while nobody is there, and for no client ever."""

    def __init__(self, listener: socket.socket, status: Callable[[], Status], clock: Callable[[], float]) -> None:
        self._listener = listener
        self._status = status
        self._clock = clock
        self._clients: list[_Client] = []
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._waker, self._woken = socket.socketpair()
        for waited_for in (self._woken, listener):
            self._selector.register(waited_for, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and let all clients go."""
        self._waker.send(b".")
        self._stopping.set()
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            logger.warning("the thread of the status socket does not end; left behind")
            return
        for client in self._clients[:]:
            self._let_go(client)
        for part in (self._selector, self._waker, self._woken):
            part.close()

    def _run(self) -> None:
        while not self._stopping.wait(ROUND_SECONDS):
            ready = self._selector.select(CHANGE_SECONDS if self._clients else None)
            for key, _ in ready:
                if key.data is not None:
                    self._hear(key.data)
            if any(key.fileobj is self._listener for key, _ in ready):  # last: a full house loses its silent ones
                self._welcome()
            self._look_after()

    def _welcome(self) -> None:
        for _ in range(MAX_CLIENTS - MAX_WATCHERS):
            try:
                channel, _ = self._listener.accept()
            except OSError:  # nobody waits any more, went away, or there are no descriptors left
                return
            channel.setblocking(False)
            if len(self._clients) >= MAX_CLIENTS:
                self._let_go(next(client for client in self._clients if not client.watching))
            client = _Client(channel, self._clock())
            self._clients.append(client)
            self._selector.register(channel, selectors.EVENT_READ, client)
            self._hear(client)

    def _hear(self, client: _Client) -> None:
        """Take what a client has sent, as far as it is there."""
        try:
            words = client.channel.recv(ASK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        client.asked += words
        word, ended, more = client.asked.partition(b"\n")
        if not words or client.watching or more or len(word) >= ASK_BYTES:
            self._let_go(client)
        elif ended and word == WATCH_WORD and sum(other.watching for other in self._clients) < MAX_WATCHERS:
            client.watching = True
            self._tell(client, self._status())
        elif ended:
            if word == STATUS_WORD:
                self._tell(client, self._status())
            self._let_go(client)

    def _look_after(self) -> None:
        """Tell watchers what is new, and let those go who only sit there."""
        now_s = self._clock()
        watchers = [client for client in self._clients if client.watching]
        for client in self._clients[:]:
            if not client.watching and now_s - client.since_s >= ASK_SECONDS:
                self._let_go(client)
        if watchers:
            status = self._status()
            for client in watchers:
                if now_s - client.sent_s >= (BEAT_SECONDS if status.news == client.news else CHANGE_SECONDS):
                    self._tell(client, status)

    def _tell(self, client: _Client, status: Status) -> None:
        client.sent_s, client.news = self._clock(), status.news
        line = status.to_json().encode("ascii") + b"\n"
        try:
            sent_bytes = client.channel.send(line)
        except OSError:  # it went away, or its buffer is full
            sent_bytes = 0
        if sent_bytes < len(line):
            self._let_go(client)

    def _let_go(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client.channel)
            client.channel.close()
