"""Power, heat, disk, memory and clock, by what Pis have answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskwatch.doctor import machine
from maskwatch.doctor.findings import Finding, Status
from maskwatch.doctor.probes import Disk
from recorded_pi import NOW, healthy_pi

FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
THERMOMETER = "/sys/class/thermal/thermal_zone0/temp"
RTC = "/sys/class/rtc/rtc0/since_epoch"
MIB = 2**20


def only(findings: list[Finding]) -> tuple[str, str]:
    """Status and measurement of the one finding; whatever is wrong must say what to do."""
    (finding,) = findings
    assert bool(finding.advice) == (finding.status in (Status.WARNING, Status.FAILED))
    return finding.status.value, finding.measured


@pytest.mark.parametrize(
    ("answer", "power", "throttling"),
    [
        ("throttled=0x0\n", ("ok", "no under-voltage since the boot (0x0)"), ("ok", "none since the boot (0x0)")),
        ("throttled=0x50005\n", ("failed", "under-voltage now (0x50005)"), ("failed", "now: throttled (0x50005)")),
        (
            "throttled=0x50000\n",
            ("warning", "under-voltage since the boot, not now (0x50000)"),
            ("warning", "since the boot, not now: throttled (0x50000)"),
        ),
        (
            "throttled=0xe0008\n",
            ("ok", "no under-voltage since the boot (0xe0008)"),
            ("failed", "now: soft temperature limit (0xe0008)"),
        ),
        (
            "throttled=0xa0002\n",
            ("ok", "no under-voltage since the boot (0xa0002)"),
            ("failed", "now: frequency capped (0xa0002)"),
        ),
        ("VCHI initialization failed\n", ("skipped", "this machine does not tell of under-voltage"), None),
    ],
)
def test_the_firmwares_bits(answer: str, power: tuple[str, str], throttling: tuple[str, str] | None) -> None:
    pi = healthy_pi(commands={"vcgencmd": answer})
    assert only(machine.check_power(pi)) == power
    assert only(machine.check_throttling(pi)) == (throttling or ("skipped", "this machine does not tell of it"))


def test_without_the_firmwares_tool_its_file_is_read_as_hexadecimal() -> None:
    pi = healthy_pi(files={FIRMWARE: "50000\n"}, commands={"vcgencmd": None})
    assert only(machine.check_power(pi)) == ("warning", "under-voltage since the boot, not now (0x50000)")


def test_a_machine_without_that_firmware_is_skipped() -> None:
    pi = healthy_pi(commands={"vcgencmd": None})
    assert only(machine.check_power(pi))[0] == only(machine.check_throttling(pi))[0] == "skipped"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("48686\n", ("ok", "48.7 °C")),
        ("79999\n", ("ok", "80.0 °C")),
        ("80000\n", ("warning", "80.0 °C, so hot that it slows down")),
        ("85218\n", ("failed", "85.2 °C, as hot as it may get")),
        ("-5000\n", ("ok", "-5.0 °C")),
        ("hot\n", ("skipped", "no thermometer here")),
        (None, ("skipped", "no thermometer here")),
    ],
)
def test_temperature(text: str | None, found: tuple[str, str]) -> None:
    assert only(machine.check_temperature(healthy_pi(files={THERMOMETER: text}))) == found


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        (Disk(Path("/var/lib"), 20_000 * MIB, False), ("ok", "20,000 MiB free for /var/lib")),
        (Disk(Path("/var/lib"), 256 * MIB - 1, False), ("warning", "256 MiB free for /var/lib")),
        (Disk(Path("/var/lib"), 64 * MIB - 1, False), ("failed", "64 MiB free for /var/lib")),
        (Disk(Path("/var/lib"), 20_000 * MIB, True), ("failed", "/var/lib is mounted read-only")),
        (None, ("skipped", "the system does not tell of /var/lib/maskwatch")),
    ],
)
def test_disk(disk: Disk | None, found: tuple[str, str]) -> None:
    asked = []
    pi = healthy_pi(disk=lambda folder: asked.append(folder) or disk)
    assert only(machine.check_disk(pi)) == found
    assert asked == [Path("/var/lib/maskwatch")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MemTotal: 437120 kB\nMemAvailable:  204800 kB\n", ("ok", "200 MiB available")),
        ("MemTotal: 437120 kB\nMemAvailable:   81920 kB\n", ("warning", "80 MiB available")),
        ("MemTotal: 437120 kB\nMemAvailable:   20480 kB\n", ("failed", "20 MiB available")),
        ("MemTotal: 437120 kB\n", ("skipped", "the kernel does not tell how much is left")),
        (None, ("skipped", "the kernel does not tell how much is left")),
    ],
)
def test_memory(text: str | None, found: tuple[str, str]) -> None:
    assert only(machine.check_memory(healthy_pi(files={"/proc/meminfo": text}))) == found


@pytest.mark.parametrize(
    ("timedatectl", "rtc_s", "status"),
    [
        ("yes\n", None, "ok"),
        ("no\n", None, "warning"),
        ("no\n", 0.0, "ok"),
        ("no\n", -1800.0, "ok"),
        ("no\n", -86400.0, "warning"),
        (None, 0.0, "ok"),
        (None, None, "skipped"),
    ],
)
def test_who_keeps_the_clock(timedatectl: str | None, rtc_s: float | None, status: str) -> None:
    rtc = None if rtc_s is None else f"{NOW.timestamp() + rtc_s:.0f}\n"
    pi = healthy_pi(files={RTC: rtc}, commands={"timedatectl": timedatectl})
    assert only(machine.check_clock_sync(pi))[0] == status
