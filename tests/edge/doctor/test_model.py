"""Runtime, bundle, golden vectors, the model's age and the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from maskwatch import bundle as bundle_module
from maskwatch import interpreter
from maskwatch.doctor import model
from maskwatch.doctor.findings import Finding, Status
from maskwatch.doctor.model import InUse
from maskwatch.errors import BundleError
from maskwatch.manifest import GoldenVector
from maskwatch_convert.pack import write_bundle
from recorded_pi import healthy_pi
from tiny_models import tiny_bundle, tiny_manifest, tiny_members, tiny_model

DAMAGED = GoldenVector("finder.tflite", "one", "0" * 64)


def only(findings: list[Finding]) -> tuple[Status, str]:
    (finding,) = findings
    return finding.status, finding.measured


def at(moment: str) -> Callable[[], datetime]:
    return lambda: datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.fixture
def without_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "RUNTIMES", ("no_such_runtime.interpreter",))


@pytest.fixture
def without_xnnpack(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tflite-runtime 2.14 is on x86-64: nothing among the operators is a delegate."""
    monkeypatch.setattr(interpreter, "_DELEGATE", "ANOTHER")


def test_the_runtime_is_named_with_its_version() -> None:
    status, measured = only(model.check_runtime())
    assert status is Status.OK
    name, version = measured.split()
    assert name in {"ai-edge-litert", "tflite-runtime"}
    assert version[0].isdigit()


def test_no_runtime_is_a_failure_that_says_what_to_install(without_runtime: None, tiny_bundle_path: Path) -> None:
    (finding,) = model.check_runtime()
    assert (finding.status, "pip install" in finding.advice) == (Status.FAILED, True)
    assert only(model.check_xnnpack(tiny_bundle_path)) == (Status.SKIPPED, "no runtime")
    status, measured = only(model.check_golden_vectors(tiny_bundle_path))
    assert (status, "no TFLite runtime" in measured) == (Status.SKIPPED, True)


def test_xnnpack_runs_the_networks(tiny_bundle_path: Path) -> None:
    assert only(model.check_xnnpack(tiny_bundle_path)) == (Status.OK, "runs finder.tflite and classifier.tflite")


def test_a_runtime_without_xnnpack_is_a_failure(without_xnnpack: None, tiny_bundle_path: Path) -> None:
    status, measured = only(model.check_xnnpack(tiny_bundle_path))
    assert (status, "without XNNPACK" in measured) == (Status.FAILED, True)
    assert only(model.check_golden_vectors(tiny_bundle_path))[0] is Status.SKIPPED


def test_a_sound_bundle(tiny_bundle_path: Path) -> None:
    size = tiny_bundle_path.stat().st_size
    assert only(model.check_bundle(InUse(tiny_bundle_path))) == (
        Status.OK,
        f"tiny 1.2.3, {size:,} bytes, all hashes match",
    )
    assert only(model.check_golden_vectors(tiny_bundle_path)) == (Status.OK, "all 4 answered bit for bit")


def test_the_built_in_bundle_is_the_default(tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "default_bundle_path", lambda: tiny_bundle_path)
    assert only(model.check_bundle(InUse(None)))[1].startswith("tiny 1.2.3")
    assert only(model.check_golden_vectors(None))[0] is Status.OK


def test_an_installation_without_a_bundle_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_there() -> Path:
        raise BundleError("data: 0 built-in bundles, must be one; install Maskwatch again")

    monkeypatch.setattr(bundle_module, "default_bundle_path", none_there)
    assert only(model.check_bundle(InUse(None)))[0] is Status.FAILED


