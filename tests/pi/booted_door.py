"""A system that is booted with Maskwatch as its service: installed by the installer, asked through systemd."""

from __future__ import annotations

from pathlib import Path

from container import Container, wait_for
from debian_root import Root
from installation import CLONE_INSIDE, INSTALL_LIMIT_S, WHEELS_INSIDE

UNIT = "maskwatch.service"
INSTALLER = ("env", f"PYTHONPATH={CLONE_INSIDE}/edge", "python3", "-B", "-m", "maskwatch.cli")
INSTALL = ("install", "--from", CLONE_INSIDE, "--wheels", WHEELS_INSIDE)
VENV_COMMAND = "/opt/maskwatch/venv/bin/maskwatch"
CONFIG = "etc/maskwatch/config.toml"
SETTINGS = """\
[camera]
source = "demo"
frames_per_second = 5.0

[model]
threads = 1

[indicator]
kind = "none"
"""
PINS = Path("var/lib/maskwatch/pins")
DROP_IN = Path("etc/systemd/system/maskwatch.service.d/test.conf")

READY_LIMIT_S = 120
RESTART_LIMIT_S = 120


class Door:
    """A container with Maskwatch in it."""

    def __init__(self, machine: Container, root: Root) -> None:
        self.machine = machine
        self.root = root

    def show(self) -> dict[str, str]:
        lines = self.machine.ask("systemctl", "show", UNIT).splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def pid(self) -> int:
        return int(self.show()["MainPID"])

    def journal(self) -> str:
        """What was said by the service, or of it, in this boot."""
        return self.machine.ask("journalctl", "--unit", UNIT, "--boot", "--output", "cat", "--no-pager")

    def status(self) -> str:
        """What `systemctl status` says to a technician."""
        return self.machine.run("systemctl", "status", "--no-pager", UNIT).stdout

    def is_ready(self) -> dict[str, str] | None:
        properties = self.show()
        ready = (properties["ActiveState"], properties["SubState"]) == ("active", "running")
        return properties if ready and properties["StatusText"] else None

    def wait_until_ready(self) -> dict[str, str]:
        return wait_for("a service that is ready", self.is_ready, READY_LIMIT_S)

    def wait_for_another(self, pid: int) -> dict[str, str]:
        """Wait until another process than that one is ready."""

        def another() -> dict[str, str] | None:
            properties = self.is_ready()
            return properties if properties and properties["MainPID"] != str(pid) else None

        return wait_for("a new process that is ready", another, RESTART_LIMIT_S)

    def wait_for_words(self, words: str, times: int = 1) -> None:
        wait_for(f"{words!r} in the log", lambda: self.journal().count(words) >= times, RESTART_LIMIT_S)

    def drop_in(self, *lines: str) -> None:
        """Change the unit, and start it anew; no lines take the change back."""
        path = self.root.path / DROP_IN
        if lines:
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(["[Service]", *lines, ""]), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
        self.machine.ask("systemctl", "daemon-reload")
        assert self.machine.run("systemctl", "restart", UNIT).returncode == 0, self.journal()[-3000:]

    def configure(self, text: str) -> None:
        path = self.root.path / CONFIG
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def install(self) -> str:
        """Run the installer of the clone that was handed over, while the system runs; what it says."""
        return self.machine.ask(*INSTALLER, *INSTALL, limit_s=INSTALL_LIMIT_S)

    def uninstall(self) -> str:
        """Take all of it off again; what is said."""
        return self.machine.ask(VENV_COMMAND, "uninstall", "--purge")

    def pins(self) -> dict[int, str]:
        """The level of each pin of the chip of files."""
        return {int(path.name): path.read_text(encoding="ascii") for path in (self.root.path / PINS).iterdir()}
