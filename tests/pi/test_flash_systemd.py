"""`maskwatch flash` to whole Debian systems: their own sshd, the login that the installer made, the real service."""

from __future__ import annotations

import hashlib
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import container
import pytest
import ssh_logins
from booted_door import Door
from container import Container, wait_for
from debian_root import Debian, fresh_root
from flash_runs import answered, flash_command, flash_environment
from flash_site import FLASH_HOME, FLASHING, LOGIN, PERSON, QUICK, ROOT, SLOTS, Site, set_up
from installation import hand_over
from maskwatch.bundle import default_bundle_path, open_bundle
from ssh_logins import PACKAGE, Logins

TRIAL_LIMIT_S = 60

OTHERS = [
    "ls",
    "sh -c id",
    "sudo -n id",
    "/opt/maskwatch/venv/bin/maskwatch slots rollback --confirmed",
    "maskwatch run",
    "maskwatch receive",
    "maskwatch receive state; id",
    "maskwatch receive --slots /tmp state",
    "maskwatch receive --trust /tmp state",
    "/usr/lib/openssh/sftp-server",
    "scp -t /tmp",
]

pytestmark = [pytest.mark.pi, pytest.mark.timeout(600, func_only=True)]


def model_of(bundle: Path) -> str:
    """`masknet 9.0.0`."""
    return bundle.stem.replace("-", " ")


@pytest.fixture(scope="class")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    debian: Debian = request.cls.debian
    if reason := container.lacks() or debian.lacks() or ssh_logins.lacks():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("workstation")
    with fresh_root(debian, (PACKAGE,)) as root:
        machine = Container(root.path)
        machine.prepare()
        hand_over(root)
        try:
            machine.boot()
            door = Door(machine, root)
            door.configure(QUICK)
            door.install()
            yield set_up(Site(door, Logins(folder, machine, root), folder))
        finally:
            machine.switch_off()


@pytest.fixture
def ready(site: Site) -> Site:
    site.door.wait_until_ready()
    assert not site.slots.read().trying
    return site


def broken_finder() -> dict[str, object]:
    """Networks that answer their golden vectors, and of which a door can make nothing: fewer cells than is said."""
    finder = open_bundle(default_bundle_path()).manifest.finder
    assert finder is not None
    return {"finder": replace(finder, strides=(*finder.strides, 64))}


