"""The plans of install and uninstall, on a fake Pi."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_pi import DEBIAN, USER_ID, FakePi, PowerCutError
from maskwatch.atomic import temporary_of
from maskwatch.config import Settings, load_settings
from maskwatch.errors import MaskwatchError, OperatorError, TryAgainError
from maskwatch.installer.commands import Completed
from maskwatch.installer.environment import COMPLETE
from maskwatch.installer.packages import locked_versions
from maskwatch.installer.places import (
    COMMAND,
    CONFIG,
    DROP_IN,
    DROP_INS,
    FLASH_HOME,
    HOME,
    PROGRAM,
    SETTINGS,
    STATE,
    SYSUSERS,
    TMPFILES,
    UNIT,
    VENV,
    VENVS,
)
from maskwatch.installer.plan import Options, install_plan, uninstall_plan
from maskwatch.installer.service import BLIND, BLIND_LIMIT_S, READY_LIMIT_S, Started
from maskwatch.installer.step import Step, carry_out
from maskwatch.installer.wheel import Wheel
from maskwatch.types import Situation

NO_NETWORK = "W: Failed to fetch http://deb.debian.org/debian  Temporary failure resolving 'deb.debian.org'\n"


def install(pi: FakePi, wheel: Wheel, options: Options | None = None, *, dry: bool = False, live: bool = True) -> int:
    system = pi.system(dry=dry, live=live)
    now_s = [0.0]

    def quick(step: Step) -> Step:
        return Started(lambda: now_s[0], lambda s: now_s.__setitem__(0, now_s[0] + s)) if step == Started() else step

    return carry_out([quick(step) for step in install_plan(system, wheel, options or Options())], system)


def uninstall(pi: FakePi, *, purge: bool = False, dry: bool = False, live: bool = True) -> int:
    system = pi.system(dry=dry, live=live)
    return carry_out(uninstall_plan(system, Options(purge=purge)), system)


def ran(pi: FakePi, *start: str) -> list[tuple[str, ...]]:
    return [words for words in pi.commands if words[: len(start)] == start]


def pips(pi: FakePi) -> list[str]:
    return [" ".join(words) for words in pi.commands if "pip" in words]


def test_a_fresh_pi_ends_with_a_service_that_runs(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    assert "service: runs, says: nobody" in pi.said
    assert pi.said[-1] == "old environments: as it is (none)"
    assert pi.states["ActiveState"] == "active"
    assert pi.system().target(COMMAND) == PROGRAM
    environment = pi.system().target(VENV)
    assert environment is not None
    assert not environment.startswith("/")  # true in the root as from outside of it
    assert (pi.root / HOME[1:] / environment / COMPLETE).exists()
    assert pi.text(UNIT) == wheel.read("maskwatch/data/systemd/maskwatch.service").decode()


@pytest.mark.parametrize("live", [True, False])
def test_a_second_time_all_is_as_it_is(pi: FakePi, wheel: Wheel, live: bool) -> None:
    install(pi, wheel, live=live)
    before = pi.tree()
    assert install(pi, wheel, live=live) == 0
    assert pi.commands == []
    assert all(": as it is (" in line for line in pi.said)
    assert pi.tree() == before


def test_a_dry_run_changes_nothing_and_names_what_it_would_run(pi: FakePi, wheel: Wheel) -> None:
    before = pi.tree()
    assert install(pi, wheel, dry=True) > 0
    assert (pi.commands, pi.tree()) == ([], before)
    said = "\n".join(pi.said)
    for command in ("apt-get install", "systemd-sysusers", "systemd-tmpfiles --create", "-m venv", "systemctl restart"):
        assert f"would run: {command}" in said or command in said
    install(pi, wheel)
    before = pi.tree()
    assert uninstall(pi, purge=True, dry=True) > 0
    assert (pi.commands, pi.tree()) == ([], before)
    assert f"would remove: {STATE}" in "\n".join(pi.said)


def test_what_a_dry_run_names_is_what_is_run(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    install(pi, wheel)  # nothing of apt's is left to find out
    uninstall(pi)
    install(pi, wheel, dry=True)
    named = [line.partition("would run: ")[2] for line in pi.said if "would run: " in line]
    install(pi, wheel)
    assert named == [" ".join(words) for words in pi.commands]


@pytest.mark.parametrize("live", [True, False])
def test_uninstall_leaves_the_system_as_it_was(pi: FakePi, wheel: Wheel, live: bool) -> None:
    install(pi, wheel, live=live)
    uninstall(pi, purge=True, live=live)
    after = pi.tree()
    untouched = FakePi(pi.root.with_name("untouched")).tree()
    folders = {"etc/sysusers.d", "etc/tmpfiles.d", "etc/systemd/system/multi-user.target.wants"}
    running = {"proc/42", "proc/42/cmdline"}  # the fake's
    assert {name: what for name, what in after.items() if name not in folders | running} == untouched
    assert uninstall(pi, purge=True, live=live) == 0
    assert pi.commands == []


def test_uninstall_keeps_settings_and_state_unless_purged(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    pi.put("etc/maskwatch/config.toml", "[camera]\n")
    pi.put("var/lib/maskwatch/events.db", "precious")
    uninstall(pi)
    assert pi.text(CONFIG) == "[camera]\n"
    assert pi.text(f"{STATE}/events.db") == "precious"
    assert not any((pi.root / path[1:]).exists() for path in (HOME, UNIT, SYSUSERS, TMPFILES))
    assert "maskwatch" not in pi.text("etc/passwd") + pi.text("etc/group")
    assert ("systemctl", "stop", "maskwatch.service") in pi.commands
    install(pi, wheel)
    assert pi.text(CONFIG) == "[camera]\n"


def test_state_that_an_earlier_user_left_becomes_the_new_ones(pi: FakePi, wheel: Wheel) -> None:
    """The user is removed and its files are kept; a user who is made anew may get another number."""
    install(pi, wheel)
    assert ran(pi, "chown") == []
    pi.put("etc/passwd", pi.text("etc/passwd").replace(f"maskwatch:x:{USER_ID}:", "maskwatch:x:991:"))
    install(pi, wheel)
    assert ran(pi, "chown") == [("chown", "--recursive", "--no-dereference", "maskwatch:maskwatch", STATE)]


def test_a_group_that_outlives_its_user_is_removed_too(pi: FakePi, wheel: Wheel) -> None:
    """login.defs decides whether userdel takes the user's own group along."""
    pi.userdel_takes_group = False
    install(pi, wheel)
    uninstall(pi)
    assert "maskwatch" not in pi.text("etc/group")


