"""`maskwatch install` and `uninstall` as their users see them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
from maskwatch.cli import main
from maskwatch.installer.commands import Completed, Runner
from maskwatch.installer.system import System
from maskwatch.verbs import uninstall
from real_command import maskwatch


@pytest.fixture
def fedora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root without dpkg; nothing runs in it."""
    runner: Runner = lambda words, root, limit_s, *, ask: Completed(127, "")  # noqa: E731

    def chosen(args: argparse.Namespace) -> System:
        return System(tmp_path, live=False, dry=args.dry_run, say=print, runner=runner)

    monkeypatch.setattr(uninstall, "chosen_system", chosen)
    return tmp_path


def test_without_root_nothing_is_done_but_a_dry_run(
    fedora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["install"]) == 3
    assert main(["uninstall"]) == 3
    err = capsys.readouterr().err
    assert err.count("only root can do that: run it with sudo") == 2
    assert main(["uninstall", "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("nothing was changed\n")


def test_a_system_that_cannot_have_it_is_a_fault_of_one_line(fedora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--dry-run"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("maskwatch: this system has no dpkg and apt-get")
    assert err.count("\n") == 1


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    for flag in ("--root", "--wheels"):
        answer = maskwatch("install", "--dry-run", flag, tmp_path / "nothing")
        assert answer.code == 3
        assert f"{flag} must name a" in answer.fault()
    answer = maskwatch("install", "--dry-run", "--from", tmp_path)
    assert answer.code == 3
    assert "neither a clone of Maskwatch nor a wheel" in answer.fault()


def test_help_has_an_example() -> None:
    assert "maskwatch install pi@door-3.local" in maskwatch("install", "--help").out
    assert "maskwatch uninstall --purge pi@door-3.local" in maskwatch("uninstall", "--help").out