class FlashedBySsh:
    """Each system runs these in a process of its own, where there are several."""

    debian: ClassVar[Debian]

    def test_sshd_is_the_systems_own(self, ready: Site) -> None:
        assert ready.door.machine.ask("systemctl", "is-active", "ssh.service") == "active\n"
        assert ready.door.machine.ask("systemctl", "is-system-running") == "running\n"

    def test_a_signed_bundle_is_tried_and_confirmed_by_the_service_that_goes_on(self, ready: Site) -> None:
        bundle = ready.bundle()
        before = ready.process()
        done = ready.flash(bundle)
        assert (done.code, done.one()["outcome"], done.one()["model"]) == (0, "confirmed", model_of(bundle)), done
        status = ready.status()
        assert ready.runs() == (model_of(bundle), ready.slots.read().active, "confirmed")
        assert status["model_sha256"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
        assert (status["reloads"], status["camera_lost_seconds"]) == (0, None)
        assert ready.process() == before, "the same process"
        again = ready.flash(bundle)
        assert (again.code, again.one()["outcome"]) == (0, "already")

    def test_what_it_leaves_on_the_disk_has_the_documented_rights(self, ready: Site) -> None:
        ready.flashed()
        group = ready.door.machine.ask("id", "--group", "maskwatch").strip()
        found = {path: path.lstat() for path in (ready.door.root.path / SLOTS).rglob("*")}
        found[ready.door.root.path / SLOTS] = (ready.door.root.path / SLOTS).lstat()
        rights = {stat.S_ISDIR(seen.st_mode): set() for seen in found.values()}
        for seen in found.values():
            rights[stat.S_ISDIR(seen.st_mode)].add((oct(stat.S_IMODE(seen.st_mode)), str(seen.st_gid)))
        assert rights == {True: {("0o2770", group)}, False: {("0o660", group)}}, found
        assert list((ready.door.root.path / SLOTS / "incoming").iterdir()) == []

    @pytest.mark.parametrize("signer", [None, "stranger"])
    def test_what_nobody_trusted_signed_is_refused(self, ready: Site, signer: str | None) -> None:
        before, state = ready.runs(), ready.slots.read()
        done = ready.flash(ready.bundle(signer))
        door = done.one()
        assert (done.code, door["outcome"], door["ok"]) == (1, "refused", False)
        assert re.search(r"not signed" if signer is None else r"a key that \S+ does not list", door["reason"])
        assert "\n" not in door["reason"]
        assert (ready.runs(), ready.slots.read()) == (before, state)

    @pytest.mark.parametrize(
        ("changes", "outcome", "reason"),
        [(broken_finder(), "refused", "the finder's outputs are"), ({"finder": None}, "rolled_back", "no face finder")],
        ids=["before a trial", "by a trial"],
    )
    def test_networks_that_fail_are_left_and_a_good_bundle_goes_through_after_them(
        self, ready: Site, changes: dict[str, object], outcome: str, reason: str
    ) -> None:
        before, process = ready.runs(), ready.process()
        done = ready.flash(ready.bundle(**changes))
        door = done.one()
        assert (done.code, door["outcome"]) == (1, outcome), done
        assert reason in door["reason"]
        wait_for("the model before", lambda: ready.runs() == before, TRIAL_LIMIT_S)
        assert ready.process() == process
        good = ready.bundle()
        assert ready.flash(good).code == 0
        assert ready.runs()[0] == model_of(good)

    def test_a_trial_that_takes_too_long_is_rolled_back_by_flash(self, ready: Site) -> None:
        before, process = ready.runs(), ready.process()
        done = ready.flash("--window", "0.01", ready.bundle())  # over before a frame is judged, which prolongs it
        door = done.one()
        assert (done.code, door["outcome"], door["reason"]) == (1, "rolled_back", "not confirmed within 0.01 s"), done
        wait_for("the model before", lambda: ready.runs() == before, TRIAL_LIMIT_S)
        assert ready.process() == process

    @pytest.mark.parametrize("words", OTHERS)
    def test_the_login_does_nothing_else(self, ready: Site, words: str) -> None:
        done = ready.logins.ssh(LOGIN, words)
        assert (done.returncode, done.stdout) == (3, "")
        assert re.fullmatch(r"maskwatch: .*(is not allowed|has no shell).*\n", done.stderr), done.stderr

    def test_the_login_has_no_shell_and_no_terminal(self, ready: Site) -> None:
        done = ready.logins.ssh(LOGIN, options=["-T"])
        assert (done.returncode, done.stdout) == (3, "")
        assert "has no shell: use maskwatch flash" in done.stderr
        refused = "PTY allocation request failed"
        assert refused in ready.logins.ssh(LOGIN, "maskwatch receive state", options=["-tt"]).stderr
        assert refused not in ready.logins.ssh(ROOT, "true", options=["-tt"]).stderr

    @pytest.mark.parametrize("protocol", ["-s", "-O"])  # SFTP's, and scp's own
    def test_the_login_sends_no_files(self, ready: Site, protocol: str, tmp_path: Path) -> None:
        mine = tmp_path / "mine"
        mine.write_text("mine")
        target = f"/tmp/sent{protocol}"
        assert ready.logins.scp(mine, f"{LOGIN}:{target}", protocol).returncode != 0
        assert ready.door.machine.run("test", "-e", target).returncode != 0
        assert ready.logins.scp(mine, f"{ROOT}:{target}", protocol).returncode == 0
        ready.door.machine.ask("rm", target)

    def test_the_login_forwards_no_ports(self, ready: Site) -> None:
        there = ["-W", "127.0.0.1:22"]
        assert "administratively prohibited" in ready.logins.ssh(LOGIN, options=there).stderr
        assert ready.logins.ssh(ROOT, options=there).stdout.startswith("SSH-2.0-")
        back = ["-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:1"]
        done = ready.logins.ssh(LOGIN, "maskwatch receive state", options=back)
        assert (done.returncode, "remote port forwarding failed" in done.stderr) == (255, True)
        assert ready.logins.ssh(ROOT, "true", options=back).returncode == 0

    def test_the_login_may_write_to_the_slots_and_nowhere_else(self, ready: Site) -> None:
        """What its user might do if somebody got round the forced command: change state.json too, and nothing else."""
        machine = ready.door.machine
        assert machine.ask("id", "--name", "--groups", "maskwatch-flash") == "maskwatch\n"
        line = machine.ask("getent", "shadow", "maskwatch-flash")
        assert line.split(":")[1].startswith("!"), "no password"
        as_user = ("setpriv", "--reuid=maskwatch-flash", "--regid=maskwatch", "--init-groups", "--reset-env")
        writable = machine.run(
            *as_user, "find", "/boot", "/dev", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/usr", "/var",
            "-writable", "-not", "-perm", "-o+w", "-print", "-prune",
        ).stdout.split()  # fmt: skip
        assert set(writable) == {f"/{SLOTS}", "/run/maskwatch/status.sock"}
        keys = f"/{FLASH_HOME}/.ssh/authorized_keys"
        for action in (("tee", "-a", keys), ("rm", "-f", keys), ("mv", f"/{FLASH_HOME}/.ssh", "/tmp/ssh")):
            assert machine.run(*as_user, *action).returncode != 0

    def test_a_server_without_pam_lets_the_login_in_as_the_documentation_says(self, ready: Site) -> None:
        machine = ready.door.machine
        setting = ready.door.root.path / "etc/ssh/sshd_config.d/test.conf"
        setting.write_text("UsePAM no\n", encoding="ascii")
        machine.ask("systemctl", "restart", "ssh.service")
        ask = (LOGIN, "maskwatch receive state")
        assert "Permission denied" in ready.logins.ssh(*ask).stderr
        (unlock,) = re.findall(r"`sudo (usermod .* maskwatch-flash)`", FLASHING.read_text(encoding="utf-8"))
        machine.ask(*shlex.split(unlock))
        assert ready.logins.ssh(*ask).returncode == 0
        machine.ask("usermod", "--password", "!*", "maskwatch-flash")
        setting.unlink()
        machine.ask("systemctl", "restart", "ssh.service")

    def test_another_login_flashes_as_a_member_of_the_group_and_not_otherwise(self, ready: Site) -> None:
        bundle = ready.flashed()
        assert ready.flash(bundle, login=ROOT).one()["outcome"] == "already"
        door = ready.flash(bundle, login=PERSON).one()
        assert (door["outcome"], "sudo usermod -aG maskwatch" in door["reason"]) == ("refused", True), door
        ready.door.machine.ask("usermod", "-aG", "maskwatch", "pi")
        assert ready.flash(ready.bundle(), login=PERSON).one()["outcome"] == "confirmed"
        ready.door.machine.ask("gpasswd", "--delete", "pi", "maskwatch")

    def test_the_service_asks_for_the_signature_again_before_it_runs_a_model(self, ready: Site) -> None:
        """Inside its sandbox; whoever may write to the slots took it away."""
        bundle = ready.flashed()
        active = ready.slots.read().active
        ready.door.machine.ask("rm", f"/{SLOTS}/{active}/bundle.maskwatch.sig")
        ready.door.machine.ask("systemctl", "restart", "maskwatch.service")
        ready.door.wait_until_ready()
        assert ready.runs()[0] != model_of(bundle)
        told = ready.door.machine.run("maskwatch", "slots", "list")
        assert (told.returncode, "not signed" in told.stderr) == (1, True)
        assert ready.flash(bundle).code == 0
        assert ready.runs()[0] == model_of(bundle)

    def test_a_reboot_after_it_brings_up_the_new_model(self, ready: Site) -> None:
        bundle = ready.flashed()
        before = ready.runs()
        ready.door.machine.reboot()
        ready.door.wait_until_ready()
        assert ready.runs() == before == (model_of(bundle), ready.slots.read().active, "confirmed")

    @pytest.mark.parametrize("ending", ["reboot", "cut"])
    def test_a_door_that_goes_down_during_a_trial_ends_it_once_it_is_back(self, ready: Site, ending: str) -> None:
        bundle = ready.bundle()
        with subprocess.Popen(
            flash_command(ready.logins.config, LOGIN, bundle), env=flash_environment(ready.folder),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        ) as flash:  # fmt: skip
            wait_for("a trial", lambda: ready.slots.read().trying, TRIAL_LIMIT_S)
            if ending == "reboot":
                ready.door.machine.reboot()
            else:
                ready.door.machine.cut()
                assert ready.slots.read().trying
                ready.door.machine.boot()
            out, err = flash.communicate(timeout=TRIAL_LIMIT_S)
        done = answered(flash.returncode, out, err)
        assert (done.code, done.one()["outcome"]) == (0, "confirmed"), done
        ready.door.wait_until_ready()
        assert ready.runs() == (model_of(bundle), ready.slots.read().active, "confirmed")

    def test_the_installer_leaves_what_was_flashed_alone(self, ready: Site) -> None:
        bundle, process = ready.flashed(), ready.process()
        assert "nothing was to do" in ready.door.install().splitlines()
        assert (ready.process(), ready.runs()[0]) == (process, model_of(bundle))
        assert ready.flash(bundle).one()["outcome"] == "already"

    def test_uninstalled_it_lets_nobody_in(self, ready: Site) -> None:
        print(ready.door.uninstall())
        assert not (ready.door.root.path / FLASH_HOME).exists()
        assert ready.door.machine.run("id", "maskwatch-flash").returncode != 0
        done = ready.logins.ssh(LOGIN, "maskwatch receive state")
        assert (done.returncode, "Permission denied" in done.stderr) == (255, True)


class TestBookworm(FlashedBySsh):
    debian = Debian("bookworm", "amd64")


class TestTrixie(FlashedBySsh):
    debian = Debian("trixie", "amd64")
