"""The service and its user's groups, by what systemd has answered."""

from __future__ import annotations

import pytest
from maskwatch.config import CameraSettings, IndicatorSettings, Settings
from maskwatch.doctor.findings import Status
from maskwatch.doctor.probes import Account
from maskwatch.doctor.service import check_groups, check_service, service_of
from recorded_pi import NOT_FOUND, healthy_pi, service

STATES = {
    "at work": (service(), "ok", "active (running), says: nobody: 0 seen, 0 unmasked"),
    "reloading": (
        service(ActiveState="reloading", SubState="reload"),
        "ok",
        "reloading (reload), says: nobody: 0 seen",
    ),
    "one restart": (service(NRestarts="1"), "ok", "active"),
    "many restarts": (service(NRestarts="12"), "warning", "restarted 12 times by itself"),
    "not at boot": (service(UnitFileState="disabled"), "warning", "not started at boot"),
    "blind": (
        service(StatusText="no_camera: /dev/video0 is lost; trying again"),
        "warning",
        "says: no_camera: /dev/vi",
    ),
    "starting": (
        service(ActiveState="activating", SubState="start", StatusText=""),
        "warning",
        "no picture judged yet",
    ),
    "between tries": (
        service(ActiveState="activating", SubState="auto-restart", MainPID="0", Result="watchdog", NRestarts="4"),
        "failed",
        "activating (auto-restart), result: watchdog, 4 restarts",
    ),
    "given up": (service(ActiveState="failed", SubState="failed", Result="exit-code"), "failed", "result: exit-code"),
    "stopped": (service(ActiveState="inactive", SubState="dead", MainPID="0"), "warning", "nobody watches the door"),
    "odd unit": (service(LoadState="bad-setting"), "failed", "systemd cannot use the unit (bad-setting)"),
    "not there": (NOT_FOUND, "skipped", "not installed as a service"),
    "no systemd": (None, "skipped", "no systemd answers here"),
    "no answer": ("", "skipped", "no systemd answers here"),
}


@pytest.mark.parametrize("state", STATES)
def test_how_the_service_stands(state: str) -> None:
    answer, status, words = STATES[state]
    (finding,) = check_service(healthy_pi(commands={"systemctl": answer}))
    assert finding.status.value == status
    assert words in finding.measured
    assert bool(finding.advice) == (status in ("warning", "failed"))


def test_a_status_may_hold_an_equals_sign() -> None:
    found = service_of(healthy_pi(commands={"systemctl": service(StatusText="a=b")}))
    assert found is not None
    assert found.says == "a=b"


BARE = Account("maskwatch", False, frozenset({"maskwatch"}))


@pytest.mark.parametrize(
    ("account", "groups", "status", "words"),
    [
        (BARE, "video gpio", "ok", "maskwatch is in gpio and video"),
        (Account("maskwatch", False, frozenset({"video", "gpio"})), "", "ok", "maskwatch is in gpio and video"),
        (BARE, "video", "failed", "maskwatch is not in gpio"),
        (BARE, "", "failed", "maskwatch is not in gpio and video"),
        (None, "video gpio", "failed", "the service's user maskwatch does not exist"),
    ],
)
def test_groups_of_the_services_user(account: Account | None, groups: str, status: str, words: str) -> None:
    pi = healthy_pi(commands={"systemctl": service(SupplementaryGroups=groups)}, account=lambda name: account)
    (finding,) = check_groups(Settings(), pi)
    assert (finding.status.value, finding.measured) == (status, words)
    if account is BARE and status == "failed":
        assert finding.advice.startswith(f"sudo usermod -aG {'gpio' if groups else 'gpio,video'} maskwatch")


@pytest.mark.parametrize("answer", [NOT_FOUND, None])
@pytest.mark.parametrize(
    ("me", "status"),
    [
        (Account("pi", False, frozenset({"video", "gpio"})), Status.OK),
        (Account("pi", False, frozenset({"gpio"})), Status.FAILED),
        (Account("root", True, frozenset({"root"})), Status.OK),
    ],
)
def test_without_a_service_it_is_about_whoever_asks(answer: str | None, me: Account, status: Status) -> None:
    (finding,) = check_groups(Settings(), healthy_pi(commands={"systemctl": answer}, me=lambda: me))
    assert finding.status is status
    assert finding.measured.startswith(me.name)


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("v4l2:0", "none", "maskwatch is not in video"),
        ("demo", "gpio", "maskwatch is not in gpio"),
        ("demo", "console", "these settings need neither a camera's device nor pins"),
    ],
)
def test_only_what_the_settings_need_is_asked_for(source: str, kind: str, words: str) -> None:
    settings = Settings(camera=CameraSettings(source=source), indicator=IndicatorSettings(kind=kind))
    pi = healthy_pi(commands={"systemctl": service(SupplementaryGroups="")}, account=lambda name: BARE)
    (finding,) = check_groups(settings, pi)
    assert finding.measured == words
