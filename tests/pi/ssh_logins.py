"""A workstation that logs in to a booted container by ssh, at the container's own sshd.

The container has no network but its loopback: ssh is handed a connection that was made there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from container import Container
from debian_root import Root
from real_command import users_environment
from signing_keys import make_key

PACKAGE = "openssh-server"
PORT = 22
HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
LIMIT_S = 60

WAY_IN = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
socket.send_fds(socket.socket(fileno=sys.stdout.fileno()), [b"0"], [connection.fileno()])
"""
"""ssh's ProxyCommand with ProxyUseFdpass, once it has entered the container's network."""


def lacks() -> str:
    """Why nobody can log in from here, and what to do; empty where one can."""
    return "" if all(map(shutil.which, ("ssh", "scp", "ssh-keygen"))) else "needs ssh: apt-get install openssh-client"


class Logins:
    """Hosts of one container, each with a key of its own: `folder` holds the keys and the client's configuration."""

    def __init__(self, folder: Path, machine: Container, root: Root) -> None:
        self.folder = folder
        self.config = folder / "ssh_config"
        known = folder / "known_hosts"
        known.write_text(f"door {(root.path / HOST_KEY).read_text(encoding='ascii')}", encoding="ascii")
        way_in = folder / "way_in.py"
        way_in.write_text(WAY_IN, encoding="ascii")
        enter = f'nsenter --target "$(cat {machine.leader_file})" --net'
        self._common = (
            f"  HostKeyAlias door\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {known}\n"
            f"  GlobalKnownHostsFile /dev/null\n  ProxyUseFdpass yes\n"
            f"  ProxyCommand {enter} {sys.executable} -I -S {way_in} {PORT}\n"
        )
        self.config.touch()

    def add_host(self, name: str) -> str:
        """A Host of that name; the public half of its key, as one line."""
        key = make_key(self.folder / f"key-{name}")
        with self.config.open("a", encoding="ascii") as config:
            config.write(f"Host {name}\n  IdentityFile {key}\n{self._common}")
        return Path(f"{key}.pub").read_text(encoding="ascii").strip()

    def ssh(self, login: str, *words: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """What anybody with that host's key may try by hand."""
        return self.run("ssh", "-F", self.config, "-o", "BatchMode=yes", *options, login, *words)

    def scp(self, file: Path, to: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Send a file, to USER@HOST:PATH."""
        return self.run("scp", "-q", *options, "-F", self.config, "-o", "BatchMode=yes", file, to)

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, words)], env=users_environment(), stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", timeout=LIMIT_S, check=False,
        )  # fmt: skip
