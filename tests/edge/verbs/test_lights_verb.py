"""`maskwatch lights off`, on gpiozero's mock pins: whole sequences of levels."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory
from maskwatch.cli import main
from maskwatch.config import IndicatorSettings
from maskwatch.errors import ExitCode
from maskwatch.indicators.base import NoOutputs
from maskwatch.indicators.claim import noted, read_note
from maskwatch.verbs import lights as verb
from real_command import maskwatch

RED, GREEN, BLUE, BUZZER = 17, 27, 22, 18


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> MockFactory:
    """Mock pins as gpiozero's own choice; nothing of a service around, and no waiting."""
    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(verb, "PAUSES_SECONDS", (0.0, 0.0, 0.0))
    return factory


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(f"[indicator]\n{text}\n")
        return path

    return write


def left_on(factory: MockFactory, *numbers: int) -> None:
    """Pins that are outputs and high, and that nobody owns: what a killed process leaves behind."""
    for number in numbers:
        pin = factory.pin(number)
        pin.output_with_state(True)
        pin.clear_states()


def levels(factory: MockFactory, number: int) -> list[bool]:
    return [state.state for state in factory.pin(number).states]


def off(*words: str | Path) -> int:
    return main(["lights", "off", "--config", *(str(word) for word in words or (os.devnull,))])


def test_what_a_killed_process_left_on_goes_off_and_every_pin_is_let_go(pins: MockFactory) -> None:
    left_on(pins, RED, GREEN, BUZZER)
    assert off() == ExitCode.DONE
    for number in (RED, GREEN, BUZZER):
        assert levels(pins, number) == [True, False]
        assert pins.pin(number).function == "input"
    assert off() == ExitCode.DONE  # again is harmless


def test_parts_that_shine_at_0_volts_go_high(pins: MockFactory, settings: Callable[[str], Path]) -> None:
    path = settings('light = "rgb"\nactive_high = false\nbuzzer = "passive"\nbuzzer_active_high = false')
    for number in (RED, GREEN, BLUE, BUZZER):
        pins.pin(number).output_with_state(False)
        pins.pin(number).clear_states()
    assert off(path) == ExitCode.DONE
    assert [levels(pins, number) for number in (RED, GREEN, BLUE, BUZZER)] == [[False, True]] * 4


def test_lights_and_buzzer_may_be_wired_differently(pins: MockFactory, settings: Callable[[str], Path]) -> None:
    assert off(settings("buzzer_active_high = false")) == ExitCode.DONE
    assert [levels(pins, number)[-1] for number in (RED, GREEN, BUZZER)] == [False, False, True]


def test_pins_that_no_part_uses_are_left_alone(pins: MockFactory, settings: Callable[[str], Path]) -> None:
    left_on(pins, BLUE, BUZZER)
    assert off(settings('buzzer = "none"')) == ExitCode.DONE
    assert [levels(pins, number) for number in (BLUE, BUZZER)] == [[True]] * 2
    assert [pins.pin(number).function for number in (BLUE, BUZZER)] == ["output"] * 2


@pytest.mark.parametrize("kind", ["console", "none"])
def test_without_lights_on_pins_there_is_nothing_to_do(
    kind: str, settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "nonsense")  # a machine without pins
    assert off(settings(f'kind = "{kind}"')) == ExitCode.DONE
    assert capsys.readouterr() == ("", "")


def test_a_pin_that_somebody_else_holds_keeps_no_other_part_on(
    pins: MockFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = gpiozero.LED(RED, pin_factory=pins)
    left_on(pins, GREEN, BUZZER)
    assert off() == ExitCode.OPERATOR
    assert [levels(pins, number)[-1] for number in (GREEN, BUZZER)] == [False, False]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"maskwatch: red_pin = {RED} under [indicator] cannot be used")
    other.close()


