"""What may be under way at a door when its power is cut, and what must hold at its next start."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from maskwatch.bundle import default_bundle_path, open_bundle
from maskwatch.errors import OperatorError
from maskwatch.slots import admission, store
from maskwatch.slots.running import Runner
from maskwatch.slots.slot_files import damage_of
from maskwatch.slots.states import TRIES
from maskwatch.slots.store import Slots
from maskwatch_convert.pack import write_bundle
from nobody import NOBODY
from tiny_models import tiny_manifest, tiny_members

SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\n"

LAST = "3.0.0"
"""The newest of the others."""

SECOND = "9.0.0"
"""The version of the bundle that is installed after the power cut."""

Models = Mapping[str, bytes]
"""Bundles by their versions."""

Act = Callable[[Slots, Models], object]


def make_models(folder: Path, card: bytes = b"# Tiny\n") -> Models:
    """Some bundles of the tiny networks, without golden vectors; `card` makes them as large as is wanted."""
    versions = ("1.0.0", "2.0.0", LAST, SECOND)
    members = tiny_members() | {"MODEL_CARD.md": card}
    return {
        version: write_bundle(folder, tiny_manifest(version=version), members).path.read_bytes() for version in versions
    }


@contextmanager
def quick_golden_vectors() -> Iterator[None]:
    """No network runs, and all answer rightly."""
    with mock.patch.object(admission, "verify_networks", return_value=()):
        yield


def install(slots: Slots, models: Models, version: str) -> None:
    slots.install(models[version], SIGNATURE)


def bring(slots: Slots, models: Models, version: str) -> None:
    """All of a change of models that goes well."""
    install(slots, models, version)
    slots.activate(sha256=hashlib.sha256(models[version]).hexdigest())
    Runner(slots).starting()
    slots.confirm("healthy")


def running(slots: Slots) -> str | None:
    """The version of what a daemon runs now, opened; None for the built-in bundle."""
    choice = slots.choose()
    bundle = open_bundle(choice.path or default_bundle_path())
    assert choice.sha256 in (None, bundle.sha256)
    return None if choice.path is None else bundle.manifest.version


@dataclass(frozen=True)
class Scene:
    """`prepare` is long past when `act` is under way."""

    name: str
    prepare: Act
    act: Act
    again: bool = True
    """Whether doing it twice means what doing it once does, so that whoever was cut off may do it again."""
    spoilt: bool = False
    """Whether state.json was damaged before, and may be still."""


def _nothing(slots: Slots, models: Models) -> None: ...


def _confirmed(*versions: str) -> Act:
    def prepare(slots: Slots, models: Models) -> None:
        for version in versions:
            bring(slots, models, version)

    return prepare


def _verified(*versions: str) -> Act:
    """All but the last confirmed, the last verified."""

    def prepare(slots: Slots, models: Models) -> None:
        _confirmed(*versions[:-1])(slots, models)
        install(slots, models, versions[-1])

    return prepare


def _trying(*versions: str, starts: int = 1) -> Act:
    def prepare(slots: Slots, models: Models) -> None:
        _verified(*versions)(slots, models)
        slots.activate()
        for _ in range(starts):
            Runner(slots).starting()

    return prepare


def _damaged(slots: Slots, models: Models) -> None:
    _confirmed("1.0.0", "2.0.0")(slots, models)
    path = slots.choose().path
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1])


def _spoilt(slots: Slots, models: Models) -> None:
    _confirmed("1.0.0")(slots, models)
    slots.state_path.write_bytes(slots.state_path.read_bytes()[:100])


def _installing(version: str) -> Act:
    return lambda slots, models: install(slots, models, version)


def _taken_back(slots: Slots, models: Models) -> None:
    """The disk gives back something else than was written."""
    fill = store.fill

    def spoil(slot: Path, data: bytes, signature: bytes | None) -> None:
        fill(slot, data, signature)
        raise OperatorError("the disk gives back something else")

    with mock.patch.object(store, "fill", spoil), contextlib.suppress(OperatorError):
        install(slots, models, LAST)


def _abandon(slots: Slots, models: Models) -> None:
    Runner(slots).abandon(slots.choose().sha256 or "", "does not load", confirmed=True)


def _back(slots: Slots, models: Models) -> None:
    slots.roll_back("a test")


SCENES = (
    Scene("the first installation", _nothing, _installing("1.0.0")),
    Scene("an installation beside a confirmed bundle", _confirmed("1.0.0"), _installing("2.0.0")),
    Scene("an installation over the fallback", _confirmed("1.0.0", "2.0.0"), _installing(LAST)),
    Scene("an installation over a verified bundle", _verified("1.0.0", "2.0.0"), _installing(LAST)),
    Scene("an installation that is taken back", _confirmed("1.0.0"), _taken_back),
    Scene("an installation after damage of the active bundle", _damaged, _installing(LAST)),
    Scene("an installation after damage of state.json", _spoilt, _installing(LAST), spoilt=True),
    Scene("an activation, from the built-in bundle", _verified("1.0.0"), lambda slots, _: slots.activate()),
    Scene("an activation, from a confirmed one", _verified("1.0.0", "2.0.0"), lambda slots, _: slots.activate()),
    Scene("a start during a trial", _trying("1.0.0", "2.0.0"), lambda slots, _: Runner(slots).starting(), again=False),
    Scene("a start too many", _trying("1.0.0", "2.0.0", starts=TRIES), lambda slots, _: Runner(slots).starting()),
    Scene("a start on a damaged bundle", _damaged, lambda slots, _: Runner(slots).starting()),
    Scene("a confirmation", _trying("1.0.0", "2.0.0"), lambda slots, _: slots.confirm()),
    Scene("a rollback", _trying("1.0.0", "2.0.0"), _back),
    Scene("a rollback to the built-in bundle", _trying("1.0.0"), _back),
    Scene(
        "a rollback of a confirmed bundle",
        _confirmed("1.0.0", "2.0.0"),
        lambda slots, _: slots.roll_back("a test", confirmed=True),
        again=False,
    ),
    Scene("a bundle that does not load", _trying("1.0.0", "2.0.0"), _abandon, again=False),
    Scene("a whole change of models", _confirmed("1.0.0", "2.0.0"), lambda slots, models: bring(slots, models, LAST)),
)  # fmt: skip


@contextmanager
def quick_disk() -> Iterator[None]:
    """fsync without the wait: for what happens while nobody cuts the power."""
    with mock.patch.object(os, "fsync", return_value=None):
        yield


def next_start(slots: Slots, models: Models, allowed: set[str | None], spoilt: bool = False) -> str | None:
    """A door's start after the power cut; returns what it runs. Raises AssertionError unless all is well.

    It must run one of the `allowed` versions, whole and without a complaint (unless `spoilt`), and what it would fall
    back on must be whole; then a second installation must succeed.
    """
    Runner(slots).starting()
    choice = slots.choose()
    assert spoilt or not choice.faults, choice.faults
    found = running(slots)
    assert found in allowed, f"runs {found}, must run one of {allowed}"
    fallback = slots.read().fallback
    if fallback is not None:
        assert damage_of(slots.folder / fallback, slots.read().slot(fallback).sha256) is None, "no fallback"
    for path in (choice.path, slots.state_path):
        assert path is None or not path.exists() or path.stat().st_mode & 0o777 == 0o660, f"{path} has lost its mode"
    if choice.trying:
        slots.confirm("healthy")
    bring(slots, models, SECOND)
    assert running(Slots(slots.folder, NOBODY)) == SECOND
    return found
