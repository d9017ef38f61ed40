"""Lights and buzzer on GPIO lines of the kernel itself, where it can simulate a chip (gpio-sim, from Linux 5.17)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from maskwatch.config import IndicatorSettings
from maskwatch.doctor.gpiochip import read_lines
from maskwatch.errors import IndicatorError
from maskwatch.indicators.base import Levels
from maskwatch.indicators.gpio import GpioOutputs, switch_off

SIMULATOR = Path("/sys/kernel/config/gpio-sim")
LINES = 28
LABEL = "pinctrl-bcm2711"
RED, GREEN, BUZZER = 17, 27, 18
PI_4_REVISION = 0xC03111

OWNER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_gpio_sim import Levels, GpioOutputs, IndicatorSettings, factory_of
outputs = GpioOutputs(IndicatorSettings(), factory_of(int(sys.argv[2])))
outputs.set(Levels(red=True, buzzer=True))
print("on", flush=True)
sys.stdin.read()
"""
"""Drives the lights until it is killed."""

pytestmark = [pytest.mark.pi, pytest.mark.timeout(60)]


@dataclass(frozen=True)
class Chip:
    """A simulated chip: its number, and where the kernel shows its lines' levels."""

    number: int
    lines: Path

    def levels(self) -> dict[int, int]:
        return {line: int((self.lines / f"sim_gpio{line}/value").read_text()) for line in (RED, GREEN, BUZZER)}


@pytest.fixture
def chip() -> Iterator[Chip]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-pi")
    if not SIMULATOR.is_dir():
        pytest.skip("needs a kernel with gpio-sim: modprobe gpio-sim, with configfs at /sys/kernel/config")
    pytest.importorskip("lgpio")
    device = SIMULATOR / f"maskwatch-{os.getpid()}"
    bank = device / "bank0"
    device.mkdir()
    try:
        bank.mkdir()
        (bank / "num_lines").write_text(str(LINES), encoding="ascii")
        (bank / "label").write_text(LABEL, encoding="ascii")
        (device / "live").write_text("1", encoding="ascii")
        name = (bank / "chip_name").read_text(encoding="ascii").strip()
        owner = (device / "dev_name").read_text(encoding="ascii").strip()
        yield Chip(int(name.removeprefix("gpiochip")), Path("/sys/devices/platform") / owner / name)
    finally:
        (device / "live").write_text("0", encoding="ascii")
        if bank.is_dir():
            bank.rmdir()
        device.rmdir()


def factory_of(number: int) -> object:
    """gpiozero's own lgpio factory, told that it runs on a Pi."""
    from gpiozero.pins.lgpio import LGPIOFactory

    class OnAPi(LGPIOFactory):  # type: ignore[misc]
        def _get_revision(self) -> int:
            return PI_4_REVISION

    return OnAPi(number)


def test_the_lines_follow_the_lights_and_are_off_in_the_end(chip: Chip) -> None:
    outputs = GpioOutputs(IndicatorSettings(), factory_of(chip.number))
    assert chip.levels() == {RED: 0, GREEN: 0, BUZZER: 0}
    outputs.set(Levels(red=True, buzzer=True))
    assert chip.levels() == {RED: 1, GREEN: 0, BUZZER: 1}
    assert [line.used for line in read_lines((RED, GREEN, BUZZER, 2)).values()] == [True, True, True, False]
    outputs.set(Levels(green=True))
    assert chip.levels() == {RED: 0, GREEN: 1, BUZZER: 0}
    outputs.close()
    assert chip.levels() == {RED: 0, GREEN: 0, BUZZER: 0}


def test_a_line_that_another_process_holds_is_named(chip: Chip) -> None:
    with lit(chip), pytest.raises(IndicatorError, match=f"red_pin = {RED}"):
        GpioOutputs(IndicatorSettings(), factory_of(chip.number))


def test_the_lines_of_a_process_that_was_killed_are_switched_off(chip: Chip) -> None:
    with lit(chip) as owner:
        assert chip.levels() == {RED: 1, GREEN: 0, BUZZER: 1}
        owner.kill()
        owner.wait(10)
        switch_off(IndicatorSettings(), factory_of(chip.number))
    assert chip.levels() == {RED: 0, GREEN: 0, BUZZER: 0}


def lit(chip: Chip) -> subprocess.Popen[str]:
    """Another process that has the lights on; it ends with its stdin."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(Path(__file__).parent), str(chip.number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert owner.stdout is not None
    assert owner.stdout.readline() == "on\n"
    return owner
