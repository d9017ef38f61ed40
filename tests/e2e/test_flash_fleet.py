"""A fleet of doors behind a real sshd, some of which cannot have the new model."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from flashing import environment, flash
from real_command import COMMAND
from signing_keys import allow, make_key
from sshd import Sshd, free_port
from stage_doors import FAULT, Habit, PlayedDoor, played

pytestmark = pytest.mark.timeout(600)

FINE = 18
WAIT_S = 200
FULL_DISK = (sys.executable, Path(__file__).with_name("full_disk.py"))


def fleet_file(folder: Path, **groups: dict[str, object]) -> Path:
    lines = ["parallel = 6"]
    for name, group in groups.items():
        lines += [f"[groups.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in group.items())]
    path = folder / "fleet.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_fleet_of_many_doors_with_failures_among_them(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    fine = [PlayedDoor(f"door-{number:02}", place / str(number)) for number in range(FINE)]
    trust = place / "trust"
    trust.mkdir()
    allow(trust / "allowed_signers", "maria@example.org", make_key(place / "maria"))
    full = PlayedDoor("full", place / "full", program=FULL_DISK)
    strict = PlayedDoor("strict", place / "strict", trust=trust)
    sour = PlayedDoor("sour", place / "sour", "rolls back")
    sshd.add_host("gone", "", port=free_port())
    names = [door.name for door in fine]
    fleet = fleet_file(
        place,
        lobby={"hosts": [*names[:8], "full"], "canaries": names[:2], "parallel": 3},
        stairs={"hosts": [*names[8:], "strict", "sour", "gone"]},
    )
    with played(sshd, [*fine, full, strict, sour]):
        done = flash(sshd, "--fleet", fleet, tiny_bundle_path)
        assert done.code == 1
        assert len(done.doors) == FINE + 4 >= 20
        outcomes = {host: door["outcome"] for host, door in done.doors.items()}
        failed = {"full": "refused", "strict": "refused", "sour": "rolled_back", "gone": "unreachable"}
        assert outcomes == dict.fromkeys(names, "confirmed") | failed
        assert set(list(done.doors)[:2]) == set(names[:2]), "canaries first"
        assert "the disk is full" in done.doors["full"]["reason"]
        assert "not signed" in done.doors["strict"]["reason"]
        assert done.doors["sour"]["reason"] == FAULT
        assert "Connection refused" in done.doors["gone"]["reason"]
        assert f"{FINE} of {FINE + 4} doors run tiny 1.2.3" in done.err
        assert {door.slots.choose().slot for door in fine} == {"a"}
        assert {door.slots.choose().slot for door in (full, strict, sour)} == {None}, "the old model, all of them"

        sour.habit = "confirms"
        logins = sshd.log.read_text().count("Accepted publickey")
        again = flash(sshd, "--fleet", fleet, "--resume", tiny_bundle_path)
        assert again.code == 1
        assert again.doors["sour"]["outcome"] == "confirmed"
        assert {again.doors[name]["reason"] for name in names} == {"by the flash before"}
        assert sshd.log.read_text().count("Accepted publickey") == logins + 3, "only those that were left"
        assert all(door.trials == 1 for door in fine)


def test_a_canary_that_fails_stops_the_roll_out(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    canary = PlayedDoor("canary", place / "canary", "rolls back")
    others = [PlayedDoor(f"door-{number}", place / str(number)) for number in range(3)]
    fleet = fleet_file(place, all={"hosts": [*(door.name for door in others), "canary"], "canaries": ["canary"]})
    with played(sshd, [canary, *others]):
        stopped = flash(sshd, "--fleet", fleet, tiny_bundle_path)
        assert stopped.code == 1
        assert stopped.doors["canary"]["outcome"] == "rolled_back"
        for door in others:
            told = stopped.doors[door.name]
            assert (told["outcome"], told["reason"]) == (
                "not_begun",
                "the roll-out stopped, as a canary failed: canary",
            )
            assert not door.slots.folder.exists()
        canary.habit = "confirms"
        done = flash(sshd, "--fleet", fleet, "--resume", tiny_bundle_path)
    assert (done.code, {door["outcome"] for door in done.doors.values()}) == (0, {"confirmed"})


def test_one_group_alone(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    doors = [PlayedDoor("one", place / "one"), PlayedDoor("two", place / "two")]
    fleet = fleet_file(place, first={"hosts": ["one"]}, second={"hosts": ["two"]})
    with played(sshd, doors):
        done = flash(sshd, "--fleet", fleet, "--group", "second", tiny_bundle_path)
    assert (done.code, list(done.doors), done.one()["group"]) == (0, ["two"], "second")


@pytest.mark.parametrize("last", ["confirms", "rolls back"])
@pytest.mark.parametrize("pipe", ["--json {rest} | head -1", "{rest} 2>&1 | head -1"])
def test_a_reader_who_leaves_stops_no_roll_out(
    sshd: Sshd, place: Path, tiny_bundle_path: Path, last: Habit, pipe: str
) -> None:
    """It ended after the second door, with exit code 0."""
    doors = [PlayedDoor(f"door-{number}", place / str(number)) for number in range(4)]
    doors[-1].habit = last
    fleet = fleet_file(place, all={"hosts": [door.name for door in doors], "parallel": 1})
    rest = shlex.join(map(str, ["--fleet", fleet, "--ssh-config", sshd.config, tiny_bundle_path]))
    line = f'{COMMAND} flash {pipe.format(rest=rest)}; echo "${{PIPESTATUS[0]}}"'
    with played(sshd, doors):
        done = subprocess.run(
            ["bash", "-c", line], env=environment(sshd), capture_output=True, text=True, timeout=WAIT_S, check=False
        )
    assert done.stdout.splitlines()[-1] == ("0" if last == "confirms" else "1"), done
    assert [door.trials for door in doors] == [1] * 4
    recorded = json.loads((place / "fleet.flashed.json").read_text())["hosts"]
    assert set(recorded) == {door.name for door in doors}
    if "--json" in pipe:
        assert f"{4 - (last != 'confirms')} of 4 doors run tiny 1.2.3" in done.stderr
        assert "Traceback" not in done.stderr
