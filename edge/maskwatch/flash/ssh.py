"""One connection to one door, by the system's own ssh: the user's settings, keys, agents and jump hosts are ssh's.

A master is started that all commands share, so that a jump host, a token or a firewall meets one login a door. It alone
reads the user's settings; what a command of its own would take from them, such as variables, reaches no door.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from maskwatch.errors import MaskwatchError, OperatorError, TryAgainError
from maskwatch.flash.process import EndlessError, LateError, Said, listen
from maskwatch.flash.protocol import COMMAND, MAX_ANSWER_BYTES, Report, Request, find_answer
from maskwatch.flash.ssh_words import MAX_WORDS, words_of_ssh

SSH_FAILED = 255
"""What ssh says of itself; all else is the other side's word."""

USAGE, NOT_FOUND = 2, 127
"""What an older Maskwatch says, and what a shell says without any."""

OWN = (
    "BatchMode=yes",
    # A door gets nothing of the operator's machine, whatever he grants it when he logs in by hand.
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    # Nor may his options have another command run, or a terminal spoil what is said.
    "RemoteCommand=none",
    "RequestTTY=no",
)
"""What must hold. All that is here OpenSSH has known since 7.6, of 2017."""

OWN_WHERE_KNOWN = (
    "GSSAPIDelegateCredentials=no",
    "SetEnv=TERM=dumb",  # no value clears it, but only the first one counts
)
"""The same, for an ssh that knows the option: Kerberos may be left out of it, and SetEnv came with 7.8."""

OVER_MASTER = ("ControlMaster=no", "ProxyCommand=false", "LogLevel=ERROR")
"""A command goes over its master or nowhere: by itself it might find another machine than the user's settings name."""

DEFAULTS = ("ConnectTimeout=20", "ServerAliveInterval=5", "ServerAliveCountMax=4", "LogLevel=ERROR")
"""A line that is dead is given up after 20 s; greetings are not shown. The user's own options go first."""

PERSIST_S = 60
"""A master whose owner was killed ends by itself after so long."""

CONNECT_S, ASK_S, UPLOAD_S, INSTALL_S, CLOSE_S = 60.0, 60.0, 3600.0, 300.0, 10.0
"""How long each may take; a small Pi runs golden vectors for some seconds."""


