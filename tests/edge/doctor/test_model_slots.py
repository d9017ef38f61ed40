"""The doctor looks at the model that a door runs from its slots, and says where another one should run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch.config import ModelSettings, Settings
from maskwatch.doctor import model
from maskwatch.doctor.examination import checks
from maskwatch.doctor.findings import Finding, Status
from maskwatch.slots.store import Slots
from recorded_pi import healthy_pi
from slots_stage import Shelf
from tiny_models import tiny_bundle

OF_MODEL = ("bundle", "xnnpack", "golden_vectors", "model_age", "clock")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def examined(slots: Slots, settings: Settings | None = None, bundle: Path | None = None) -> dict[str, Finding]:
    todo = checks(settings or Settings(), bundle, True, healthy_pi(), slots)
    return {finding.check: finding for check in todo if set(check.names) <= set(OF_MODEL) for finding in check.look()}


def test_without_a_slot_in_use_it_is_the_built_in_model(shelf: Shelf) -> None:
    found = examined(shelf.slots)
    assert found["bundle"].status is Status.OK
    assert found["bundle"].measured.startswith("masknet ")


def test_a_slots_model_is_examined_and_named_with_its_slot(shelf: Shelf) -> None:
    shelf.activate("2.0.0")
    found = examined(shelf.slots)
    assert list(found) == list(OF_MODEL)
    assert found["bundle"].measured.startswith("slot a, on trial: tiny 2.0.0, ")
    assert found["xnnpack"].measured == "runs finder.tflite and classifier.tflite"
    assert "made 2025-01-31" in found["model_age"].measured
    assert {finding.status for name, finding in found.items() if name != "model_age"} == {Status.OK}
    shelf.slots.confirm()
    assert examined(shelf.slots)["bundle"].measured.startswith("slot a, confirmed: tiny 2.0.0, ")


def test_to_examine_a_trial_costs_it_no_try(shelf: Shelf) -> None:
    shelf.activate("2.0.0")
    before = shelf.slots.read()
    examined(shelf.slots)
    assert shelf.slots.read() == before


def test_a_slot_that_is_damaged_is_a_warning_that_names_what_runs(shelf: Shelf) -> None:
    shelf.confirm("2.0.0")
    shelf.bundle_file().write_bytes(b"torn")
    bundle = examined(shelf.slots)["bundle"]
    assert bundle.status is Status.WARNING
    assert bundle.measured.startswith("masknet ")
    assert "is damaged" in bundle.measured
    assert "maskwatch slots install" in bundle.advice


def test_a_damaged_state_is_a_warning(shelf: Shelf) -> None:
    shelf.confirm("2.0.0")
    shelf.slots.state_path.write_bytes(b"\0" * 100)
    bundle = examined(shelf.slots)["bundle"]
    assert (bundle.status, "state.json is damaged" in bundle.measured) == (Status.WARNING, True)


@pytest.mark.parametrize("how", ["settings", "command line"])
def test_a_bundle_that_is_named_is_examined_instead(how: str, shelf: Shelf, tmp_path: Path) -> None:
    shelf.confirm("2.0.0")
    named = tiny_bundle(tmp_path, version="9.0.0")
    settings = replace(Settings(), model=ModelSettings(bundle=str(named))) if how == "settings" else None
    found = examined(shelf.slots, settings, named if how == "command line" else None)
    assert found["bundle"].measured.startswith("tiny 9.0.0, ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_not_see_the_slots_is_told_so(shelf: Shelf) -> None:
    shelf.confirm("2.0.0")
    shelf.slots.folder.chmod(0o750)
    os.seteuid(65534)
    try:
        in_use = model.bundle_in_use(shelf.slots)
    finally:
        os.seteuid(0)
    (bundle,) = model.check_bundle(in_use)
    assert (bundle.status, bundle.advice) == (Status.WARNING, "sudo maskwatch doctor")
    assert bundle.measured.startswith("masknet ")
    assert bundle.measured.endswith("; but this user may not see whether another one runs from a slot")
