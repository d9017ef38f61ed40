"""The service under a real systemd as PID 1: installed by the installer, watched, killed, confined, rebooted."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import container
import pytest
import sandbox_probe
from booted_door import CONFIG, DROP_IN, PINS, READY_LIMIT_S, RESTART_LIMIT_S, SETTINGS, UNIT, Door
from container import Container, wait_for
from debian_root import Debian, Root, fresh_root
from installation import give_chip, hand_over
from tiny_models import tiny_bundle

ON_PINS = SETTINGS.replace('kind = "none"', 'kind = "gpio"')
CHIP = Path("/srv/chip")
PROBE = Path("/srv/sandbox_probe.py")
PROBED = "PROBED "
TUN, FUSE = (10, 200), (10, 229)

WATCHDOG = "WatchdogSec=10s"
"""Long enough for a busy machine, short enough for a test: the daemon feeds it every 2.5 s."""

pytestmark = [pytest.mark.pi, pytest.mark.timeout(600, func_only=True)]


@pytest.fixture(scope="class")
def machine(request: pytest.FixtureRequest) -> Iterator[tuple[Container, Root]]:
    debian: Debian = request.cls.debian
    if reason := container.lacks() or debian.lacks():
        pytest.skip(reason)
    with fresh_root(debian) as root:
        booted = Container(root.path)
        booted.prepare()
        hand_over(root)
        give_chip(root, CHIP)
        lay_out_probe(root)
        try:
            booted.boot()
            yield booted, root
        finally:
            booted.switch_off()


def lay_out_probe(root: Root) -> None:
    """Folders and devices that nobody but the sandbox refuses."""
    for name in sandbox_probe.OPEN_FOLDERS:
        folder = root.path / name.lstrip("/")
        folder.mkdir()
        folder.chmod(0o1777)
    for name, numbers in zip(sandbox_probe.DEVICES, (TUN, FUSE), strict=True):
        node = root.path / name.lstrip("/")
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(*numbers))
        node.chmod(0o666)
    (root.path / PROBE.relative_to("/")).write_bytes(Path(sandbox_probe.__file__).read_bytes())


@pytest.fixture(scope="class")
def pristine(machine: tuple[Container, Root]) -> set[str]:
    return machine[1].files()


@pytest.fixture(scope="class")
def installed(machine: tuple[Container, Root], pristine: set[str]) -> Door:
    """Maskwatch, installed by one command while the system runs, with the demo for a camera."""
    booted, root = machine
    door = Door(booted, root)
    door.configure(SETTINGS)
    print(door.install())
    return door


@pytest.fixture
def door(installed: Door) -> Iterator[Door]:
    """The door, ready, with its own unit and settings; and so again for the next test."""
    installed.wait_until_ready()
    yield installed
    if (installed.root.path / DROP_IN).exists() or (installed.root.path / CONFIG).read_text() != SETTINGS:
        installed.configure(SETTINGS)
        installed.drop_in()
    elif installed.show()["ActiveState"] == "inactive":
        installed.machine.ask("systemctl", "start", UNIT)


def probed(text: str) -> dict[str, str]:
    """The last answers of the probe in a text."""
    lines = [line for line in text.splitlines() if line.startswith(PROBED)]
    return dict(json.loads(lines[-1].removeprefix(PROBED)))


class UnderSystemd:
    """Each system runs these in a process of its own, where there are several."""

    debian: ClassVar[Debian]

    def test_one_command_ends_with_a_service_that_is_ready(self, installed: Door) -> None:
        properties = installed.is_ready()  # at once: the installer has waited for it
        assert properties is not None, installed.show()
        assert (properties["Type"], properties["NotifyAccess"], properties["NRestarts"]) == ("notify", "main", "0")
        assert properties["User"] == "maskwatch"
        assert installed.machine.ask("systemctl", "is-enabled", UNIT) == "enabled\n"
        assert re.search(r'^ *Status: "\w+: \d seen, \d unmasked"$', installed.status(), re.MULTILINE)
        assert "watching demo with masknet" in installed.journal()

    def test_a_second_run_of_the_installer_leaves_the_service_alone(self, door: Door) -> None:
        pid = door.pid()
        assert "nothing was to do" in door.install().splitlines()
        assert door.pid() == pid

    def test_nobody_is_asked_for_a_network(self, door: Door) -> None:
        devices = door.machine.ask("cat", "/proc/net/dev").splitlines()[2:]
        assert [line.partition(":")[0].strip() for line in devices] == ["lo"]

    def test_a_frozen_daemon_is_killed_by_the_watchdog_and_comes_back(self, door: Door) -> None:
        door.drop_in(WATCHDOG, "RestartSec=1s")
        before = door.wait_until_ready()
        door.machine.ask("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", UNIT)
        after = door.wait_for_another(int(before["MainPID"]))
        assert int(after["NRestarts"]) == int(before["NRestarts"]) + 1
        log = door.journal()
        assert "Watchdog timeout" in log
        assert "Failed with result 'watchdog'" in log
        dumps = door.root.path / "var/lib/systemd/coredump"
        assert not dumps.exists() or not list(dumps.iterdir())

    def test_sigkill_leaves_the_lights_off(self, door: Door) -> None:
        """The kernel keeps a pin's level when its owner dies; files do so too."""
        (door.root.path / PINS).mkdir()
        door.machine.ask("chown", "maskwatch:", f"/{PINS}")
        door.configure(ON_PINS)
        door.drop_in(f"Environment=PYTHONPATH={CHIP} GPIOZERO_PIN_FACTORY=files", "RestartSec=1h")
        before = door.wait_until_ready()

        def frozen_with_a_light_on() -> bool:
            door.machine.ask("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", UNIT)
            if "1" in door.pins().values():
                return True
            door.machine.ask("systemctl", "kill", "--kill-whom=main", "--signal=SIGCONT", UNIT)
            return False

        wait_for("a light that is on", frozen_with_a_light_on, READY_LIMIT_S)
        door.machine.ask("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", UNIT)
        wait_for("the pause before the restart", lambda: door.show()["SubState"] == "auto-restart", RESTART_LIMIT_S)
        assert door.pins() == {17: "0", 18: "0", 27: "0"}
        assert before["MainPID"] != "0" == door.show()["MainPID"]
        door.machine.ask("systemctl", "stop", UNIT)
        assert not (door.root.path / "run/maskwatch").exists()
        for path in (door.root.path / PINS).iterdir():
            path.unlink()
        (door.root.path / PINS).rmdir()

    def test_a_stop_is_clean(self, door: Door) -> None:
        door.machine.ask("systemctl", "stop", UNIT)
        properties = door.show()
        assert (properties["Result"], properties["MainPID"]) == ("success", "0")
        assert "lights off" in properties["ExecStopPost"]
        assert "status=0" in properties["ExecStopPost"]
        assert door.machine.run("ls", "/run/maskwatch").returncode != 0

    def test_the_sandbox_refuses_what_it_should_and_no_more(self, door: Door) -> None:
        as_user = ("setpriv", "--reuid=maskwatch", "--regid=maskwatch", "--init-groups", "python3", "-B", PROBE)
        outside = probed(door.machine.ask(*as_user))
        door.drop_in(f"ExecStartPre=/usr/bin/python3 -B {PROBE}")
        door.wait_until_ready()
        inside = probed(door.journal())
        print(json.dumps({"outside": outside, "inside": inside}, indent=1))
        assert {name: inside[name] for name in sandbox_probe.NEEDED} == dict.fromkeys(sandbox_probe.NEEDED, "done")
        assert [name for name in sandbox_probe.REFUSED if inside[name] == "done"] == []
        # What is refused to this user in any case says nothing of the sandbox. A machine may lack one of the devices.
        said_nothing = [name for name in sandbox_probe.REFUSED if outside[name] != "done" and "/srv/" not in name]
        assert said_nothing == []

    def test_a_model_that_is_activated_is_swapped_in_tried_and_confirmed_by_the_running_service(
        self, door: Door, tmp_path: Path
    ) -> None:
        pid = door.pid()
        bundle = tiny_bundle(tmp_path)
        inside = Path("/srv") / bundle.name
        brought = door.root.path / inside.relative_to("/")
        brought.write_bytes(bundle.read_bytes())
        door.machine.ask("maskwatch", "slots", "install", inside)
        brought.unlink()
        door.machine.ask("maskwatch", "slots", "activate")
        door.wait_for_words("tiny 1.2.3 (slot a) is confirmed")
        status = json.loads(door.machine.ask("maskwatch", "status", "--json"))
        assert (status["model"], status["slot"], status["trial"]) == ("tiny 1.2.3", "a", "confirmed")
        assert (status["pid"], door.pid()) == (pid, pid)
        written = door.root.path / "var/lib/maskwatch/slots/state.json"  # by the service, in its sandbox
        assert stat.S_IMODE(written.stat().st_mode) == 0o660
        assert json.loads(written.read_text())["last_event"]["event"] == "healthy"
        door.machine.ask("maskwatch", "slots", "rollback", "--confirmed")
        door.wait_for_words("instead of tiny 1.2.3 (slot a)")
        assert door.pid() == pid

    def test_a_reload_takes_over_new_settings_in_the_same_process(self, door: Door) -> None:
        pid = door.pid()
        door.configure(SETTINGS.replace("5.0", "4.0"))
        door.machine.ask("systemctl", "reload", UNIT)
        door.wait_for_words("settings loaded again: demo with masknet")
        door.configure(SETTINGS.replace("5.0", "4000"))
        door.machine.ask("systemctl", "reload", UNIT)
        door.wait_for_words("the old settings stay in force")
        assert "frames_per_second" in door.journal()
        properties = door.wait_until_ready()
        assert (int(properties["MainPID"]), properties["NRestarts"]) == (pid, "0")

    def test_a_bad_setting_is_named_and_its_correction_needs_no_command(self, door: Door) -> None:
        door.configure(SETTINGS.replace("[model]", "[modell]"))
        door.machine.run("systemctl", "restart", UNIT)
        pausing = wait_for(
            "the pause before the restart",
            lambda: properties if (properties := door.show())["SubState"] == "auto-restart" else None,
            READY_LIMIT_S,
        )
        assert pausing["Result"] == "exit-code"
        assert pausing["ExecMainStatus"] == "3"
        growing = int(door.machine.ask("systemctl", "--version").split()[1]) >= 254
        assert pausing["RestartUSec"] == ("2s" if growing else "10s")
        assert pausing.get("RestartSteps", "0") == ("5" if growing else "0")
        wait_for("its name in the status", lambda: "unknown table [modell]" in door.status(), READY_LIMIT_S)
        door.configure(SETTINGS)
        door.wait_until_ready()

    def test_a_reboot_brings_it_back(self, door: Door) -> None:
        before = door.show()["InvocationID"]
        door.machine.reboot()
        properties = door.wait_until_ready()
        assert properties["InvocationID"] != before
        assert properties["NRestarts"] == "0"
        assert door.machine.ask("systemctl", "is-system-running") == "running\n"

    def test_uninstall_leaves_nothing(self, installed: Door, pristine: set[str]) -> None:
        machine = installed.machine
        print(installed.uninstall())
        assert installed.show()["LoadState"] == "not-found"
        assert installed.root.left_over(pristine) == []
        assert machine.run("id", "maskwatch").returncode != 0
        assert machine.ask("systemctl", "is-system-running") == "running\n"


class TestBookworm(UnderSystemd):
    debian = Debian("bookworm", "amd64")


class TestTrixie(UnderSystemd):
    debian = Debian("trixie", "amd64")
