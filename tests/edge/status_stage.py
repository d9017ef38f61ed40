"""What the tests of the status share: a record, a clock, and a client that is watched closely."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from maskwatch.status import Status, read_status

LIMIT_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Asker:
    """A client, to be watched closely."""

    def __init__(self, path: Path, words: bytes = b"") -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel.connect(str(path))  # a timeout would make it fail where it has to wait
        self.channel.settimeout(LIMIT_S)
        self.channel.sendall(words)
        self.lines = self.channel.makefile("rb")

    def status(self) -> Status:
        return read_status(self.lines.readline())

    def wait_for(self, state: str) -> Status:
        while (status := self.status()).state != state:
            pass
        return status

    def is_let_go(self) -> bool:
        """Waits for the end; False where there is an answer."""
        try:
            return self.channel.recv(1) == b""
        except ConnectionResetError:  # it was let go before all that it said was read
            return True

    def has_news(self) -> bool:
        return bool(select.select([self.channel], [], [], 0)[0])

    def close(self) -> None:
        self.lines.close()
        self.channel.close()


def answer(path: Path) -> Status:
    """One status; after it, whatever the server had to look after before it was asked has been looked after."""
    asker = Asker(path, b"status\n")
    status = asker.status()
    assert asker.lines.read() == b""
    asker.close()
    return status


@contextmanager
def askers(path: Path) -> Iterator[Callable[..., Asker]]:
    """A maker of clients, which are all gone in the end."""
    with ExitStack() as all_of_them:

        def one(words: bytes = b"") -> Asker:
            asker = Asker(path, words)
            all_of_them.callback(asker.close)
            return asker

        yield one
