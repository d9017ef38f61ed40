"""Lights and buzzer: the library that drives them, and who has their pins."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from maskwatch.doctor.findings import Finding, failed, ok, skipped
from maskwatch.doctor.probes import Probes
from maskwatch.doctor.service import service_of
from maskwatch.errors import IndicatorError

if TYPE_CHECKING:
    from maskwatch.config import IndicatorSettings

LGPIO_CONSUMER = "lg"
"""How lgpio names itself to the kernel when it claims a pin, whatever program uses it."""

_INSTALL = (
    "sudo apt install python3-gpiozero python3-lgpio, in a venv made with --system-site-packages, and be in the group "
    'gpio; on a machine without pins set kind = "console" under [indicator]'
)


def check_library(settings: IndicatorSettings) -> list[Finding]:
    """Whether gpiozero finds a library and a chip to drive pins with. Claims no pin."""
    if settings.kind != "gpio":
        return [skipped("gpio_library", f"the lights are of the kind {settings.kind}")]
    from maskwatch.indicators.gpio import default_factory

    try:
        # lgpio leaves a file in the working directory of whoever imports it.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            factory = default_factory()
    except OSError as error:
        return [skipped("gpio_library", f"no folder to try it in ({error.strerror})", "see what is said of the disk")]
    except IndicatorError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        return [failed("gpio_library", f"no pins to drive: {reason}", _INSTALL)]
    return [ok("gpio_library", f"gpiozero, {type(factory).__name__}")]


def check_pins(settings: IndicatorSettings, probes: Probes) -> list[Finding]:
    """Whether each pin in use by these settings is free, or held by the service."""
    if settings.kind != "gpio":
        return [skipped("pins", f"the lights are of the kind {settings.kind}")]
    parts = settings.pins()
    try:
        lines = probes.lines(parts.values())
    except FileNotFoundError:
        return [skipped("pins", "no GPIO chip of a Raspberry Pi here")]
    except PermissionError:
        return [skipped("pins", "this user may not look at the pins", "sudo maskwatch doctor")]
    except OSError as error:
        return [skipped("pins", f"the kernel does not tell who has the pins ({error.strerror})")]
    used = {key: lines[pin].consumer for key, pin in parts.items() if lines[pin].used}
    if not used:
        return [ok("pins", f"free: {_named(parts, parts)}")]
    service = service_of(probes)
    running = service is not None and service.running
    others = {key: consumer for key, consumer in used.items() if not (running and consumer == LGPIO_CONSUMER)}
    if not others:
        return [ok("pins", f"held while the service runs: {_named(parts, used)}")]
    users = ", ".join(f"{_named(parts, [key])} by {consumer or 'the kernel'}" for key, consumer in others.items())
    advice = "end that program (`sudo gpioinfo` lists all), take its overlay out of config.txt, or choose other pins"
    return [failed("pins", f"in use: {users}", advice)]


def _named(parts: Mapping[str, int], keys: Iterable[str]) -> str:
    return ", ".join(f"{key} = {parts[key]}" for key in keys)
