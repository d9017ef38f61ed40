"""`maskwatch doctor`: its lines, its JSON and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory
from maskwatch.cameras.fake import FakeCamera, Show, plain_picture
from maskwatch.cli import main
from maskwatch.doctor.probes import Probes
from maskwatch.errors import ExitCode
from maskwatch.manifest import GoldenVector
from maskwatch.verbs import doctor as verb
from maskwatch.verbs import run as run_verb
from real_command import maskwatch
from recorded_pi import NOT_FOUND, healthy_pi
from tiny_models import tiny_bundle

CHECKS = [
    *("settings", "service", "groups", "camera", "colour_order", "gpio_library", "pins", "runtime", "bundle"),
    *("xnnpack", "golden_vectors", "model_age", "clock", "clock_sync", "power", "throttling", "temperature", "disk"),
    "memory",
]


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Mock pins, nothing in /etc, and a Pi that is well unless a test puts another one there."""
    monkeypatch.setenv("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", MockFactory())
    absent = tmp_path / "etc" / "config.toml"
    monkeypatch.setattr(run_verb, "DEFAULT_CONFIG", absent)
    monkeypatch.setattr(verb, "DEFAULT_CONFIG", absent)
    monkeypatch.setattr(verb, "_probes", healthy_pi)
    return monkeypatch


def seeing(monkeypatch: pytest.MonkeyPatch, machine: Probes) -> None:
    monkeypatch.setattr(verb, "_probes", lambda: machine)


def doctor(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, list[str]]:
    code = main(["doctor", *map(str, words)])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out.splitlines()


def test_a_healthy_pi(pi: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = doctor(capsys, "--bundle", tiny_bundle_path)
    assert code == ExitCode.DONE
    assert lines[-1] == "19 checks: 18 ok, 0 warning, 0 failed, 1 skipped"
    assert [line for line in lines[:-1] if not line.startswith("+ ok  ")] == [
        "- skipped  colour order:   the service has the camera"
    ]


def test_json_lines_say_what_the_text_says(
    pi: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one finding of each kind among them."""
    seeing(pi, healthy_pi(commands={"vcgencmd": "throttled=0x50000\n"}))
    bundle = tiny_bundle(tmp_path, golden=(GoldenVector("finder.tflite", "one", "0" * 64),))
    code, lines = doctor(capsys, "--bundle", bundle)
    json_code, json_lines = doctor(capsys, "--json", "--bundle", bundle)
    assert code == json_code == ExitCode.FINDING
    findings = [json.loads(line) for line in json_lines]
    assert [finding["check"] for finding in findings] == CHECKS
    assert {finding["status"] for finding in findings} == {"ok", "warning", "failed", "skipped"}
    marks = {"ok": "+", "warning": "!", "failed": "x", "skipped": "-"}
    for line, finding in zip(lines[:-1], findings, strict=True):
        assert list(finding) == ["check", "status", "measured", "advice"]
        assert line.startswith(f"{marks[finding['status']]} {finding['status']} ")
        assert finding["check"].replace("_", " ") + ": " in line
        assert line.endswith(finding["measured"] + (f". To do: {finding['advice']}" if finding["advice"] else ""))


def test_a_damaged_golden_vector_exits_1(
    pi: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(tmp_path, golden=(GoldenVector("finder.tflite", "one", "0" * 64),))
    code, lines = doctor(capsys, "--bundle", bundle)
    assert code == ExitCode.FINDING
    (line,) = [line for line in lines if line.startswith("x failed")]
    assert "golden vectors: finder.tflite: golden vector one answered differently. To do: " in line


def test_warnings_are_no_failure(
    pi: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeing(pi, healthy_pi(commands={"timedatectl": "no\n", "vcgencmd": "throttled=0x50000\n"}))
    code, lines = doctor(capsys, "--bundle", tiny_bundle_path)
    assert (code, lines[-1]) == (ExitCode.DONE, "19 checks: 15 ok, 3 warning, 0 failed, 1 skipped")


def test_a_black_camera_exits_1(
    pi: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black = healthy_pi(commands={"systemctl": NOT_FOUND}, camera=lambda: FakeCamera([Show(plain_picture(), 40)]))
    seeing(pi, black)
    code, lines = doctor(capsys, "--bundle", tiny_bundle_path)
    assert code == ExitCode.FINDING
    assert any(line.startswith("x failed   camera: ") and "all black" in line for line in lines)


def test_the_settings_choose_camera_lights_and_bundle(
    pi: pytest.MonkeyPatch, tiny_bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[camera]\nsource = "demo"\n[indicator]\nkind = "console"\n[model]\nbundle = "{tiny_bundle_path}"\n'
    )
    code, lines = doctor(capsys, "--config", config)
    text = "\n".join(lines)
    assert code == ExitCode.DONE
    assert f"+ ok       settings:       {config}: every key known and within its bounds" in lines
    assert "camera:         demo: " in text
    assert "pins:           the lights are of the kind console" in text
    assert "bundle:         tiny 1.2.3" in text


def test_broken_settings_are_a_finding_and_the_machine_is_looked_at_all_the_same(
    pi: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[indicator]\nred_pin = 99\n")
    code, lines = doctor(capsys, "--json", "--config", config)
    findings = {finding["check"]: finding for finding in map(json.loads, lines)}
    assert code == ExitCode.FINDING
    assert list(findings) == CHECKS
    assert findings["settings"]["status"] == "failed"
    assert "indicator.red_pin = 99" in findings["settings"]["measured"]
    assert findings["camera"]["status"] == findings["bundle"]["status"] == "skipped"
    assert findings["disk"]["status"] == findings["runtime"]["status"] == "ok"


@pytest.mark.parametrize("option", ["--config", "--bundle"])
def test_a_file_that_is_not_there_is_a_wrong_command_line(option: str, tmp_path: Path) -> None:
    answer = maskwatch("doctor", option, tmp_path / "absent")
    assert (answer.code, answer.out) == (ExitCode.OPERATOR, "")
    assert answer.fault() == f"{tmp_path / 'absent'} is not there: check the name on the command line"


def test_wrong_usage_exits_2() -> None:
    assert maskwatch("doctor", "--cure").code == ExitCode.USAGE


def test_an_odd_name_stays_on_its_line(
    pi: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "a\nb\x1b[31m.maskwatch"
    odd.touch()
    code, lines = doctor(capsys, "--bundle", odd)
    assert (code, len(lines)) == (ExitCode.FINDING, 20)
    assert any("a\\nb\\x1b[31m.maskwatch" in line for line in lines)


def test_the_installed_command_on_this_machine(tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Whatever this machine is, every check ends in a finding, and nothing is left behind."""
    config = tmp_path / "config.toml"
    config.write_text('[camera]\nsource = "demo"\n')
    folder = tmp_path / "here"
    folder.mkdir()
    answer = maskwatch(
        "doctor", "--json", "--config", config, "--bundle", tiny_bundle_path, cwd=folder,
        env={"GPIOZERO_PIN_FACTORY": "mock"},
    )  # fmt: skip
    findings = {finding["check"]: finding for finding in map(json.loads, answer.lines)}
    assert list(findings) == CHECKS
    assert answer.err == ""
    assert "pictures of 640×480" in findings["camera"]["measured"]
    assert findings["gpio_library"]["measured"] == "gpiozero, MockFactory"
    assert findings["golden_vectors"]["measured"] == "all 4 answered bit for bit"
    failed = any(finding["status"] == "failed" for finding in findings.values())
    assert answer.code == (ExitCode.FINDING if failed else ExitCode.DONE)
    assert os.listdir(folder) == []
