"""The camera's finding in each of its states, by the cameras that ship for that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from maskwatch.cameras.base import Camera, CameraMissingError, silent
from maskwatch.cameras.fake import FakeCamera, Show, Step, Vanish, noise_picture, plain_picture
from maskwatch.config import CameraSettings
from maskwatch.doctor.camera import check_camera
from maskwatch.doctor.findings import Finding, Status
from maskwatch.doctor.probes import Probes
from maskwatch.errors import CameraError, ImageError, OperatorError
from maskwatch.types import Frame
from recorded_pi import NOT_FOUND, healthy_pi, service

STEP_S = 0.125
"""A binary fraction, so that sums of it are exact: 17 pictures fill two seconds."""

USB = CameraSettings(source="v4l2:0")


def playing(*steps: Step, live: bool = True, service_says: str = NOT_FOUND) -> tuple[Probes, FakeCamera]:
    camera = FakeCamera(steps, live=live, clock=lambda: 100.0)
    return healthy_pi(commands={"systemctl": service_says}, camera=lambda: camera), camera


def noise(count: int, after_s: float = STEP_S) -> list[Show]:
    return [Show(noise_picture(seed), after_s=after_s) for seed in range(count)]


def look(pi: Probes, settings: CameraSettings = USB, of_the_service: bool = True) -> Finding:
    camera, colour = check_camera(settings, pi, of_the_service)
    assert (camera.check, colour.check) == ("camera", "colour_order")
    return camera


CASES: dict[str, tuple[Sequence[Step], Status, str]] = {
    "works": (noise(40), Status.OK, "v4l2:0: 17 pictures of 64×48, 8.0 a second of 10 asked for"),
    "slow": (noise(40, 0.25), Status.WARNING, "9 pictures of 64×48, 4.0 a second of 10 asked for"),
    "black": ([Show(plain_picture(0), 40, STEP_S)], Status.FAILED, "17 pictures of 64×48, all black"),
    "dark": ([Show(noise_picture(seed) // 16) for seed in range(40)], Status.FAILED, "all black"),
    "frozen": ([Show(noise_picture(1), 40, STEP_S)], Status.FAILED, "17 pictures of 64×48, frozen: all the very same"),
    "one grey": ([Show(plain_picture(128), 40, STEP_S)], Status.OK, "17 pictures"),
    "lights up": ([Show(plain_picture(0), 10, STEP_S), *noise(20)], Status.OK, "17 pictures"),
    "vanishes": ([*noise(7), Vanish()], Status.FAILED, "the fake camera is unplugged (after 7 pictures)"),
    "shrinks": (
        [*noise(3), Show(noise_picture(1, 32, 32))],
        Status.FAILED,
        "changed its picture size to 32×32 while running (after 3 pictures)",
    ),
    "back in time": ([*noise(3), Show(noise_picture(9), after_s=-1)], Status.FAILED, "time stamps no longer advance"),
    "gives nothing": ([], Status.FAILED, "v4l2:0 gives no picture"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_camera_does(case: str) -> None:
    steps, status, words = CASES[case]
    pi, camera = playing(*steps)
    finding = look(pi)
    assert (finding.status, words in finding.measured) == (status, True), finding
    assert camera.calls[-1] == "close"


def test_files_are_no_camera_that_could_freeze_or_be_slow() -> None:
    pi, _ = playing(Show(noise_picture(1), 40, after_s=0.9), live=False)
    finding = look(pi, CameraSettings(source="still.png"))
    assert (finding.status, finding.measured) == (Status.OK, "still.png: 4 pictures of 64×48")


class Refusing:
    """A camera that does not open, or gives nothing, for this reason."""

    live = True

    def __init__(self, at_open: Exception | None = None, at_read: Exception | None = None) -> None:
        self._at_open, self._at_read = at_open, at_read

    def open(self) -> None:
        if self._at_open is not None:
            raise self._at_open

    def read(self, timeout_s: float) -> Frame | None:
        assert self._at_read is not None
        raise self._at_read

    def close(self) -> None:
        pass


BUSY = CameraError("/dev/video0 cannot be opened: another program may hold it, or it is no camera")
STARTING = service(ActiveState="activating", SubState="start", StatusText="")
BLIND = service(StatusText="no_camera: /dev/video0 is lost; trying again")


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (Refusing(BUSY), "v4l2:0: /dev/video0 cannot be opened"),
        (Refusing(at_read=silent("/dev/video0", 5)), "v4l2:0: /dev/video0 gave no picture for 5 seconds"),
        (Refusing(CameraMissingError("no Pi camera is connected")), "no Pi camera is connected"),
        (Refusing(OperatorError("Picamera2 is missing")), "Picamera2 is missing"),
        (Refusing(ImageError("nothing is there")), "nothing is there"),
    ],
)
def test_a_camera_that_cannot_be_had_is_a_failure(camera: Camera, words: str) -> None:
    finding = look(healthy_pi(commands={"systemctl": NOT_FOUND}, camera=lambda: camera))
    assert finding.status is Status.FAILED
    assert words in finding.measured


def test_a_source_that_names_no_camera_is_a_failure() -> None:
    pi = Probes(run=lambda *words: None)
    camera, _ = check_camera(CameraSettings(source="v4l2:99"), pi, True)
    assert (camera.status, "/dev/video99 is not there" in camera.measured) == (Status.FAILED, True)


# The service may have it


def test_a_camera_that_the_service_judges_is_not_touched() -> None:
    pi, camera = playing(service_says=service())
    finding = look(pi)
    assert finding.status is Status.OK
    assert "the service has it and judges its pictures (nobody: 0 seen, 0 unmasked)" in finding.measured
    assert camera.calls == []


@pytest.mark.parametrize(
    ("says", "of_the_service", "status"),
    [
        (STARTING, True, Status.SKIPPED),
        (service(), False, Status.SKIPPED),  # other settings: perhaps another camera
        (BLIND, False, Status.SKIPPED),
        (BLIND, True, Status.FAILED),  # it says itself that it has none
        (service(ActiveState="inactive", SubState="dead", MainPID="0"), True, Status.FAILED),
    ],
)
def test_a_busy_camera_while_the_service_runs(says: str, of_the_service: bool, status: Status) -> None:
    pi = healthy_pi(commands={"systemctl": says}, camera=lambda: Refusing(BUSY))
    finding = look(pi, of_the_service=of_the_service)
    assert finding.status is status
    assert ("the service runs and may hold it" in finding.measured) == (status is Status.SKIPPED)


def test_a_missing_camera_is_a_failure_while_the_service_starts_too() -> None:
    missing = Refusing(CameraMissingError("/dev/video0 is not there"))
    finding = look(healthy_pi(commands={"systemctl": STARTING}, camera=lambda: missing))
    assert finding.status is Status.FAILED


def test_a_camera_that_opened_and_went_is_not_one_that_the_service_holds() -> None:
    pi, _ = playing(*noise(7), Vanish(), service_says=STARTING)
    finding = look(pi)
    assert (finding.status, "(after 7 pictures)" in finding.measured) == (Status.FAILED, True)


def test_files_are_read_whatever_the_service_does() -> None:
    pi, camera = playing(*noise(40), service_says=service())
    assert look(pi, CameraSettings(source="demo")).status is Status.OK
    assert camera.calls[0] == "open"


# Colour order


class Negotiated(FakeCamera):
    def __init__(self, pixel_format: str) -> None:
        super().__init__(noise(40))
        self.pixel_format = pixel_format


@pytest.mark.parametrize(
    ("pixel_format", "status"), [("BGR888", Status.OK), ("RGB888", Status.FAILED), ("", Status.FAILED)]
)
def test_the_format_that_picamera2_agreed_upon(pixel_format: str, status: Status) -> None:
    pi = healthy_pi(commands={"systemctl": NOT_FOUND}, camera=lambda: Negotiated(pixel_format))
    _, colour = check_camera(CameraSettings(), pi, True)
    assert (colour.status, pixel_format in colour.measured) == (status, True)


def test_other_cameras_leave_nothing_to_say_of_colours() -> None:
    pi, _ = playing(*noise(40))
    _, colour = check_camera(USB, pi, True)
    assert colour.status is Status.SKIPPED
