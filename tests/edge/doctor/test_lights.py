"""The library for the pins, and who has them."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory
from maskwatch.config import IndicatorSettings
from maskwatch.doctor.findings import Finding, Status
from maskwatch.doctor.gpiochip import Line, read_lines
from maskwatch.doctor.lights import check_library, check_pins
from recorded_pi import NOT_FOUND, healthy_pi, service

FREE = Line(False, "")


def only(findings: list[Finding]) -> tuple[Status, str]:
    (finding,) = findings
    return finding.status, finding.measured


def used(**consumers: str) -> Callable[[Iterable[int]], dict[int, Line]]:
    """Lines of which these (`pin17="lg"`) are used."""
    return lambda pins: {pin: Line(True, consumers[f"pin{pin}"]) if f"pin{pin}" in consumers else FREE for pin in pins}


def test_mock_pins_are_a_library_and_none_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    assert only(check_library(IndicatorSettings())) == (Status.OK, "gpiozero, MockFactory")
    assert factory.pins == {}


def test_without_gpiozero_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    (finding,) = check_library(IndicatorSettings())
    assert (finding.status, "gpiozero" in finding.measured) == (Status.FAILED, True)
    assert "sudo apt install python3-gpiozero python3-lgpio" in finding.advice


def test_a_library_that_finds_no_chip_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(cls: type) -> None:
        raise gpiozero.BadPinFactory("Unable to load any default pin factory!")

    monkeypatch.setattr(gpiozero.Device, "ensure_pin_factory", classmethod(none))
    assert only(check_library(IndicatorSettings())) == (
        Status.FAILED,
        "no pins to drive: Unable to load any default pin factory!",
    )


def test_what_a_library_drops_does_not_stay_in_the_users_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """lgpio makes a named pipe in the working directory when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpiozero.Device, "pin_factory", MockFactory())
    monkeypatch.setattr(gpiozero.Device, "ensure_pin_factory", classmethod(lambda cls: Path(".lgd-nfy0").touch()))
    assert only(check_library(IndicatorSettings()))[0] is Status.OK
    assert Path.cwd() == tmp_path
    assert os.listdir(tmp_path) == []


def test_a_machine_without_any_writable_folder_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    assert only(check_library(IndicatorSettings())) == (
        Status.SKIPPED,
        "no folder to try it in (Read-only file system)",
    )


@pytest.mark.parametrize("kind", ["console", "none"])
def test_without_lights_on_pins_there_is_nothing_to_look_at(kind: str) -> None:
    settings = IndicatorSettings(kind=kind)
    assert only(check_library(settings))[0] is only(check_pins(settings, healthy_pi()))[0] is Status.SKIPPED


def test_free_pins_are_named() -> None:
    assert only(check_pins(IndicatorSettings(), healthy_pi())) == (
        Status.OK,
        "free: red_pin = 17, green_pin = 27, buzzer_pin = 18",
    )


def test_only_pins_in_use_are_asked_for() -> None:
    asked: list[int] = []
    pi = healthy_pi(lines=lambda pins: asked.extend(pins) or dict.fromkeys(asked, FREE))
    check_pins(IndicatorSettings(light="rgb", buzzer="none"), pi)
    assert asked == [17, 27, 22]


def test_pins_that_the_service_holds_are_as_they_should_be() -> None:
    pi = healthy_pi(lines=used(pin17="lg", pin27="lg"))
    assert only(check_pins(IndicatorSettings(), pi)) == (
        Status.OK,
        "held while the service runs: red_pin = 17, green_pin = 27",
    )


@pytest.mark.parametrize(
    ("systemctl", "consumer", "words"),
    [
        (NOT_FOUND, "lg", "in use: green_pin = 27 by lg"),
        (None, "lg", "in use: green_pin = 27 by lg"),
        (service(ActiveState="inactive", MainPID="0"), "lg", "in use: green_pin = 27 by lg"),
        (service(), "spi0 CS0", "in use: green_pin = 27 by spi0 CS0"),
        (service(), "", "in use: green_pin = 27 by the kernel"),
    ],
)
def test_pins_of_others_are_a_failure(systemctl: str | None, consumer: str, words: str) -> None:
    pi = healthy_pi(commands={"systemctl": systemctl}, lines=used(pin27=consumer))
    assert only(check_pins(IndicatorSettings(), pi)) == (Status.FAILED, words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError("none"), "no GPIO chip of a Raspberry Pi here"),
        (PermissionError(errno.EACCES, "Permission denied"), "this user may not look at the pins"),
        (OSError(errno.ENOTTY, "Inappropriate ioctl for device"), "(Inappropriate ioctl for device)"),
    ],
)
def test_where_nobody_tells_it_is_skipped(error: OSError, words: str) -> None:
    def refuse(pins: Iterable[int]) -> dict[int, Line]:
        raise error

    status, measured = only(check_pins(IndicatorSettings(), healthy_pi(lines=refuse)))
    assert (status, words in measured) == (Status.SKIPPED, True)


# The kernel's own words


class FakeChips:
    """GPIO chips as files of a folder, and the kernel's answers: labels by device, consumers by line."""

    def __init__(self, folder: Path, labels: dict[str, str], consumers: dict[int, str]) -> None:
        self._labels, self._consumers = labels, consumers
        self.folder = folder
        for name in labels:
            (folder / name).touch()

    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> int:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        if request == 0x8044B401:
            assert len(buffer) == 68
            struct.pack_into("32s32sI", buffer, 0, name.encode(), self._labels[name].encode(), 54)
        else:
            assert (request, len(buffer)) == (0xC100B405, 256)
            assert self._labels[name].startswith("pinctrl-")
            (pin,) = struct.unpack_from("I", buffer, 64)
            struct.pack_into("32s", buffer, 32, self._consumers.get(pin, "").encode())
            struct.pack_into("Q", buffer, 72, 0b1001 if pin in self._consumers else 0b100)
        return 0


@pytest.mark.parametrize(
    "labels",
    [
        {"gpiochip0": "pinctrl-bcm2835", "gpiochip1": "raspberrypi-exp-gpio"},  # Pi 3, Zero 2 W
        {"gpiochip0": "pinctrl-bcm2711", "gpiochip1": "raspberrypi-exp-gpio"},  # Pi 4
        {"gpiochip10": "gpio-brcmstb@107d508500", "gpiochip4": "pinctrl-rp1"},  # Pi 5
    ],
)
def test_the_header_is_found_among_a_pis_chips_and_asked(labels: dict[str, str], tmp_path: Path) -> None:
    chips = FakeChips(tmp_path, labels, {17: "lg", 27: ""})
    assert read_lines([17, 27, 18], chips.folder, chips.ioctl) == {
        17: Line(True, "lg"),
        27: Line(True, ""),
        18: FREE,
    }


def test_a_machine_without_a_pis_header_says_so(tmp_path: Path) -> None:
    chips = FakeChips(tmp_path, {"gpiochip0": "INT34C5:00"}, {})
    with pytest.raises(FileNotFoundError):
        read_lines([17], chips.folder, chips.ioctl)
    with pytest.raises(FileNotFoundError):
        read_lines([17], tmp_path / "absent")


def test_chips_that_this_user_may_not_open_are_told_from_no_chips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    chips = FakeChips(tmp_path, {"gpiochip0": "pinctrl-bcm2711"}, {})
    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(PermissionError):
        read_lines([17], chips.folder, chips.ioctl)


def test_what_is_no_chip_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").touch()
    with pytest.raises(OSError, match="ioctl"):
        read_lines([17], tmp_path)
