"""All checks, in the order of what depends on what; each within a time limit of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.doctor import camera, lights, machine, model, service
from maskwatch.doctor.findings import Finding, failed, skipped
from maskwatch.doctor.probes import Probes

if TYPE_CHECKING:
    from maskwatch.config import Settings
    from maskwatch.slots.store import Slots

LIMIT_SECONDS = 20.0
"""More than any check takes on the smallest Pi: two commands that hang, or both networks loaded and run."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at: the names of its findings, in order, and how long it may take."""

    names: tuple[str, ...]
    look: Callable[[], list[Finding]]
    limit_seconds: float = LIMIT_SECONDS


def checks(
    settings: Settings | None,
    bundle: Path | None,
    of_the_service: bool,
    probes: Probes,
    slots: Slots,
) -> list[Check]:
    """What there is to look at.

    `settings` is None where they cannot be read: what depends on them is skipped. `bundle` is used instead of the
    settings' one. `of_the_service` says that these are the settings which the service
    reads too.
    """
    return [
        Check(("service",), partial(service.check_service, probes)),
        *_of_settings(settings, of_the_service, probes),
        Check(("runtime",), model.check_runtime),
        *_of_model(settings, bundle, slots, probes),
        Check(("clock_sync",), partial(machine.check_clock_sync, probes)),
        Check(("power",), partial(machine.check_power, probes)),
        Check(("throttling",), partial(machine.check_throttling, probes)),
        Check(("temperature",), partial(machine.check_temperature, probes)),
        Check(("disk",), partial(machine.check_disk, probes)),
        Check(("memory",), partial(machine.check_memory, probes)),
    ]


def examine(todo: list[Check]) -> Iterator[Finding]:
    """Make the checks one after the other; a finding is given as soon as it is known.

    A check that does not end in time is a failure, and left to itself in its thread. What a check raises is a bug of
    ours, and is raised here.
    """
    for check in todo:
        yield from _within_limit(check)


def _of_settings(settings: Settings | None, of_the_service: bool, probes: Probes) -> list[Check]:
    if settings is None:
        return [_without_settings("groups", "camera", camera.COLOUR, "gpio_library", "pins")]
    patience = camera.limit_seconds(settings.camera)
    watch = partial(camera.check_camera, settings.camera, probes, of_the_service)
    return [
        Check(("groups",), partial(service.check_groups, settings, probes)),
        Check(("camera", camera.COLOUR), watch, patience),
        Check(("gpio_library",), partial(lights.check_library, settings.indicator)),
        Check(("pins",), partial(lights.check_pins, settings.indicator, probes)),
    ]


def _of_model(settings: Settings | None, bundle: Path | None, slots: Slots, probes: Probes) -> list[Check]:
    if settings is None and bundle is None:
        return [_without_settings("bundle", "xnnpack", "golden_vectors", "model_age", "clock")]
    if bundle is None and settings is not None and settings.model.bundle:
        bundle = Path(settings.model.bundle)

    @cache
    def in_use() -> model.InUse:
        return model.bundle_in_use(slots) if bundle is None else model.InUse(bundle)

    return [
        Check(("bundle",), lambda: model.check_bundle(in_use())),
        Check(("xnnpack",), lambda: model.check_xnnpack(in_use().path)),
        Check(("golden_vectors",), lambda: model.check_golden_vectors(in_use().path)),
        Check(("model_age",), lambda: model.check_age(in_use().path, probes)),
        Check(("clock",), lambda: model.check_clock(in_use().path, probes)),
    ]


def _without_settings(*names: str) -> Check:
    return Check(names, lambda: [skipped(name, "the settings cannot be read") for name in names])


class _Looking(threading.Thread):
    """One check at work; a daemon, so that a driver that hangs keeps no process from its end."""

    def __init__(self, check: Check) -> None:
        super().__init__(name=f"doctor-{check.names[0]}", daemon=True)
        self._check = check
        self.findings: list[Finding] = []
        self.fault: Exception | None = None

    def run(self) -> None:
        try:
            self.findings = self._check.look()
        except Exception as error:  # noqa: BLE001 - not swallowed: the thread that waits raises it
            self.fault = error


def _within_limit(check: Check) -> list[Finding]:
    looking = _Looking(check)
    looking.start()
    looking.join(check.limit_seconds)
    if looking.is_alive():
        first, *rest = check.names
        advice = "something under it hangs: switch the Pi off and on, then ask again"
        return [
            failed(first, f"no answer within {check.limit_seconds:g} seconds", advice),
            *(skipped(name, f"waited for {first}") for name in rest),
        ]
    if looking.fault is not None:
        raise looking.fault
    return looking.findings