def test_the_login_that_flashes_goes_first_or_the_group_would_stay(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    assert "maskwatch-flash:x:" in pi.text("etc/passwd")
    uninstall(pi)
    assert ran(pi, "userdel") == [("userdel", "maskwatch-flash"), ("userdel", "maskwatch")]
    assert ran(pi, "groupdel") == []


def test_an_upgrade_brings_the_login_that_flashes(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    without = [line for line in pi.text("etc/passwd").splitlines(keepends=True) if "maskwatch-flash" not in line]
    pi.put("etc/passwd", "".join(without))
    install(pi, wheel)
    assert pi.text("etc/passwd").count("\nmaskwatch-flash:x:") == 1
    assert pi.text("etc/passwd").count("\nmaskwatch:x:") == 1


def test_somebodys_own_account_of_that_name_is_left(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    pi.put("etc/passwd", pi.text("etc/passwd").replace("::/var/lib/maskwatch-flash:", "::/home/maskwatch-flash:"))
    uninstall(pi)
    assert "maskwatch-flash:x:" in pi.text("etc/passwd")
    assert ran(pi, "userdel") == [("userdel", "maskwatch")]


def test_others_commands_and_drop_ins_are_not_removed(pi: FakePi, wheel: Wheel) -> None:
    pi.systemd = "257.7-1"
    install(pi, wheel)
    (pi.root / DROP_IN[1:]).with_name("mine.conf").write_text("[Service]\n")
    (pi.root / COMMAND[1:]).unlink()
    (pi.root / COMMAND[1:]).write_text("#!/bin/sh\n")
    uninstall(pi, purge=True)
    assert pi.text(COMMAND) == "#!/bin/sh\n"
    assert [path.name for path in (pi.root / DROP_IN[1:]).parent.iterdir()] == ["mine.conf"]


def test_uninstall_leaves_what_else_lies_in_its_folder(pi: FakePi, wheel: Wheel) -> None:
    """It removed /opt/maskwatch whole, with the clone that somebody kept there."""
    install(pi, wheel)
    (pi.root / HOME[1:] / "clone").mkdir()
    uninstall(pi, purge=True)
    assert [path.name for path in (pi.root / HOME[1:]).iterdir()] == ["clone"]
    assert f"home folder: as it is ({HOME} holds files of yours)" in pi.said


def test_an_uninstall_that_is_broken_off_still_has_its_command(pi: FakePi, wheel: Wheel) -> None:
    """Command and environment went first, and what was left could not be taken back any more."""
    install(pi, wheel)
    pi.fails = {"userdel": Completed(8, "", "userdel: user maskwatch is currently used by process 42")}
    with pytest.raises(OperatorError, match="used by process 42"):
        uninstall(pi, purge=True)
    assert (pi.root / HOME[1:] / str(pi.system().target(VENV)) / "bin/maskwatch").exists()
    assert pi.system().target(COMMAND) == PROGRAM
    pi.fails = {}
    uninstall(pi, purge=True)
    removed = [line.partition(": removed ")[2] for line in pi.said if ": removed /" in line]
    assert removed == [SYSUSERS, TMPFILES, SETTINGS, STATE, FLASH_HOME, COMMAND, VENV, VENVS, HOME]


def test_what_is_kept_is_named_with_a_way_that_is_left(pi: FakePi, wheel: Wheel) -> None:
    """It named --purge, a moment before there was no such command."""
    install(pi, wheel)
    uninstall(pi)
    assert (
        f"settings and state: as it is (kept; to remove them too: sudo rm -r {SETTINGS} {STATE} {FLASH_HOME})"
        in pi.said
    )


LOGINS = [
    "maskwatch:x:1000:1000::/home/maskwatch:/bin/bash",
    f"maskwatch:x:1000:1000::{STATE}:/bin/bash",
    "maskwatch:x:998:998::/home/maskwatch:/bin/bash",
]


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_account_of_its_name_is_not_taken_over(pi: FakePi, wheel: Wheel, login: str) -> None:
    """The service ran as that user, and uninstall deleted the account."""
    pi.put("etc/passwd", pi.text("etc/passwd") + f"{login}\n")
    before = pi.tree()
    with pytest.raises(OperatorError, match=r"maskwatch is a login account here.*usermod --login"):
        install(pi, wheel)
    assert (pi.commands, pi.tree()) == ([], before)


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_account_of_its_name_is_not_removed(pi: FakePi, wheel: Wheel, login: str) -> None:
    install(pi, wheel)
    pi.put("etc/passwd", f"{login}\n")
    uninstall(pi, purge=True)
    assert pi.text("etc/passwd") == f"{login}\n"
    assert "user: as it is (maskwatch is a login account, not Maskwatch's)" in pi.said


def test_anothers_command_of_its_name_is_not_replaced(pi: FakePi, wheel: Wheel) -> None:
    for spoil in (lambda path: path.write_text("#!/bin/sh\n"), lambda path: path.symlink_to("/opt/other/maskwatch")):
        (pi.root / COMMAND[1:]).unlink(missing_ok=True)
        spoil(pi.root / COMMAND[1:])
        before = pi.tree()
        with pytest.raises(OperatorError, match=f"{COMMAND} is there and not this installer's: move it away"):
            install(pi, wheel)
        assert (pi.commands, pi.tree()) == ([], before)


def test_the_growing_pause_is_for_a_systemd_that_knows_it(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    assert not (pi.root / DROP_IN[1:]).exists()
    pi.systemd = "257.7-1"
    install(pi, wheel)
    assert "RestartSteps" in pi.text(DROP_IN)
    assert ran(pi, "systemctl", "daemon-reload")
    assert ran(pi, "systemctl", "restart")
    uninstall(pi)
    assert not (pi.root / DROP_IN[1:]).parent.exists()


def test_the_fresh_settings_are_all_defaults_and_may_be_changed_line_by_line(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    path = pi.root / CONFIG[1:]
    assert load_settings(path) == Settings()
    text = path.read_text()
    assert "\n[camera]\n" in text
    path.write_text(text.replace("#rotation_degrees = 0", "rotation_degrees = 180"))
    assert load_settings(path).camera.rotation_degrees == 180
    assert path.stat().st_mode & 0o777 == 0o644


# Packages


def test_bookworm_gets_locked_versions_and_no_numpy_of_pips(pi: FakePi, wheel: Wheel) -> None:
    written = {}
    pi.power = lambda: written.update({path.name: path.read_text() for path in pi.root.glob("opt/**/*.txt")})
    install(pi, wheel)
    (locked, own) = pips(pi)
    assert "--require-hashes --no-deps" in locked
    assert "--no-index --no-deps" in own
    assert "numpy==" not in written["requirements.txt"]
    assert "opencv-python-headless==4.11" in written["requirements.txt"]
    assert "lgpio==" not in written["requirements.txt"]  # apt's is there
    (venv,) = ran(pi, "/usr/bin/python3", "-m", "venv")
    assert "--system-site-packages" in venv


def test_a_python_without_a_lock_holds_numpy_by_a_constraint(pi: FakePi, wheel: Wheel) -> None:
    pi.python, pi.numpy = "3.12", "1.26.4"
    (pi.root / "usr/bin/python3").unlink()
    (pi.root / "usr/bin/python3").symlink_to("python3.12")
    written = {}
    pi.power = lambda: written.update({path.name: path.read_text() for path in pi.root.glob("opt/**/*.txt")})
    install(pi, wheel)
    assert "--constraint" in pips(pi)[0]
    assert written["constraints.txt"] == "numpy==1.26.4\n"
    assert written["requirements.txt"].splitlines() == [
        "ai-edge-litert>=2.0.3,<3",
        "gpiozero>=2.0",
        "opencv-python-headless>=4.8,<4.12",
    ]


def test_plain_debian_goes_without_picamera2_and_has_pips_lgpio(pi: FakePi, wheel: Wheel) -> None:
    pi.known = DEBIAN - {"python3-lgpio"}
    written = {}
    pi.power = lambda: written.update({path.name: path.read_text() for path in pi.root.glob("opt/**/*.txt")})
    install(pi, wheel)
    (line,) = [line for line in pi.said if line.startswith("apt packages: installed")]
    assert "apt does not know python3-lgpio (" in line
    assert "python3-picamera2 (the ribbon-cable camera; Raspberry Pi OS alone has it)" in line
    assert "\nlgpio==" in written["requirements.txt"]
    assert "--require-hashes" in pips(pi)[0]
    assert install(pi, wheel) == 0


def test_wheels_of_a_folder_need_no_network(pi: FakePi, wheel: Wheel, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    pi.packages = {"python3-venv", "python3-numpy"}
    pi.has_lists = True
    pi.fails = {"apt-get": Completed(100, "", NO_NETWORK)}
    install(pi, wheel, Options(wheels=folder))  # other versions than the locked ones, as far as the installer sees
    assert all("--no-index" in line for line in pips(pi))
    assert "--constraint" in pips(pi)[0]
    lock = wheel.read("maskwatch/data/locks/pi-bookworm.txt").decode()
    for name, version in locked_versions(lock).items():
        (folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").touch()
    install(pi, wheel, Options(wheels=folder))
    assert "--require-hashes" in pips(pi)[0]
    assert "apt was not asked for python3-lgpio (" in "\n".join(pi.said)
    assert install(pi, wheel, Options(wheels=folder)) == 0


def test_another_roots_wheels_are_copied_into_it_and_do_not_stay(pi: FakePi, wheel: Wheel, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "some-1.0-py3-none-any.whl").touch()
    seen = set()
    pi.power = lambda: seen.update(path.name for path in pi.root.glob("opt/**/*.whl"))
    install(pi, wheel, Options(wheels=folder), live=False)
    assert seen == {"some-1.0-py3-none-any.whl", wheel.path.name}
    assert list(pi.root.glob("opt/**/*.whl")) == []
    assert f"{HOME}/venvs/" in pips(pi)[0].partition("--find-links ")[2]


# What cannot be had


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda pi: setattr(pi, "architecture", "armhf"), "is armhf, and there is a TFLite runtime for 64 bits only"),
        (lambda pi: (pi.root / "usr/lib/systemd/systemd").unlink(), "has no systemd"),
        (lambda pi: (pi.root / "usr/bin/apt-get").unlink(), "has no dpkg and apt-get"),
        (lambda pi: pi.put("etc/os-release", "PRETTY_NAME=Fedora\nID=fedora\n"), "Fedora is not made like Debian"),
        (
            lambda pi: ((pi.root / "usr/bin/python3").unlink(), (pi.root / "usr/bin/python3").symlink_to("python3.9")),
            "has Python 3.9, and Maskwatch needs 3.11 to 3.13",
        ),
    ],
)
def test_a_system_that_cannot_have_it_is_left_alone(pi: FakePi, wheel: Wheel, spoil: object, words: str) -> None:
    spoil(pi)  # type: ignore[operator]
    before = pi.tree()
    with pytest.raises(OperatorError, match=words):
        install(pi, wheel)
    assert (pi.commands, pi.tree()) == ([], before)


@pytest.mark.parametrize(
    ("start", "said", "fault", "words"),
    [
        ("apt-get install", "E: Broken packages", OperatorError, "apt-get install.*: Broken packages"),
        ("apt-get update", f"E: {NO_NETWORK}", TryAgainError, "not to be on the internet"),
        ("apt-get install", "E: Could not get lock /var/lib/dpkg/lock", TryAgainError, "apt is busy"),
        ("/opt/maskwatch/venvs", "NewConnectionError\nERROR: No matching distribution", TryAgainError, "--wheels DIR"),
        ("apt-get update", "E: Release file is not valid yet", TryAgainError, "whether the clock is right"),
        ("systemd-sysusers", "no space left", OperatorError, "systemd-sysusers .*no space left"),
    ],
)
def test_a_command_that_fails_is_named_with_its_last_words(
    pi: FakePi, wheel: Wheel, start: str, said: str, fault: type[MaskwatchError], words: str
) -> None:
    pi.fails = {start: Completed(100, "", said)}
    with pytest.raises(fault, match=words) as caught:
        install(pi, wheel)
    assert "\n" not in str(caught.value)
    pi.fails = {}
    install(pi, wheel)  # and goes on where it was
    assert pi.states["ActiveState"] == "active"


def test_apt_without_lists_nor_network_is_no_puzzle(pi: FakePi, wheel: Wheel) -> None:
    """`apt-get update` ends well even where it fetched nothing."""
    pi.fails = {"apt-get update": Completed(0, "", NO_NETWORK)}
    with pytest.raises(
        TryAgainError,
        match="knows no ca-certificates, python3-numpy and python3-venv; this machine seems not to be on the internet",
    ):
        install(pi, wheel)


# The service


@pytest.mark.parametrize(("state", "sub_state"), [("activating", ""), ("failed", ""), ("activating", "auto-restart")])
def test_a_service_that_does_not_get_ready_is_told_of(pi: FakePi, wheel: Wheel, state: str, sub_state: str) -> None:
    pi.becomes, pi.sub_state = state, sub_state
    words = (
        "first . no module named tea"
        if state == "failed" or sub_state
        else f"no picture was judged in {READY_LIMIT_S:.0f} s"
    )
    with pytest.raises(OperatorError, match=f"installed.*{words}.*maskwatch doctor"):
        install(pi, wheel)


def test_a_missing_camera_is_told_of_long_before_the_time_is_over(pi: FakePi, wheel: Wheel) -> None:
    assert Situation.NO_CAMERA.value == BLIND
    assert BLIND_LIMIT_S < READY_LIMIT_S / 4
    pi.becomes, pi.status = "activating", f"{BLIND}: no camera found; trying again"
    with pytest.raises(OperatorError, match="says: no_camera: no camera found; trying again"):
        install(pi, wheel)


def test_no_start_leaves_the_service_as_it_is(pi: FakePi, wheel: Wheel, newer_wheel: Wheel) -> None:
    install(pi, wheel, Options(start=False))
    assert pi.states["ActiveState"] == "inactive"
    install(pi, wheel)
    install(pi, newer_wheel, Options(start=False))
    assert ran(pi, "systemctl", "restart") == []
    assert len(list((pi.root / HOME[1:] / "venvs").iterdir())) == 2  # what runs needs the old one
    install(pi, newer_wheel)
    assert ran(pi, "systemctl", "restart")
    assert len(list((pi.root / HOME[1:] / "venvs").iterdir())) == 1


# Upgrades and power cuts


def test_an_upgrade_builds_beside_and_restarts(pi: FakePi, wheel: Wheel, newer_wheel: Wheel) -> None:
    install(pi, wheel)
    old = pi.system().target(VENV)
    install(pi, newer_wheel)
    new = pi.system().target(VENV)
    assert old != new
    assert not (pi.root / HOME[1:] / str(old)).exists()
    assert pi.text("proc/42/cmdline").startswith(f"{HOME}/{new}/")
    assert pi.text(UNIT).endswith("# newer\n")


def test_the_old_process_is_not_taken_for_the_new_one(pi: FakePi, wheel: Wheel, newer_wheel: Wheel) -> None:
    """systemd answers at once, and the old process is active for a moment yet."""
    install(pi, wheel)
    pi.becomes = "failed"
    with pytest.raises(OperatorError, match="the service ends as soon as it starts"):
        install(pi, newer_wheel)


def test_a_new_environment_that_fails_its_trial_leaves_the_old_one_at_work(
    pi: FakePi, wheel: Wheel, newer_wheel: Wheel
) -> None:
    install(pi, wheel)
    old = pi.system().target(VENV)
    pi.fails = {f"{HOME}/venvs/9.9.9-": Completed(1, "", "failed  golden vectors: 3 of 8 differ")}
    with pytest.raises(OperatorError, match="golden vectors: 3 of 8 differ"):
        install(pi, newer_wheel)
    assert pi.system().target(VENV) == old
    assert ran(pi, "systemctl", "restart") == []


def test_settings_that_a_new_version_does_not_know_leave_the_old_one_at_work(
    pi: FakePi, wheel: Wheel, newer_wheel: Wheel
) -> None:
    """They put the door into a loop of restarts, with dark lights."""
    install(pi, wheel)
    old = pi.system().target(VENV)
    pi.put(CONFIG[1:], "[camera]\nno_such_key = 1\n")
    with pytest.raises(OperatorError, match="no_such_key") as caught:
        install(pi, newer_wheel)
    assert "\n" not in str(caught.value)
    assert pi.system().target(VENV) == old
    assert ran(pi, "systemctl", "restart") == []
    pi.put(CONFIG[1:], "[camera]\n")
    install(pi, newer_wheel)
    assert pi.system().target(VENV) != old
    assert pips(pi) == []  # what was built is good yet


def test_a_power_cut_anywhere_leaves_the_old_or_the_new_and_the_next_run_ends_it(
    tmp_path: Path, wheel: Wheel, newer_wheel: Wheel
) -> None:
    whole = FakePi(tmp_path / "whole")
    install(whole, wheel)
    install(whole, newer_wheel)
    changes = 1
    left_overs = set()
    while True:
        pi = FakePi(tmp_path / str(changes))
        install(pi, wheel)
        old = pi.system().target(VENV)
        left = changes

        def cut() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise PowerCutError

        pi.power = cut
        try:
            install(pi, newer_wheel)
            break
        except PowerCutError:
            pi.power = lambda: None
        left_overs |= {path.name for path in pi.root.rglob("*.maskwatch-tmp")}
        now = pi.system().target(VENV)
        assert now == old or now == whole.system().target(VENV)
        assert (pi.root / HOME[1:] / str(now) / COMPLETE).exists()
        install(pi, newer_wheel)
        assert pi.tree() == whole.tree(), changes
        changes += 1
    assert changes > 10
    assert left_overs >= {temporary_of(Path(path)).name for path in (UNIT, VENV)}


def test_uninstall_takes_what_a_power_cut_left_of_an_upgrade(pi: FakePi, wheel: Wheel) -> None:
    """Names by chance were never found again, and the drop-ins' folder was said to hold files of the owner's."""
    pi.systemd = "257.7-1"
    install(pi, wheel)
    for path in (UNIT, DROP_IN, SYSUSERS, TMPFILES, COMMAND, VENV):
        temporary_of(pi.root / path[1:]).touch()
    uninstall(pi)
    assert list(pi.root.rglob("*.maskwatch-tmp")) == []
    assert not any((pi.root / path[1:]).exists() for path in (DROP_INS, HOME))


def test_what_a_power_cut_left_is_swept_where_all_else_is_as_it_should_be(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    before = pi.tree()
    for path in (UNIT, DROP_IN, SYSUSERS, TMPFILES):
        temporary_of(pi.root / path[1:]).parent.mkdir(exist_ok=True)
        temporary_of(pi.root / path[1:]).touch()
    install(pi, wheel)
    (pi.root / DROP_INS[1:]).rmdir()
    assert pi.tree() == before


def test_an_environment_in_use_that_lost_its_mark_is_not_built_in_its_place(pi: FakePi, wheel: Wheel) -> None:
    install(pi, wheel)
    old = str(pi.system().target(VENV))
    (pi.root / HOME[1:] / old / COMPLETE).unlink()
    removed_before_link = []
    pi.power = lambda: removed_before_link.append(
        (pi.root / HOME[1:] / old).exists() or pi.system().target(VENV) != old
    )
    install(pi, wheel)
    assert all(removed_before_link)
    assert (pi.root / HOME[1:] / str(pi.system().target(VENV)) / COMPLETE).exists()
    assert install(pi, wheel) == 0  # it is not built a third time
    assert pi.commands == []


def test_a_link_that_leads_out_of_the_root_is_refused(pi: FakePi, wheel: Wheel, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (pi.root / "opt").rmdir()
    (pi.root / "opt").symlink_to(tmp_path / "outside")
    with pytest.raises(OperatorError, match="leads out of"):
        install(pi, wheel, live=False)
    assert list((tmp_path / "outside").iterdir()) == []
