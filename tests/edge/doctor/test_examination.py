"""All checks together: their order, their time limits, and what becomes of a bug."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from maskwatch.config import Settings
from maskwatch.doctor.examination import Check, checks, examine
from maskwatch.doctor.findings import Finding, Status, ok
from maskwatch.slots.store import Slots
from nobody import NOBODY
from recorded_pi import healthy_pi

NO_SLOTS = Slots(Path("/nonexistent/slots"), NOBODY)


def test_a_check_that_hangs_is_cut_off_and_the_next_one_goes_on() -> None:
    release = threading.Event()

    def hang() -> list[Finding]:
        release.wait(30)
        return []

    todo = [
        Check(("camera", "colour_order"), hang, limit_seconds=0.05),
        Check(("disk",), lambda: [ok("disk", "20 GiB free")]),
    ]
    camera, colour, disk = examine(todo)
    release.set()
    assert (camera.check, camera.status, camera.measured) == ("camera", Status.FAILED, "no answer within 0.05 seconds")
    assert (colour.check, colour.status, colour.measured) == ("colour_order", Status.SKIPPED, "waited for camera")
    assert disk.status is Status.OK


def test_findings_come_as_soon_as_they_are_known() -> None:
    reached = []

    def second() -> list[Finding]:
        reached.append("second")
        return [ok("second", "")]

    found = examine([Check(("first",), lambda: [ok("first", "")]), Check(("second",), second)])
    assert next(found).check == "first"
    assert reached == []
    assert [finding.check for finding in found] == reached == ["second"]


def test_a_bug_in_a_check_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        list(examine([Check(("disk",), lambda: [ok("disk", str(1 // 0))])]))


@pytest.mark.parametrize("settings", [Settings(), None])
@pytest.mark.parametrize("bundle", [True, False])
def test_every_check_finds_just_what_it_is_named_for(
    settings: Settings | None, bundle: bool, tiny_bundle_path: Path
) -> None:
    todo = checks(settings, tiny_bundle_path if bundle else None, True, healthy_pi(), NO_SLOTS)
    for check in todo:
        assert tuple(finding.check for finding in check.look()) == check.names
    names = [name for check in todo for name in check.names]
    assert len(set(names)) == len(names) == 18


def test_without_settings_what_depends_on_them_is_skipped(tiny_bundle_path: Path) -> None:
    def unread(bundle: Path | None) -> set[str]:
        found = examine(checks(None, bundle, True, healthy_pi(), NO_SLOTS))
        return {finding.check for finding in found if finding.measured == "the settings cannot be read"}

    of_settings = {"groups", "camera", "colour_order", "gpio_library", "pins"}
    assert unread(tiny_bundle_path) == of_settings
    assert unread(None) == of_settings | {"bundle", "xnnpack", "golden_vectors", "model_age", "clock"}