class UnreachableError(TryAgainError):
    """ssh did not get through, or the connection broke; the message is what ssh said."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """How ssh is called for every door: `config` is a file instead of ~/.ssh/config, `options` are Key=value.

    `known` is what it knows of OWN_WHERE_KNOWN.
    """

    config: Path | None = None
    options: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def words(self, control: str, *more: str) -> list[str]:
        """What logs in, up to the host. The first value that ssh meets of an option counts."""
        own = (*OWN, *self.known, f"ControlPath={control}", *more)
        return [_program(), *self._config(), *_options(*own, *self.options, *DEFAULTS)]

    def words_over(self, control: str) -> list[str]:
        """What goes over the master there, up to the host; reads no configuration."""
        return [_program(), "-F", "/dev/null", *_options(*OWN, f"ControlPath={control}", *OVER_MASTER)]

    def by_hand(self, *words: str) -> str:
        """What a user may type to go the same way."""
        return shlex.join(["ssh", *self._config(), *_options(*self.options), *words])

    def _config(self) -> list[str]:
        return [] if self.config is None else ["-F", str(self.config)]

    def checked(self) -> Ssh:
        """The same, once ssh has taken all options and its configuration; connects nowhere. Raises OperatorError."""
        done = self._settings_of(self.words("none"))
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").splitlines() or ["it gives no reason"]
            raise OperatorError(f"ssh refuses an option or its configuration: {said[0][:MAX_WORDS]}")
        return replace(self, known=tuple(filter(self._knows, OWN_WHERE_KNOWN)))

    def _knows(self, option: str) -> bool:
        done = self._settings_of([_program(), "-F", "/dev/null", *_options(option)])
        key = option.partition("=")[0].lower().encode()
        return any(line.startswith(key + b" ") for line in done.stdout.splitlines())

    def _settings_of(self, words: list[str]) -> subprocess.CompletedProcess[bytes]:
        """What ssh says of its settings with these. Raises OperatorError."""
        command = [*words, "-G", "localhost"]
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CONNECT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OperatorError(
                f"ssh does not come to an end with its configuration; try: {self.by_hand('-G', 'localhost')}"
            ) from error
        except OSError as error:
            raise OperatorError(f"{command[0]} cannot be run: {error.strerror}") from error


def _program() -> str:
    program = shutil.which("ssh")
    if program is None:
        raise OperatorError("there is no ssh here: sudo apt-get install openssh-client")
    return program


def _options(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("-o", setting)]


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
        command = [*self._ssh.words_over(self._control), self.host, *sudo, *COMMAND, *request.words()]
        said = self._run(command, data, limit_s, report)
        if said.code:
            raise self._fault(said)
        answer = find_answer(said.output)
        if answer is None:
            raise OperatorError(f"no Maskwatch answers there; try: {self._by_hand()}")
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
        said = self._run([*master, "-fN", self.host], b"", CONNECT_S, None)
        if said.code:
            raise UnreachableError(self._words(said))

    def close(self) -> None:
        """End the master."""
        command = [*self._ssh.words(self._control), "-O", "exit", self.host]
        with suppress(subprocess.TimeoutExpired, OSError):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLOSE_S, check=False)

    def _run(self, command: list[str], data: bytes, limit_s: float, report: Report | None) -> Said:
        try:
            with self._started(command) as process:
                return listen(process, data, limit_s, MAX_ANSWER_BYTES, report)
        except MaskwatchError:
            raise
        except LateError as error:
            raise UnreachableError(f"no answer in {limit_s:g} s") from error
        except EndlessError as error:
            raise OperatorError(
                f"it says more than {MAX_ANSWER_BYTES // 1024} kB, which no Maskwatch does; try: {self._by_hand()}"
            ) from error
        except OSError as error:  # no more files or processes, or no memory for them
            raise UnreachableError(f"ssh cannot be run here: {error.strerror}; fewer at once: --parallel") from error

    @contextmanager
    def _started(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """The process, which `stop` may kill. A session of its own: Ctrl-C is ours to pass on."""
        pipe = subprocess.PIPE
        with self._lock:
            if self._stopped:
                raise UnreachableError("broken off")
            process = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
            self._running = process
        try:
            yield process
        finally:
            with self._lock:
                self._running = None
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _fault(self, said: Said) -> MaskwatchError:
        """What a door's exit code and its words mean."""
        code = said.code
        if code == SSH_FAILED or code < 0:
            return UnreachableError(self._words(said))
        if code == NOT_FOUND:
            return OperatorError(f"there is no Maskwatch: maskwatch install {self.host}")
        if code == USAGE:  # whatever it says: what knows `receive` knows all that is asked of it
            return OperatorError(f"its Maskwatch is too old to be flashed: maskwatch install {self.host}")
        lines = said.complaints.decode("utf-8", "replace").splitlines()
        own = [line for line in lines if line.startswith("maskwatch: ")]
        if not own:
            return OperatorError(f"exit code {code}: {self._words(said)}")
        words = own[-1].removeprefix("maskwatch: ")[:MAX_WORDS]  # what comes before are warnings
        return TryAgainError(words) if code == TryAgainError.exit_code else OperatorError(words)

    def _words(self, said: Said) -> str:
        return words_of_ssh(
            said.complaints.decode("utf-8", "replace"), said.code, self.host, self._ssh.by_hand(self.host)
        )

    def _by_hand(self) -> str:
        return self._ssh.by_hand(self.host, *COMMAND, "state")


@contextmanager
def connected(host: str, ssh: Ssh) -> Iterator[Connection]:
    """A connection that is not open yet, and that is closed at the end, whatever comes.

    Raises OperatorError for what is no host, UnreachableError where there is no room for its socket.
    """
    check_host(host)
    # Short, and not in $TMPDIR, which macOS makes long: a socket's path has 100 letters at most. A folder of its own:
    # ssh's %C is the same for two names of one machine.
    try:
        folder = tempfile.mkdtemp(prefix="mw-", dir="/tmp")
    except OSError as error:
        raise UnreachableError(f"{error.filename} cannot be made: {error.strerror}") from error
    connection = Connection(host, ssh, folder)
    try:
        yield connection
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)


def check_host(host: str) -> None:
    """Raise OperatorError for what ssh would not take for a host."""
    if host.startswith("-") or not host.isprintable() or " " in host or host.rpartition("@")[2][:1] in ("", "-"):
        raise OperatorError(f"{host!r} is no host: give USER@HOST, or a Host of ~/.ssh/config")
