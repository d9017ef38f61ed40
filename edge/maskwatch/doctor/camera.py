"""The camera: is it there, does it deliver, at which rate, and are they pictures of something."""

from __future__ import annotations

import zlib
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from maskwatch.darkness import BLACK_LEVEL
from maskwatch.doctor.findings import Finding, failed, ok, skipped, warning
from maskwatch.doctor.probes import Probes
from maskwatch.doctor.service import Service, service_of
from maskwatch.errors import CameraError, ExitCode, OperatorError

if TYPE_CHECKING:
    from maskwatch.cameras.base import Camera
    from maskwatch.config import CameraSettings
    from maskwatch.types import Frame

WATCH_SECONDS = 2.0
"""So long frames are counted, by the times that they carry."""

SAMPLE_STEP_PX = 4
"""Every fourth pixel each way is plenty to see noise and darkness."""

MIN_RATE_RATIO = 0.5
"""A camera slows down in the dark; at less than this share of what is asked of it, somebody should look."""

RGB_IN_MEMORY = "BGR888"
"""Picamera2 names a format by the word in memory: of this one the bytes are red, green, blue."""

COLOUR = "colour_order"


@runtime_checkable
class Negotiating(Protocol):
    """A camera that says which format of pixels it agreed upon with its driver."""

    pixel_format: str


def limit_seconds(settings: CameraSettings) -> float:
    """How long the check may take: opening and one silence, each with the settings' patience, and some start-up."""
    return 15 + 2 * settings.timeout_seconds + WATCH_SECONDS


def check_camera(settings: CameraSettings, probes: Probes, of_the_service: bool) -> list[Finding]:
    """Open the camera and watch it for a while, unless the service has it and judges its pictures.

    `of_the_service` says that these are the settings which the service reads too.
    """
    is_device = settings.source == "picamera" or settings.source.startswith("v4l2:")
    service = service_of(probes) if is_device else None
    if service is not None and of_the_service and service.judging:
        held = f"{settings.source}: the service has it and judges its pictures ({service.says}); not opened here"
        return [ok("camera", held), skipped(COLOUR, "the service has the camera")]
    watched = _Watched()
    try:
        camera = probes.make_camera(settings)
        with closing(camera):
            camera.open()
            while not watched.enough:
                frame = camera.read(settings.timeout_seconds)
                if frame is None:
                    break
                watched.add(frame)
    except (CameraError, OperatorError) as error:
        return [
            _fault(settings, error, watched, service, of_the_service),
            skipped(COLOUR, "the camera gave no picture"),
        ]
    return [_judged(settings, camera.live, watched), _colour_order(settings, camera)]


@dataclass(slots=True)
class _Watched:
    """What is kept of the frames that came: figures, no picture."""

    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    width_px: int = 0
    height_px: int = 0
    brightest: float = 0.0
    flat: bool = True
    prints: set[int] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        return self.last_s - self.first_s

    @property
    def enough(self) -> bool:
        return self.seconds >= WATCH_SECONDS

    def add(self, frame: Frame) -> None:
        if self.count == 0:
            self.first_s = frame.captured_s
        self.last_s, self.count = frame.captured_s, self.count + 1
        self.width_px, self.height_px = frame.width_px, frame.height_px
        sample = frame.image[::SAMPLE_STEP_PX, ::SAMPLE_STEP_PX].copy()
        self.brightest = max(self.brightest, float(sample.mean()))
        self.flat = self.flat and int(sample.max()) == int(sample.min())
        self.prints.add(zlib.crc32(sample.data))


def _fault(
    settings: CameraSettings,
    error: CameraError | OperatorError,
    watched: _Watched,
    service: Service | None,
    of_the_service: bool,
) -> Finding:
    before = f" (after {watched.count} pictures)" if watched.count else ""
    measured = f"{settings.source}: {error}{before}"
    may_be_held = service is not None and service.running and not (of_the_service and service.blind)
    if may_be_held and watched.count == 0 and error.exit_code is ExitCode.TRY_AGAIN:
        advice = "stop the service to look closer: sudo systemctl stop maskwatch"
        return skipped("camera", f"{measured}; the service runs and may hold it", advice)
    if error.exit_code is ExitCode.TRY_AGAIN:
        return failed("camera", measured, "push its cable in on both ends, end other programs that use it")
    return failed("camera", measured, "put that right, or set another source under [camera]")


def _judged(settings: CameraSettings, live: bool, watched: _Watched) -> Finding:
    if watched.count == 0:
        return failed("camera", f"{settings.source} gives no picture", "set another source under [camera]")
    measured = f"{settings.source}: {watched.count} pictures of {watched.width_px}×{watched.height_px}"
    if watched.brightest <= BLACK_LEVEL:
        advice = "take the cap off the lens, or give the door some light"
        return failed("camera", f"{measured}, all black", advice)
    if live and watched.count > 2 and len(watched.prints) == 1 and not watched.flat:
        advice = "unplug the camera and plug it in again; a Pi camera: switch the Pi off and on"
        return failed("camera", f"{measured}, frozen: all the very same", advice)
    if not live or watched.seconds <= 0:
        return ok("camera", measured)
    rate = (watched.count - 1) / watched.seconds
    measured = f"{measured}, {rate:.1f} a second of {settings.frames_per_second:g} asked for"
    if rate < MIN_RATE_RATIO * settings.frames_per_second:
        return warning("camera", measured, "give more light, or ask less: frames_per_second or width_px under [camera]")
    return ok("camera", measured)


def _colour_order(settings: CameraSettings, camera: Camera) -> Finding:
    """What was agreed upon; whether red looks red nobody can tell without knowing what is before the lens."""
    if not isinstance(camera, Negotiating):
        return skipped(COLOUR, f"{settings.source}: no order is negotiated; what comes is turned into red, green, blue")
    if camera.pixel_format == RGB_IN_MEMORY:
        return ok(COLOUR, f"agreed upon {RGB_IN_MEMORY}: red, green, blue in memory")
    advice = "update Picamera2: sudo apt update && sudo apt full-upgrade"
    return failed(COLOUR, f"Picamera2 gives {camera.pixel_format or 'no format'} instead of {RGB_IN_MEMORY}", advice)
