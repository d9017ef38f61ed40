"""One connection to one door, by the system's own ssh: the user's settings, keys, agents and jump hosts are ssh's.

A master is started that all commands share, so that a jump host, a token or a firewall meets one login a door.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from maskwatch.errors import MaskwatchError, OperatorError, TryAgainError
from maskwatch.flash.protocol import COMMAND, MAX_ANSWER_BYTES, Report, Request, find_answer

SSH_FAILED = 255
"""What ssh says of itself; all else is the other side's word."""

USAGE, NOT_FOUND = 2, 127
"""What an older Maskwatch says, and what a shell says without any."""

DEFAULTS = ("ConnectTimeout=20", "ServerAliveInterval=5", "ServerAliveCountMax=4", "LogLevel=ERROR")
"""A line that is dead is given up after 20 s; greetings are not shown. The user's own options go first."""

PERSIST_S = 60
"""A master whose owner was killed ends by itself after so long."""

CONNECT_S, ASK_S, UPLOAD_S, INSTALL_S, CLOSE_S = 60.0, 60.0, 3600.0, 300.0, 10.0
"""How long each may take; a small Pi runs golden vectors for some seconds."""

CHUNK_BYTES = 16 * 1024
MAX_WORDS = 240


class UnreachableError(TryAgainError):
    """ssh did not get through, or the connection broke; the message is what ssh said."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """How ssh is called for every door: `config` is a file instead of ~/.ssh/config, `options` are Key=value."""

    config: Path | None = None
    options: tuple[str, ...] = ()

    def words(self, control: str, *more: str) -> list[str]:
        """The command up to the host. The first value that ssh meets of an option counts."""
        program = shutil.which("ssh")
        if program is None:
            raise OperatorError("there is no ssh here: sudo apt-get install openssh-client")
        config = [] if self.config is None else ["-F", str(self.config)]
        own = ("BatchMode=yes", f"ControlPath={control}")
        settings = (*own, *more, *self.options, *DEFAULTS)
        return [program, *config, *(word for setting in settings for word in ("-o", setting))]


class Connection:
    """One door's master and what runs over it, once `connected` has made it. One thread asks; any thread may `stop`."""

    def __init__(self, host: str, ssh: Ssh, folder: str) -> None:
        self.host = host
        self.sudo = False
        """Whether the other side's command goes through `sudo -n`."""
        self._ssh = ssh
        self._folder = folder
        self._control = "none"
        self._masters = 0
        self._lock = threading.RLock()  # `stop` may be called by a signal, and by another one meanwhile
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(
        self, request: Request, data: bytes = b"", limit_s: float = ASK_S, report: Report | None = None
    ) -> dict[str, object]:
        """The door's answer to a request that has `data` on its stdin; `report` is told how many bytes have left.

        Raises:
            UnreachableError: the connection broke.
            OperatorError, TryAgainError: the door's own fault, in its words.
        """
        sudo = ("sudo", "-n") if self.sudo else ()
        command = [*self._ssh.words(self._control, "ControlMaster=no"), self.host, *sudo, *COMMAND, *request.words()]
        code, output, complaints = self._run(command, data, limit_s, report)
        if code:
            raise self._fault(code, complaints)
        answer = find_answer(output)
        if answer is None:
            raise OperatorError(f"no Maskwatch answers there; try: ssh {self.host} {' '.join(COMMAND)} state")
        return answer

    def stop(self) -> None:
        """End what runs, and let nothing more run."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()

    def open(self) -> None:
        """Start the master. Raises UnreachableError."""
        # Where one was killed its socket still lies, and ssh would start a master that nobody can reach or end.
        self._masters += 1
        self._control = f"{self._folder}/{self._masters}"
        master = self._ssh.words(self._control, "ControlMaster=yes", f"ControlPersist={PERSIST_S}")
        code, _, complaints = self._run([*master, "-fN", self.host], b"", CONNECT_S, None)
        if code:
            raise UnreachableError(words_of_ssh(complaints, code))

    def close(self) -> None:
        """End the master."""
        command = [*self._ssh.words(self._control), "-O", "exit", self.host]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLOSE_S, check=False)

    def _run(self, command: list[str], data: bytes, limit_s: float, report: Report | None) -> tuple[int, bytes, str]:
        # Files, not pipes: a master keeps its stderr open for as long as it lives.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
            with self._started(command, output, complaints) as process:
                late = threading.Event()

                def end() -> None:
                    late.set()
                    process.kill()

                timer = threading.Timer(limit_s, end)
                timer.start()
                try:
                    assert process.stdin is not None
                    with suppress(BrokenPipeError), process.stdin as stream:  # its exit code says why
                        _feed(stream, data, report)
                    code = process.wait()
                finally:
                    timer.cancel()
            if late.is_set():
                raise UnreachableError(f"no answer in {limit_s:.0f} s")
            output.seek(0)
            complaints.seek(0)
            said = complaints.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
            return code, output.read(MAX_ANSWER_BYTES), said

    @contextmanager
    def _started(
        self, command: list[str], output: IO[bytes], complaints: IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The process, which `stop` may kill. A session of its own: Ctrl-C is ours to pass on."""
        with self._lock:
            if self._stopped:
                raise UnreachableError("broken off")
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=complaints, start_new_session=True
            )
            self._running = process
        try:
            yield process
        finally:
            with self._lock:
                self._running = None
            process.kill()
            process.wait()

    def _fault(self, code: int, complaints: str) -> MaskwatchError:
        if code == SSH_FAILED or code < 0:
            return UnreachableError(words_of_ssh(complaints, code))
        if code == NOT_FOUND:
            return OperatorError(f"there is no Maskwatch: maskwatch install {self.host}")
        own = [line for line in complaints.splitlines() if line.startswith("maskwatch: ")]
        if not own:
            if code == USAGE:
                return OperatorError(f"its Maskwatch is too old to be flashed: maskwatch install {self.host}")
            return OperatorError(f"exit code {code}: {words_of_ssh(complaints, code)}")
        words = own[-1].removeprefix("maskwatch: ")
        return TryAgainError(words) if code == TryAgainError.exit_code else OperatorError(words)


