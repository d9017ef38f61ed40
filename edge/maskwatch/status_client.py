"""Asks a running Maskwatch for its status, over the socket that `status_socket` serves."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from maskwatch.errors import NotRunningError, OperatorError, TryAgainError
from maskwatch.status import Status, read_status
from maskwatch.status_socket import BEAT_SECONDS, SERVICE_SOCKET, STATUS_WORD, WATCH_WORD, own_socket
from maskwatch.strict_json import SchemaError

ANSWER_SECONDS = 5 * BEAT_SECONDS
MAX_LINE_BYTES = 256 * 1024

_START = (
    "start it: sudo systemctl start maskwatch, or, where XDG_RUNTIME_DIR is set, `maskwatch run`; "
    "see what keeps it from it: maskwatch doctor"
)


def usual_places(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a Maskwatch may answer: the service first, then a run of one's own."""
    own = own_socket(environment)
    return (SERVICE_SOCKET,) if own in (None, SERVICE_SOCKET) else (SERVICE_SOCKET, own)


def ask(places: Sequence[Path]) -> Status:
    """The present status of the first Maskwatch that answers at one of these places.

    Raises:
        NotRunningError: none runs there.
        TryAgainError: it does not answer.
        OperatorError: this user may not ask, or what answers is another version or no Maskwatch.
    """
    with closing(_listen(places, STATUS_WORD)) as answers:
        for status in answers:
            return status
    raise TryAgainError("Maskwatch ended the connection without an answer: it stops, or too many ask; ask again")


def watch(places: Sequence[Path]) -> Generator[Status]:
    """The status now, after each change, and about every second; ends when the daemon does. Raises as `ask` does."""
    return _listen(places, WATCH_WORD)


def _listen(places: Sequence[Path], word: bytes) -> Generator[Status]:
    place, channel = _connect(places)
    with channel, channel.makefile("rb") as lines:
        try:
            channel.sendall(word + b"\n")
            while (line := lines.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                yield read_status(line)
        except (BrokenPipeError, ConnectionResetError):
            return
        except TimeoutError as error:
            raise TryAgainError(f"{place}: no answer in {ANSWER_SECONDS:g} s; {_START}") from error
        except SchemaError as error:
            raise OperatorError(
                f"{place}: no Maskwatch of this version answers ({error}); start it again: "
                "sudo systemctl restart maskwatch"
            ) from error
        if len(line) == MAX_LINE_BYTES:
            raise OperatorError(f"{place}: no Maskwatch answers, only a line without an end")


def _connect(places: Sequence[Path]) -> tuple[Path, socket.socket]:
    """The first of these places where somebody listens."""
    faults: dict[Path, OSError] = {}
    for place in places:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Python's own timeout would not wait for a place in the queue of those who connect; the kernel's does.
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(ANSWER_SECONDS), 0))
        try:
            channel.connect(str(place))
        except OSError as error:
            channel.close()
            faults[place] = error
        else:
            channel.settimeout(ANSWER_SECONDS)
            return place, channel
    for place, fault in faults.items():
        if isinstance(fault, PermissionError):
            raise OperatorError(
                f"{place}: this user may not ask: use sudo, or join the group and log in again: "
                'sudo usermod -aG maskwatch "$USER"'
            ) from fault
        if isinstance(fault, BlockingIOError):
            raise TryAgainError(f"{place}: too many ask at once; ask again") from fault
        if not isinstance(fault, FileNotFoundError | NotADirectoryError | ConnectionRefusedError):
            raise OperatorError(f"{place}: cannot be asked: {fault.strerror or fault}") from fault
    raise NotRunningError(f"not running: nobody answers at {' or '.join(map(str, faults))}; {_START}")
