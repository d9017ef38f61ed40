"""The command line itself: help, exit codes, and every fault as one line."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from maskwatch import cli
from maskwatch.cli import main
from maskwatch.errors import (
    BundleError,
    CameraError,
    ConfigError,
    DataError,
    ExitCode,
    FindingError,
    ImageError,
    IndicatorError,
    MaskwatchError,
    OperatorError,
    RuntimeMissingError,
    SignatureError,
    TryAgainError,
)
from maskwatch.verbs.plain import one_line
from real_command import COMMAND, LIMIT_S, maskwatch, users_environment

Run = Callable[[argparse.Namespace], int]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MASKWATCH_DEBUG", raising=False)
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def fake_verb(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds a verb `fake` that does what it is given, as if it lived in `package`."""

    def add(run: Run, package: str = "maskwatch") -> None:
        module = ModuleType(f"{package}.fake_verb")
        module.__dict__.update(HELP="help", EXAMPLE="  maskwatch fake", add_arguments=lambda parser: None, run=run)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.VERBS, "fake", module.__name__)

    return add


def raising(error: BaseException) -> Run:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


def one_fault(captured: Captured) -> str:
    out, err = captured.readouterr()
    assert out == ""
    assert err.startswith("maskwatch: ")
    assert err.count("\n") == 1
    return err


# Help


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: maskwatch {verb}")
    assert f"maskwatch {verb}" in out.partition("example:\n")[2]
    assert err == ""


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_example_is_a_command_line_that_is_understood(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(cli.VERBS[verb])
    understood: list[argparse.Namespace] = []

    def run(options: argparse.Namespace) -> ExitCode:
        understood.append(options)
        return ExitCode.DONE

    monkeypatch.setattr(module, "run", run)
    commands = [shlex.split(part) for line in module.EXAMPLE.splitlines() for part in line.split("&&")]
    assert commands
    for program, *words in commands:
        assert program == "maskwatch"
        assert main(words) == ExitCode.DONE
    assert [options.verb for options in understood] == [verb] * len(commands)


def test_help_lists_every_verb_and_the_exit_codes() -> None:
    answer = maskwatch("--help")
    assert (answer.code, answer.err) == (0, "")
    listed = {line.split()[0] for line in answer.lines if line.startswith("    ") and line[4] != " "}
    assert set(cli.VERBS) <= listed
    assert "exit codes: 0 done, 1 a finding, 2 usage, 3 " in answer.out


def test_version() -> None:
    answer = maskwatch("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"maskwatch {version('maskwatch')}\n", "")


@pytest.mark.parametrize(
    "words", [[], ["dance"], ["--wrong", "classify"], ["classify"], ["classify", "--wrong", "a.jpg"], ["detect"]]
)
def test_wrong_usage_exits_2_and_says_how(words: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: maskwatch" in err


def test_an_unknown_verb_is_told_which_there_are(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["dance"])
    err = capsys.readouterr().err
    assert "'dance'" in err
    assert all(verb in err for verb in cli.VERBS)


# Codes and faults


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_verbs_code_is_the_commands(fake_verb: Callable[..., None], code: ExitCode) -> None:
    fake_verb(lambda _: code)
    assert main(["fake"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperatorError, 3),
        (ConfigError, 3),
        (ImageError, 3),
        (IndicatorError, 3),
        (BundleError, 3),
        (SignatureError, 3),
        (RuntimeMissingError, 3),
        (DataError, 3),
        (TryAgainError, 4),
        (CameraError, 4),
        (FindingError, 1),
        (MaskwatchError, 70),
    ],
)
def test_a_fault_is_one_line_and_its_code(
    fake_verb: Callable[..., None], error: type[MaskwatchError], code: int, capsys: Captured
) -> None:
    fake_verb(raising(error("the wire is loose: push it in")))
    assert main(["fake"]) == code
    assert one_fault(capsys) == "maskwatch: the wire is loose: push it in\n"


def test_a_fault_about_a_file_with_an_odd_name_stays_one_line(fake_verb: Callable[..., None], capsys: Captured) -> None:
    fake_verb(raising(ImageError("a\nb\x1b[31m\udce9.jpg is empty")))
    assert main(["fake"]) == 3
    assert one_fault(capsys) == "maskwatch: a\\nb\\x1b[31m\\udce9.jpg is empty\n"


def test_one_line_leaves_plain_text_alone() -> None:
    assert one_line("größer 4×3 – 漢字.jpg") == "größer 4×3 – 漢字.jpg"


def test_what_nobody_expected_is_one_line_and_exit_70(fake_verb: Callable[..., None], capsys: Captured) -> None:
    fake_verb(raising(RuntimeError("first line\nsecond line")))
    assert main(["fake"]) == 70
    assert "internal error (RuntimeError: first line\\nsecond line); please report it" in one_fault(capsys)


def test_the_traceback_can_be_asked_for(
    fake_verb: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("MASKWATCH_DEBUG", "1")
    error = RuntimeError("broken")
    fake_verb(raising(error))
    with pytest.raises(RuntimeError) as raised:
        main(["fake"])
    assert raised.value is error
    assert "internal error" in one_fault(capsys)


def test_ctrl_c_is_one_line(fake_verb: Callable[..., None], capsys: Captured) -> None:
    fake_verb(raising(KeyboardInterrupt()))
    assert main(["fake"]) == 130
    assert one_fault(capsys) == "maskwatch: interrupted\n"


def test_verbose_lets_the_log_say_what_goes_well(fake_verb: Callable[..., None]) -> None:
    levels = []
    fake_verb(lambda _: levels.append(logging.getLogger().getEffectiveLevel()) or 0)
    logging.getLogger().setLevel(logging.WARNING)
    assert main(["fake"]) == main(["-v", "fake"]) == 0
    assert levels == [logging.WARNING, logging.INFO]


# Packages that are not installed


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("maskwatch_train", "pip install 'maskwatch[train]'"),
        ("maskwatch_convert", "pip install 'maskwatch[train]'"),
        ("maskwatch", "pip install 'maskwatch'"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    fake_verb: Callable[..., None], package: str, command: str, capsys: Captured
) -> None:
    fake_verb(raising(ModuleNotFoundError("No module named 'keras'", name="keras")), package)
    assert main(["fake"]) == 3
    assert one_fault(capsys) == f"maskwatch: `fake` needs keras, which is not installed: {command}\n"


def test_a_module_of_ours_that_is_missing_is_a_bug_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It ended in a traceback, for `--help` too."""
    monkeypatch.setitem(cli.VERBS, "fake", "maskwatch.verbs.no_such_module")
    assert main(["fake"]) == 70
    assert "internal error (ModuleNotFoundError: No module named 'maskwatch.verbs.no_such_module')" in one_fault(capsys)
    assert main(["--help"]) == 70
    assert "no_such_module" in one_fault(capsys)


# Readers that go away


@pytest.mark.parametrize("words", [["--help"], ["detect", "--help"], ["bundle", "show"], ["bundle", "show", "--json"]])
def test_a_reader_that_went_away_is_no_fault(words: list[str], tiny_bundle_path: Path) -> None:
    """Python flushes stdout once more while it exits, and complains there with exit code 120."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [COMMAND, *words, *([tiny_bundle_path] if "show" in words else [])],
            env=users_environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_stdout_is_no_fault(fake_verb: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    fake_verb(lambda _: ExitCode.DONE)
    assert main(["fake"]) == 0
