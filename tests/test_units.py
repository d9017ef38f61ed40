"""The service's unit and its helpers: systemd understands all of them, the sandbox is tight, the parts fit together."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from maskwatch import cli
from maskwatch.cameras.base import FROZEN_SECONDS
from maskwatch.capture import GIVE_UP_SECONDS, LONGEST_PAUSE_SECONDS, STUCK_GRACE_SECONDS
from maskwatch.config import CameraSettings, IdleSettings
from maskwatch.errors import ExitCode
from maskwatch.installer.places import FLASH_HOME, FLASH_USER
from maskwatch.service import FEEDS_PER_PERIOD
from maskwatch.setting import rule_of
from maskwatch.slots.states import SLOT_NAMES
from maskwatch.slots.store import SLOTS

FOLDER = Path(__file__).parents[1] / "systemd"
UNIT = FOLDER / "maskwatch.service"
DROP_IN = FOLDER / "maskwatch.service.d" / "growing-pause.conf"
COMMAND = "/opt/maskwatch/venv/bin/maskwatch"
GROWING_PAUSE_NEEDS = 254
MAX_EXPOSURE = 2.0
LIMIT_S = 60

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def parse(path: Path) -> dict[str, list[str]]:
    """Each key's values, in their order; the sections do not matter here."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def one(key: str) -> str:
    (value,) = parse(UNIT)[key]
    return value


def seconds(span: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|min)", span).groups()  # type: ignore[union-attr]
    return float(number) * (60 if unit == "min" else 1)


