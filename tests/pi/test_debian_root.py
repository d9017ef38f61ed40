"""What the tests on whole systems say where they cannot run; and how they tell what an installation has left."""

from __future__ import annotations

from pathlib import Path

import container
import debian_root
import pytest
import ssh_logins
from debian_root import Debian, Root


def test_without_root_there_is_one_clear_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Debian("trixie", "arm64").lacks() == container.lacks() == "needs root: sudo make test-pi"


@pytest.mark.parametrize(
    ("lacks", "package"),
    [
        (Debian("trixie", "arm64").lacks, "debootstrap"),
        (container.lacks, "systemd-container"),
        (ssh_logins.lacks, "openssh-client"),
    ],
)
def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch, lacks, package: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert f"apt-get install {package}" in lacks()


@pytest.mark.parametrize(
    ("handler", "runs"),
    [
        ("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: PF\noffset 0\n", True),
        ("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: P\noffset 0\n", False),
        ("disabled\ninterpreter /usr/bin/qemu-aarch64\nflags: F\n", False),
        (None, False),
    ],
)
def test_qemu_must_be_kept_open_for_roots_that_do_not_hold_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handler: str | None, runs: bool
) -> None:
    path = tmp_path / "qemu-aarch64"
    if handler is not None:
        path.write_text(handler, encoding="ascii")
    monkeypatch.setattr(debian_root, "HANDLER", path)
    assert debian_root._runs_arm64() is runs


def test_what_is_left_over_is_named_but_for_what_any_system_leaves(tmp_path: Path) -> None:
    root = Root(Debian("bookworm", "amd64"), tmp_path)
    (tmp_path / "etc").mkdir()
    before = root.files()
    for name in ("etc/sysusers.d", "var/log", "opt/maskwatch/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/log/journal").touch()
    (tmp_path / "etc/maskwatch").symlink_to("nowhere")
    assert root.left_over(before) == ["etc/maskwatch", "opt", "opt/maskwatch", "var"]
    (tmp_path / "etc/sysusers.d/maskwatch.conf").touch()
    assert "etc/sysusers.d/maskwatch.conf" in root.left_over(before)
