"""A real sshd on loopback: a free port, its own host key, and logins by forced command, all in one short folder."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from real_command import COMMAND, users_environment

LIMIT_S = 30.0

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MISSING = "openssh-server or openssh-client is not installed"


def is_there() -> bool:
    """Whether there is an sshd, and the ssh and ssh-keygen to use it with."""
    return SSHD is not None and all(map(shutil.which, ("ssh", "ssh-keygen")))


class Sshd:
    """One server. Each host of its client's configuration is a key of its own, and so a forced command of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.config = folder / "ssh_config"
        self.log = folder / "sshd.log"
        self.authorized = folder / "authorized_keys"
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        self._common = (
            f"  HostName 127.0.0.1\n  User {getpass.getuser()}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n"
        )
        self.config.touch()
        self.authorized.touch()

    def add_host(self, name: str, options: str, *, port: int | None = None, lines: str = "") -> None:
        """A Host of that name, whose key has these options in authorized_keys; `lines` go to the client's side."""
        key = self.folder / f"key-{name}"
        make_key(key)
        with self.authorized.open("a") as authorized:
            authorized.write(f"{options} {key.with_name(key.name + '.pub').read_text()}")
        with self.config.open("a") as config:
            port = self.port if port is None else port
            config.write(f"Host {name}\n{lines}  Port {port}\n  IdentityFile {key}\n{self._common}")

    def ssh(self, host: str, *words: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
        """What anybody with that host's key may try by hand."""
        return subprocess.run(
            ["ssh", "-F", self.config, "-o", "BatchMode=yes", *options, host, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )


def forced(*words: str | Path, program: Sequence[str | Path] = (COMMAND,)) -> str:
    """The options of a key that may do one thing: `maskwatch WORDS`, as the documentation has it."""
    command = shlex.join(map(str, [*program, *words]))
    return f'restrict,command="{command}"'


def make_key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True, timeout=LIMIT_S
    )


def make_host_key(path: Path) -> str:
    """A key's public half, as known_hosts has it."""
    make_key(path)
    return path.with_name(f"{path.name}.pub").read_text()


@contextmanager
def running(path_for_logins: str | None = None) -> Iterator[Sshd]:
    """An sshd as whoever runs the tests; `path_for_logins` is the PATH that its logins get."""
    assert SSHD is not None
    with tempfile.TemporaryDirectory(prefix="mw-sshd-", dir="/tmp") as name:  # a socket's path must be short
        folder = Path(name)
        make_key(folder / "host")
        port = free_port()
        lines = [
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {folder}/host",
            f"AuthorizedKeysFile {folder}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "StrictModes no",  # it lies in /tmp, which everybody may write to
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            # All that a careless administrator could allow: the key alone must forbid it.
            "AllowTcpForwarding yes",
            "AllowAgentForwarding yes",
            "PermitTunnel yes",
            "X11Forwarding yes",
            "PermitTTY yes",
            "GatewayPorts yes",
            "AcceptEnv *",
        ]
        variables = {"PATH": path_for_logins, "PYTHONPATH": os.environ.get("PYTHONPATH")}  # the code that is tested
        if given := [f"{name}={value}" for name, value in variables.items() if value]:
            lines.append(f"SetEnv {' '.join(given)}")
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in
        server = Sshd(folder, port)
        process = subprocess.Popen(
            [SSHD, "-D", "-E", server.log, "-f", folder / "sshd_config"],
            env=users_environment(),
            stdin=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: process.poll() is not None or is_listening(port))
            assert process.poll() is None, f"sshd does not start: {server.log.read_text()}"
            yield server
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def wait_until(so: Callable[[], bool]) -> None:
    """For what nothing else tells of. Fails where it does not come to be."""
    limit_s = time.monotonic() + LIMIT_S
    while not so():
        assert time.monotonic() < limit_s, "it did not come to be"
        time.sleep(0.02)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