@contextmanager
def connected(host: str, ssh: Ssh) -> Iterator[Connection]:
    """A connection that is not open yet, and that is closed at the end, whatever comes.

    Raises OperatorError for what is no host.
    """
    check_host(host)
    # Short, and not in $TMPDIR, which macOS makes long: a socket's path has 100 letters at most. A folder of its own:
    # ssh's %C is the same for two names of one machine.
    with tempfile.TemporaryDirectory(prefix="mw-", dir="/tmp") as folder:
        connection = Connection(host, ssh, folder)
        try:
            yield connection
        finally:
            connection.close()


def check_host(host: str) -> None:
    """Raise OperatorError for what ssh would not take for a host."""
    if not host or host.startswith("-") or not host.isprintable() or " " in host:
        raise OperatorError(f"{host!r} is no host: give USER@HOST, or a Host of ~/.ssh/config")


def words_of_ssh(complaints: str, code: int) -> str:
    """Why ssh failed, in the one line of its own that says most."""
    lines = [line.strip() for line in complaints.splitlines() if line.strip(" @\t")]
    if not lines:
        return f"ssh was ended by signal {-code}" if code < 0 else "ssh gives no reason"
    # What ssh says of a name or a port comes first; what follows is that the other end of a pipe has gone.
    telling = [line for line in lines if line.startswith("ssh: ")]
    return (telling or lines[-1:])[0][:MAX_WORDS]


def _feed(stream: IO[bytes], data: bytes, report: Report | None) -> None:
    for start in range(0, len(data), CHUNK_BYTES):
        stream.write(data[start : start + CHUNK_BYTES])
        stream.flush()
        if report is not None:
            report(min(start + CHUNK_BYTES, len(data)), len(data))