@pytest.mark.parametrize(("refusals", "code"), [(3, ExitCode.DONE), (4, ExitCode.OPERATOR)])
def test_a_pin_that_the_dying_process_still_holds_is_tried_again_a_few_times(
    refusals: int, code: ExitCode, pins: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_on(pins, GREEN)
    take, tries = pins.pin, []

    def busy(name: int) -> object:
        tries.append(name)
        if name == GREEN and tries.count(GREEN) <= refusals:
            raise OSError(errno.EBUSY, "GPIO busy")
        return take(name)

    monkeypatch.setattr(pins, "pin", busy)
    assert off() == code
    assert tries.count(GREEN) == 4
    assert (take(GREEN).state == 0) == (code is ExitCode.DONE)


def test_a_broken_file_of_settings_is_one_line(
    pins: MockFactory, settings: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert off(settings("red_pin = 99")) == ExitCode.OPERATOR
    (line,) = capsys.readouterr().err.splitlines()
    assert "indicator.red_pin = 99" in line


# After a service's death


NOTED_RED = 5


def run_once(tmp_path: Path, bundle: Path) -> None:
    """A whole `maskwatch run` of a service whose red LED hangs on another pin."""
    from maskwatch.cameras.fake import noise_picture
    from maskwatch.images import write_image

    write_image(tmp_path / "seen.png", noise_picture(1))
    config = tmp_path / "of-the-run.toml"
    config.write_text(f"[indicator]\nred_pin = {NOTED_RED}\n")
    words = ["--source", str(tmp_path / "seen.png"), "--config", str(config), "--bundle", str(bundle)]
    assert main(["run", *words]) == ExitCode.DONE


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}:/run/another")
    return folder


@pytest.mark.parametrize("since", ["red_pin = 6", "red_pin = 99", "not TOML"])
def test_what_was_driven_goes_off_whatever_the_settings_say_by_now(
    since: str,
    pins: MockFactory,
    runtime: Path,
    tmp_path: Path,
    tiny_bundle_path: Path,
    settings: Callable[[str], Path],
) -> None:
    """Settings that were edited, or broken, while a buzzer sounded: it must not sound until somebody mends them."""
    run_once(tmp_path, tiny_bundle_path)
    assert (runtime / "lights.toml").exists()
    left_on(pins, NOTED_RED, 6)
    assert off(settings(since)) == ExitCode.DONE
    assert (levels(pins, NOTED_RED), levels(pins, 6)) == ([True, False], [True])


@pytest.mark.parametrize("note", [None, "[indicator]\nred_pin = 99\n", "torn"])
def test_without_a_note_that_can_be_read_the_settings_count(
    note: str | None, pins: MockFactory, runtime: Path, settings: Callable[[str], Path]
) -> None:
    if note is not None:
        (runtime / "lights.toml").write_text(note)
    left_on(pins, 6)
    assert off(settings("red_pin = 6")) == ExitCode.DONE
    assert levels(pins, 6) == [True, False]


def test_the_note_is_there_before_the_first_pin_is_touched(runtime: Path) -> None:
    note = runtime / "lights.toml"
    driven = IndicatorSettings(red_pin=NOTED_RED)
    seen = []
    noted(lambda settings: seen.append(read_note(note)) or NoOutputs(), note)(driven)
    assert seen == [driven]


def test_a_note_that_cannot_be_written_keeps_no_door_from_its_work(
    pins: MockFactory,
    runtime: Path,
    tmp_path: Path,
    tiny_bundle_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (runtime / "lights.part").mkdir()
    run_once(tmp_path, tiny_bundle_path)
    assert "lights.toml cannot be written: Is a directory" in caplog.text
    assert "stopped after 1 frames" in caplog.text


def test_the_installed_command_switches_off_in_a_process_of_its_own(tmp_path: Path) -> None:
    answer = maskwatch("-v", "lights", "off", "--config", os.devnull, env={"GPIOZERO_PIN_FACTORY": "mock"})
    assert (answer.code, answer.out, answer.err) == (0, "", "maskwatch: lights and buzzer are off\n")


def test_a_machine_without_pins_gets_one_line(settings: Callable[[str], Path]) -> None:
    answer = maskwatch("lights", "off", "--config", os.devnull, env={"GPIOZERO_PIN_FACTORY": "nonsense"})
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith("no pins to drive")
