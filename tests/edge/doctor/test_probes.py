"""The probes themselves, on the machine that runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from maskwatch.doctor import probes
from maskwatch.doctor.probes import account_named, current_account, disk_of, read_file, run_command


def test_a_command_answers_or_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command("echo", "yes") == "yes\n"
    assert run_command("printf", "\\377") == "\ufffd"
    assert run_command("sh", "-c", "echo no; exit 3") is None
    assert run_command("no-such-command") is None
    monkeypatch.setattr(probes, "COMMAND_LIMIT_SECONDS", 0.05)
    assert run_command("tail", "-f", os.devnull) is None


def test_commands_answer_in_english() -> None:
    assert run_command("sh", "-c", "echo $LC_ALL") == "C\n"


def test_a_file_is_read_or_not(tmp_path: Path) -> None:
    (tmp_path / "temp").write_bytes(b"48686\n\xff")
    assert read_file(str(tmp_path / "temp")) == "48686\n\ufffd"
    assert read_file(str(tmp_path / "absent")) is None
    assert read_file(str(tmp_path)) is None


def test_a_folder_that_is_not_there_yet_lies_on_its_parents_disk(tmp_path: Path) -> None:
    disk = disk_of(tmp_path / "lib" / "maskwatch")
    assert disk is not None
    assert (disk.folder, disk.read_only) == (tmp_path, False)
    assert disk.free_bytes > 0
    (tmp_path / "file").touch()
    assert disk_of(tmp_path / "file" / "maskwatch") is None


def test_a_read_only_disk_is_told() -> None:
    (proc,) = [line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == "/"]
    disk = disk_of(Path("/"))
    assert disk is not None
    assert disk.read_only == ("ro" in proc.split()[3].split(","))


def test_users_and_their_groups() -> None:
    me = current_account()
    assert me.is_root == (os.geteuid() == 0)
    root = account_named("root")
    assert root is not None
    assert (root.name, root.is_root, "root" in root.groups) == ("root", True, True)
    assert account_named("no-such-user") is None
