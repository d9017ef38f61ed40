"""Boots a root filesystem with its own systemd as PID 1, by systemd-nspawn, without a network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from debian_root import INSIDE
from pi_root import ENVIRONMENT

Found = TypeVar("Found")

BOOT_LIMIT_S = 120
COMMAND_LIMIT_S = 120
POLL_S = 0.1
REBOOT = 133
"""What systemd-nspawn exits with where the container asked for a reboot and a service manager looks after nspawn."""

UNNEEDED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "e2scrub_all.timer", "fstrim.timer",
    "systemd-firstboot.service",
)  # fmt: skip

BOOT = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --resolv-conf=off --timezone=off \
    --link-journal=no --system-call-filter=bpf --console=pipe "--machine=$1" "--directory=$2" --boot
"""
"""The group is made in a mount namespace: many a machine's /sys/fs/cgroup is still the older kind."""

SWEEP = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ ! -d "/sys/fs/cgroup/$1" ] || find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +
"""

NAMESPACE = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")


def lacks() -> str:
    """Why no container can be booted here, and what to do; empty where one can."""
    if os.geteuid() != 0:
        return "needs root: sudo make test-pi"
    if shutil.which("systemd-nspawn", path=ENVIRONMENT["PATH"]) is None:
        return "needs systemd-nspawn: apt-get install systemd-container"
    mount = [*NAMESPACE, "mount -t cgroup2 cgroup2 /sys/fs/cgroup"]
    if subprocess.run(mount, env=ENVIRONMENT, capture_output=True, check=False).returncode:
        return "needs control groups (cgroup2), which this machine refuses (a container without privileges?)"
    return ""


def wait_for(what: str, answer: Callable[[], Found | None], limit_s: float) -> Found:
    """The answer, as soon as it is true. Fails where that takes too long."""
    deadline_s = time.monotonic() + limit_s
    while True:
        found = answer()
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        time.sleep(POLL_S)


class Container:
    """A root filesystem that is booted, asked, rebooted and switched off."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._name = f"maskwatch-{uuid.uuid4().hex[:8]}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._console = root.with_name("console.log")
        self.leader_file = root.with_name("leader")
        """Holds the number of its PID 1 while it is up: whoever enters it by that finds the present boot."""

    def prepare(self) -> None:
        """Do once what an image's maker does: an identity, and nothing that asks, downloads or trims."""
        (self._root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
        for unit in UNNEEDED:
            (self._root / "etc/systemd/system" / unit).symlink_to("/dev/null")

    def boot(self) -> None:
        """Start it, and wait until all that starts at boot has been started, or has failed to."""
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*NAMESPACE, BOOT, "sh", self._name, str(self._root)],
                env=ENVIRONMENT | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
        wait_for("a system that has booted", self._is_up, BOOT_LIMIT_S)
        self.leader_file.write_text(str(self._leader()), encoding="ascii")
        self.run("systemctl", "is-system-running", "--wait", limit_s=BOOT_LIMIT_S)

    def run(
        self, *words: str | Path, limit_s: float = COMMAND_LIMIT_S, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root; never raises for what the command answers."""
        leader = self._leader()
        assert leader is not None, f"the container is not running: {self._said()}"
        enter = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return subprocess.run(
            [*enter, "--root", "--wd", "env", "-i", *(f"{name}={value}" for name, value in INSIDE.items()),
             *map(str, words)],
            env=ENVIRONMENT, input=stdin, capture_output=True, encoding="utf-8", errors="replace", timeout=limit_s,
            check=False,
        )  # fmt: skip

    def ask(self, *words: str | Path, limit_s: float = COMMAND_LIMIT_S) -> str:
        """What a command prints. Fails where it fails."""
        done = self.run(*words, limit_s=limit_s)
        assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def reboot(self) -> None:
        """Ask its systemd for a reboot, and boot it again."""
        assert self._nspawn is not None
        self.run("systemctl", "reboot")
        assert self._nspawn.wait(BOOT_LIMIT_S) == REBOOT, self._said()
        self.leader_file.unlink()
        self.boot()

    def cut(self) -> None:
        """End it at once, as a power cut does to all that runs; what was written stays, synced or not."""
        leader = self._leader()
        assert self._nspawn is not None
        assert leader is not None, f"the container is not running: {self._said()}"
        os.kill(leader, signal.SIGKILL)  # its children die with it
        self._nspawn.wait(BOOT_LIMIT_S)
        self.leader_file.unlink()

    def switch_off(self) -> None:
        """Switch it off, in order if that goes; nothing of it is left running."""
        if self._nspawn is None:
            return
        try:
            if self._nspawn.poll() is None and self._leader() is not None:
                self.run("systemctl", "poweroff")
            self._nspawn.wait(BOOT_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()  # its children die with their PID 1
            self._nspawn.wait()
        subprocess.run(
            [*NAMESPACE, SWEEP, "sh", self._name], env=ENVIRONMENT, capture_output=True, timeout=60, check=False
        )

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"it does not boot: {self._said()}"
        return self._leader() is not None and "bus" in self.run("ls", "/run/systemd/private", "/run/dbus").stdout

    def _leader(self) -> int | None:
        """Its PID 1, as this machine numbers it: the only child of nspawn that is the first of a namespace."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return None
        pid = self._nspawn.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
            for child in children:
                status = Path(f"/proc/{child}/status").read_text(encoding="ascii")
                if any(line.split()[0] == "NSpid:" and line.split()[-1] == "1" for line in status.splitlines() if line):
                    return int(child)
        except OSError:
            return None
        return None

    def _said(self) -> str:
        return self._console.read_text(encoding="utf-8", errors="replace")[-2000:]