@pytest.mark.parametrize("damage", ["torn", "absent", "another"])
def test_a_bundle_that_does_not_open_fails_once_and_the_rest_is_skipped(damage: str, tiny_bundle_path: Path) -> None:
    if damage == "torn":
        tiny_bundle_path.write_bytes(tiny_bundle_path.read_bytes()[:-100])
    elif damage == "absent":
        tiny_bundle_path.unlink()
    else:
        data = tiny_bundle_path.read_bytes()
        network = tiny_model("finder")
        assert data.count(network) == 1
        tiny_bundle_path.write_bytes(data.replace(network, bytes(len(network))))
    (finding,) = model.check_bundle(InUse(tiny_bundle_path))
    assert (finding.status, str(tiny_bundle_path) in finding.measured) == (Status.FAILED, True)
    pi = healthy_pi()
    for rest in (
        model.check_xnnpack(tiny_bundle_path),
        model.check_golden_vectors(tiny_bundle_path),
        model.check_age(tiny_bundle_path, pi),
        model.check_clock(tiny_bundle_path, pi),
    ):
        assert only(rest)[0] is Status.SKIPPED


def test_a_bundle_without_a_face_finder_is_no_bundle_for_a_door(tmp_path: Path) -> None:
    members = {"classifier.tflite": tiny_members()["classifier.tflite"]}
    path = write_bundle(tmp_path, tiny_manifest(finder=None), members).path
    status, measured = only(model.check_bundle(InUse(path)))
    assert (status, "no face finder" in measured) == (Status.FAILED, True)
    assert only(model.check_xnnpack(path)) == (Status.OK, "runs classifier.tflite")


def test_a_golden_vector_that_is_answered_differently_is_a_failure(tmp_path: Path) -> None:
    status, measured = only(model.check_golden_vectors(tiny_bundle(tmp_path, golden=(DAMAGED,))))
    assert (status, measured) == (Status.FAILED, "finder.tflite: golden vector one answered differently")


def test_a_bundle_without_golden_vectors_proves_nothing(tmp_path: Path) -> None:
    status, measured = only(model.check_golden_vectors(tiny_bundle(tmp_path, golden=())))
    assert (status, "no golden vectors" in measured) == (Status.WARNING, True)


def test_a_network_that_fails_while_it_runs_is_a_finding(tmp_path: Path) -> None:
    """The runtime's RuntimeError came out of the check, as an internal error."""
    vector = GoldenVector("finder.tflite", "one", hashlib.sha256().hexdigest())
    manifest = tiny_manifest(golden=(vector,))
    path = write_bundle(tmp_path, manifest, tiny_members() | {"finder.tflite": tiny_model("failing")}).path
    status, measured = only(model.check_golden_vectors(path))
    assert (status, "golden vector one: the model fails while it runs" in measured) == (Status.FAILED, True)


def test_a_network_that_does_not_load_is_a_finding(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, tiny_manifest(), tiny_members() | {"finder.tflite": b"no network"}).path
    assert only(model.check_golden_vectors(path))[0] is Status.FAILED
    assert only(model.check_xnnpack(path)) == (Status.SKIPPED, "finder.tflite does not load")


# Made at 2025-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("now", "age", "clock"),
    [
        ("2025-03-01T12:00:00", (Status.OK, "29 days ago"), Status.OK),
        ("2026-01-31T12:00:00", (Status.OK, "365 days ago"), Status.OK),
        ("2026-01-31T12:00:01", (Status.WARNING, "365 days ago"), Status.OK),
        ("2025-01-31T12:00:00", (Status.OK, "0 days ago"), Status.OK),
        ("2025-01-31T11:59:59", (Status.SKIPPED, "which this clock has not reached"), Status.FAILED),
        ("1970-01-01T00:01:07", (Status.SKIPPED, "which this clock has not reached"), Status.FAILED),
    ],
)
def test_age_and_clock(now: str, age: tuple[Status, str], clock: Status, tiny_bundle_path: Path) -> None:
    """A clock that is before the model's making is a fault of the clock, not of the model."""
    pi = healthy_pi(now=at(now))
    status, measured = only(model.check_age(tiny_bundle_path, pi))
    assert (status, age[1] in measured) == (age[0], True)
    status, measured = only(model.check_clock(tiny_bundle_path, pi))
    assert (status, measured.startswith(f"{now}Z")) == (clock, True)
