"""`maskwatch flash` before it touches any door: what it refuses, in one line. What it does then: tests/e2e."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from maskwatch.cli import main

Captured = pytest.CaptureFixture[str]

FLEET = '[groups.lobby]\nhosts = ["door-1"]\n'


@pytest.fixture(autouse=True)
def _no_ssh_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ssh that says if it was, and whose own look at its options finds no fault."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\ncase "$*" in *" -G "*) exit 0;; esac\ntouch {tmp_path}/ran\nexit 255\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    return path


def refused(capsys: Captured, *words: str | Path) -> str:
    assert main(["flash", *map(str, words)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("maskwatch: ")
    assert err.count("\n") == 1
    assert not Path("ran").exists(), "no door was touched"
    return err


def test_no_door_at_all_is_refused(tiny_bundle_path: Path, capsys: Captured) -> None:
    assert "name doors before the bundle, or a fleet" in refused(capsys, tiny_bundle_path)
    assert "name doors before the bundle" in refused(capsys, "--group", "lobby", "door-1", tiny_bundle_path)


def test_doors_beside_a_fleet_are_refused(tiny_bundle_path: Path, fleet: Path, capsys: Captured) -> None:
    words = refused(capsys, "--fleet", fleet, "door-1", tiny_bundle_path)
    assert "door-1: the doors are those of the fleet" in words


@pytest.mark.parametrize("host", ["a b", "x\ny", "", "pi@", "pi@-oProxyCommand=x"])
def test_what_is_no_host_is_refused(tiny_bundle_path: Path, capsys: Captured, host: str) -> None:
    assert "is no host" in refused(capsys, host, tiny_bundle_path)


def test_a_host_that_would_be_an_option_of_ssh_is_refused(tiny_bundle_path: Path, capsys: Captured) -> None:
    assert "is no host" in refused(capsys, "--", "-oProxyCommand=touch x", tiny_bundle_path)


@pytest.mark.parametrize("option", ["-v", "Port", "Port=1\nX=2", "="])
def test_what_is_no_option_of_ssh_is_refused(tiny_bundle_path: Path, capsys: Captured, option: str) -> None:
    assert "is no option of ssh" in refused(capsys, f"--ssh-option={option}", "door-1", tiny_bundle_path)


def test_bad_numbers_are_refused(tiny_bundle_path: Path, capsys: Captured) -> None:
    words = refused(capsys, "--parallel", "0", "door-1", tiny_bundle_path)
    assert "--parallel = 0 must be a whole number from 1 to 64" in words


@pytest.mark.parametrize("seconds", ["-1", "0", "x", "nan", "inf", ""])
def test_a_window_that_is_none_is_told_in_words(tiny_bundle_path: Path, capsys: Captured, seconds: str) -> None:
    """It was "invalid _seconds value", the name of a function."""
    with pytest.raises(SystemExit) as left:
        main(["flash", f"--window={seconds}", "door-1", str(tiny_bundle_path)])
    assert left.value.code == 2
    assert f"--window: {seconds!r} is no number of seconds above 0, such as 180" in capsys.readouterr().err


def test_options_may_stand_anywhere(tiny_bundle_path: Path, capsys: Captured) -> None:
    """Between the doors and the bundle they were "unrecognized arguments"."""
    assert main(["flash", "--json", "door-1", "--force", "door-2", "--window", "9", str(tiny_bundle_path)]) == 1
    assert {json.loads(line)["host"] for line in capsys.readouterr().out.splitlines()} == {"door-1", "door-2"}


def test_an_ssh_that_is_no_program_is_told(tiny_bundle_path: Path, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "bin" / "ssh").write_text("#!/no/such/interpreter\n")
    assert "ssh cannot be run: No such file" in refused(capsys, "door-1", tiny_bundle_path)


def test_files_that_are_not_there_are_named(tiny_bundle_path: Path, capsys: Captured, fleet: Path) -> None:
    assert "none.toml: cannot be read" in refused(capsys, "--fleet", "none.toml", tiny_bundle_path)
    assert "none.maskwatch" in refused(capsys, "door-1", "none.maskwatch")
    assert "none is no file" in refused(capsys, "--ssh-config", "none", "door-1", tiny_bundle_path)
    assert "no group 'stairs'" in refused(capsys, "--fleet", fleet, "--group", "stairs", tiny_bundle_path)


def test_a_bundle_that_is_damaged_goes_nowhere(tiny_bundle_path: Path, capsys: Captured) -> None:
    data = bytearray(tiny_bundle_path.read_bytes())
    data[len(data) // 3] ^= 1
    tiny_bundle_path.write_bytes(data)
    refused(capsys, "door-1", tiny_bundle_path)


def test_a_record_of_another_bundle_is_refused(
    tiny_bundle_path: Path, fleet: Path, capsys: Captured, tmp_path: Path
) -> None:
    record = f'{{"sha256": "{"f" * 64}", "model": "other 1", "hosts": {{}}, "schema_version": 1}}'
    (tmp_path / "fleet.flashed.json").write_text(record)
    assert "is of another bundle, other 1" in refused(capsys, "--fleet", fleet, "--resume", tiny_bundle_path)


def test_a_door_that_is_named_twice_is_flashed_once(tiny_bundle_path: Path, capsys: Captured) -> None:
    assert main(["flash", "--json", "door-1", "door-1", str(tiny_bundle_path)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "door-1: unreachable: ssh gives no reason" in err
    assert Path("ran").exists()