def rows(name: str) -> list[list[str]]:
    """The fields of each line of a sysusers or tmpfiles file."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [re.findall(r'"[^"]*"|\S+', line) for line in lines if line and not line.startswith("#")]


# In systemd's own eyes


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def systemd_version() -> int:
    answer = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    return int(re.match(r"systemd (\d+)", answer.stdout)[1])  # type: ignore[index]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists on this machine."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text(encoding="utf-8").replace(COMMAND, sys.executable), encoding="utf-8")
    return path


def verified(unit: Path) -> tuple[int, str]:
    done = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    return done.returncode, done.stdout + done.stderr


@needs_systemd
def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    assert verified(unit) == (0, "")
    unit.write_text(unit.read_text() + "[Service]\nWatchdogSecs=3min\n")  # what it would say of a slip
    code, words = verified(unit)
    assert code != 0
    assert "WatchdogSecs" in words


@needs_systemd
def test_a_systemd_that_can_let_the_pause_grow_understands_its_drop_in(unit: Path) -> None:
    if systemd_version() < GROWING_PAUSE_NEEDS:
        pytest.skip(f"the drop-in is for systemd {GROWING_PAUSE_NEEDS} and later")
    folder = unit.with_name(DROP_IN.parent.name)
    folder.mkdir()
    shutil.copy(DROP_IN, folder)
    assert verified(unit) == (0, "")


@needs_systemd
def test_the_sandbox_is_tight(unit: Path) -> None:
    def exposure() -> float:
        done = analyze("security", "--offline=true", unit)
        return float(re.search(r"exposure level for maskwatch.service: ([\d.]+)", done.stdout)[1])  # type: ignore[index]

    assert exposure() <= MAX_EXPOSURE
    unit.write_text(re.sub(r"^(CapabilityBoundingSet|SystemCallFilter)=.*\n", "", unit.read_text(), flags=re.MULTILINE))
    assert exposure() > MAX_EXPOSURE


@needs_systemd
@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_a_system_without_them_gets_the_user_and_its_groups(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    conf = FOLDER / "maskwatch.sysusers.conf"
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(conf)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    users = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    groups = dict(line.split(":")[0::3] for line in (tmp_path / "etc/group").read_text().splitlines())
    (user,) = [fields for fields in users if fields[0] == one("User")]
    assert user[-1].endswith("nologin")
    (login,) = [fields for fields in users if fields[0] == FLASH_USER]
    assert (login[3], login[-2:]) == (user[3], [FLASH_HOME, "/bin/sh"])
    assert {name for name, members in groups.items() if members == user[0]} == set(one("SupplementaryGroups").split())


# How the parts fit together


def test_the_drop_ins_keys_are_not_in_the_unit_where_an_older_systemd_would_complain() -> None:
    assert {"RestartSteps", "RestartMaxDelaySec"}.isdisjoint(parse(UNIT))
    assert parse(DROP_IN).keys() == {"RestartSec", "RestartSteps", "RestartMaxDelaySec"}


def test_the_user_and_the_groups_are_made_by_sysusers() -> None:
    made = rows("maskwatch.sysusers.conf")
    user = one("User")
    assert [fields[1] for fields in made if fields[0] == "u"] == [user, FLASH_USER]
    assert user == one("Group")
    (login,) = (fields for fields in made if fields[1] == FLASH_USER)
    assert (login[2], login[4:]) == (f"-:{user}", [FLASH_HOME, "/bin/sh"])
    assert [fields[2] for fields in made if fields[0] == "m" and fields[1] == user] == one(
        "SupplementaryGroups"
    ).split()


def test_every_folder_that_the_unit_names_is_made_by_it_or_by_tmpfiles() -> None:
    made = {fields[1]: fields[2:] for fields in rows("maskwatch.tmpfiles.conf") if fields[0] == "d"}
    slots = {str(SLOTS / name): ["2770", one("User"), one("Group")] for name in ("", *SLOT_NAMES)}
    assert made == slots | {
        f"/var/lib/{one('StateDirectory')}": [one("StateDirectoryMode"), one("User"), one("Group")],
        f"/etc/{one('ConfigurationDirectory')}": ["0755", "root", "root"],
        # who flashes must not let others in: the keys are root's
        FLASH_HOME: ["0755", "root", "root"],
        f"{FLASH_HOME}/.ssh": ["0755", "root", "root"],
    }
    assert one("WorkingDirectory") == f"/run/{one('RuntimeDirectory')}"
    assert {fields[4] for fields in rows("maskwatch.sysusers.conf") if fields[0] == "u"} <= made.keys()


def test_every_command_is_one_that_the_command_line_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    understood: list[argparse.Namespace] = []

    def run(options: argparse.Namespace) -> ExitCode:
        understood.append(options)
        return ExitCode.DONE

    from maskwatch.verbs import lights as lights_verb
    from maskwatch.verbs import run as run_verb

    monkeypatch.setattr(run_verb, "run", run)
    monkeypatch.setattr(lights_verb, "run", run)
    for key in ("ExecStart", "ExecStopPost"):
        program, *words = one(key).split()
        assert program.lstrip("-") == COMMAND
        assert cli.main(words) == ExitCode.DONE
    assert [options.verb for options in understood] == ["run", "lights"]
    assert understood[0].wait_for_camera
    assert one("ExecStopPost").startswith("-")  # or a machine without pins would count each stop as a failure


def test_the_camera_and_the_pins_stay_usable() -> None:
    unit = parse(UNIT)
    assert unit["DeviceAllow"] == [f"char-{name} rw" for name in ("video4linux", "media", "dma_heap", "gpiochip")]
    assert {"PrivateDevices", "PrivateUsers", "ProcSubset", "PrivateNetwork"}.isdisjoint(unit)


def test_no_pictures_of_people_end_in_a_core_dump() -> None:
    assert (one("WatchdogSignal"), one("LimitCORE")) == ("SIGKILL", "0")


def test_what_libraries_say_is_bounded() -> None:
    assert (one("LogRateLimitIntervalSec"), one("LogRateLimitBurst")) == ("1h", "200")
    assert parse(UNIT)["Environment"] == ["LIBCAMERA_LOG_LEVELS=*:WARN"]


def test_a_door_at_rest_feeds_the_watchdog() -> None:
    longest_s = rule_of(IdleSettings.__dataclass_fields__["look_every_seconds"]).maximum
    assert longest_s < seconds(one("WatchdogSec")) / FEEDS_PER_PERIOD


def test_it_needs_no_network_and_is_tried_for_ever() -> None:
    unit = parse(UNIT)
    assert not any("network" in value for values in unit.values() for value in values)
    assert (one("WantedBy"), one("Restart"), one("StartLimitIntervalSec")) == ("multi-user.target", "always", "0")


def test_the_watchdog_leaves_a_lost_camera_time_for_its_own_recovery() -> None:
    watchdog_s = seconds(one("WatchdogSec"))
    left_s = watchdog_s * (1 - 1 / FEEDS_PER_PERIOD)  # after the last feed, frames may have gone on for a while
    longest_silence_s = rule_of(CameraSettings.__dataclass_fields__["timeout_seconds"]).maximum
    assert left_s > longest_silence_s + STUCK_GRACE_SECONDS + LONGEST_PAUSE_SECONDS
    assert left_s > FROZEN_SECONDS + GIVE_UP_SECONDS  # a frozen camera whose driver then hangs
    assert seconds(one("TimeoutStartSec")) == watchdog_s
