"""The machine itself: power, heat, disk, memory, and what keeps its clock."""

from __future__ import annotations

import re
from pathlib import Path

from maskwatch.doctor.findings import Finding, failed, ok, skipped, warning
from maskwatch.doctor.probes import Probes

DATA_FOLDER = Path("/var/lib/maskwatch")
THROTTLED_FILE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
TEMPERATURE_FILE = "/sys/class/thermal/thermal_zone0/temp"
RTC_FILE = "/sys/class/rtc/rtc0/since_epoch"

UNDER_VOLTAGE = 1
THROTTLING = {2: "frequency capped", 4: "throttled", 8: "soft temperature limit"}
"""Bits of `vcgencmd get_throttled` for now; 16 places higher: since the boot. Source: Raspberry Pi's documentation."""

_SINCE_BOOT = 16

HOT_CELSIUS, TOO_HOT_CELSIUS = 80.0, 85.0
"""Where a Pi begins to slow down, and where it slows down as far as it can (Raspberry Pi's documentation)."""

LOW_DISK_BYTES, FULL_DISK_BYTES = 256 * 2**20, 64 * 2**20
"""Two bundles of the largest size must fit."""

LOW_MEMORY_BYTES, FULL_MEMORY_BYTES = 96 * 2**20, 32 * 2**20
"""About what the daemon takes when it starts, and what only stays free where something is wrong."""

RTC_SLACK_SECONDS = 3600


def check_power(probes: Probes) -> list[Finding]:
    """Under-voltage, now and since the boot."""
    bits = _throttled(probes)
    if bits is None:
        return [skipped("power", "this machine does not tell of under-voltage")]
    advice = "take the Pi's own power supply and a short, thick cable; see what else hangs on it"
    if bits & UNDER_VOLTAGE:
        return [failed("power", f"under-voltage now ({bits:#x})", advice)]
    if bits >> _SINCE_BOOT & UNDER_VOLTAGE:
        return [warning("power", f"under-voltage since the boot, not now ({bits:#x})", advice)]
    return [ok("power", f"no under-voltage since the boot ({bits:#x})")]


def check_throttling(probes: Probes) -> list[Finding]:
    """A processor that was slowed down by heat or power, now and since the boot."""
    bits = _throttled(probes)
    if bits is None:
        return [skipped("throttling", "this machine does not tell of it")]
    now = [word for bit, word in THROTTLING.items() if bits & bit]
    before = [word for bit, word in THROTTLING.items() if bits >> _SINCE_BOOT & bit]
    advice = "fit a heat sink or a fan, keep it out of the sun, see to its power; or ask for fewer frames_per_second"
    if now:
        return [failed("throttling", f"now: {', '.join(now)} ({bits:#x})", advice)]
    if before:
        return [warning("throttling", f"since the boot, not now: {', '.join(before)} ({bits:#x})", advice)]
    return [ok("throttling", f"none since the boot ({bits:#x})")]


def check_temperature(probes: Probes) -> list[Finding]:
    """The processor's temperature."""
    text = (probes.read(TEMPERATURE_FILE) or "").strip()
    if re.fullmatch(r"-?\d{1,6}", text) is None:
        return [skipped("temperature", "no thermometer here")]
    celsius = int(text) / 1000
    measured, advice = f"{celsius:.1f} °C", "fit a heat sink or a fan, or move it out of the sun"
    if celsius >= TOO_HOT_CELSIUS:
        return [failed("temperature", f"{measured}, as hot as it may get", advice)]
    if celsius >= HOT_CELSIUS:
        return [warning("temperature", f"{measured}, so hot that it slows down", advice)]
    return [ok("temperature", measured)]


def check_disk(probes: Probes) -> list[Finding]:
    """Room for models and events, on a disk that can be written."""
    disk = probes.disk(DATA_FOLDER)
    if disk is None:
        return [skipped("disk", f"the system does not tell of {DATA_FOLDER}")]
    if disk.read_only:
        advice = "see `journalctl -k` for errors of the card: a worn-out one turns read-only; copy it to a new one"
        return [failed("disk", f"{disk.folder} is mounted read-only", advice)]
    measured = f"{disk.free_bytes / 2**20:,.0f} MiB free for {disk.folder}"
    advice = "see what fills it: sudo du -xh / | sort -h | tail; old logs go by: sudo journalctl --vacuum-size=50M"
    if disk.free_bytes < FULL_DISK_BYTES:
        return [failed("disk", measured, advice)]
    if disk.free_bytes < LOW_DISK_BYTES:
        return [warning("disk", measured, advice)]
    return [ok("disk", measured)]


def check_memory(probes: Probes) -> list[Finding]:
    """Memory that programs can still have."""
    found = re.search(r"^MemAvailable:\s+(\d{1,15}) kB$", probes.read("/proc/meminfo") or "", re.MULTILINE)
    if found is None:
        return [skipped("memory", "the kernel does not tell how much is left")]
    available_bytes = int(found[1]) * 1024
    measured = f"{available_bytes / 2**20:,.0f} MiB available"
    advice = "end what else runs here (`ps aux --sort=-rss | head`), a desktop first"
    if available_bytes < FULL_MEMORY_BYTES:
        return [failed("memory", measured, advice)]
    if available_bytes < LOW_MEMORY_BYTES:
        return [warning("memory", measured, advice)]
    return [ok("memory", measured)]


def check_clock_sync(probes: Probes) -> list[Finding]:
    """Who keeps the clock: the network, a real-time clock, or nobody."""
    synchronised = (probes.run("timedatectl", "show", "-p", "NTPSynchronized", "--value") or "").strip()
    if synchronised == "yes":
        return [ok("clock_sync", "synchronised over the network")]
    rtc = (probes.read(RTC_FILE) or "").strip()
    if re.fullmatch(r"\d{1,12}", rtc) and abs(int(rtc) - probes.now().timestamp()) <= RTC_SLACK_SECONDS:
        return [ok("clock_sync", "not synchronised over the network, but a real-time clock agrees")]
    if synchronised != "no":
        return [skipped("clock_sync", "timedatectl does not answer here")]
    advice = "sudo timedatectl set-ntp true, where there is a network; else fit a real-time clock with its battery"
    return [
        warning("clock_sync", "not synchronised, and no real-time clock that agrees: wrong after a power cut", advice)
    ]


def _throttled(probes: Probes) -> int | None:
    """The firmware's bits; None where neither its tool nor its file tells."""
    for answer in (probes.run("vcgencmd", "get_throttled"), probes.read(THROTTLED_FILE)):
        found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-f]{1,8})\s*", answer or "", re.IGNORECASE)
        if found is not None:
            return int(found[1], 16)
    return None
