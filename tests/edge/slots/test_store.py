"""The slots on the disk: how a model comes in, is tried, and stays or goes."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch import atomic
from maskwatch.bundle import MAX_BUNDLE_BYTES, default_bundle_path, open_bundle
from maskwatch.errors import BundleError, ExitCode, OperatorError, TryAgainError
from maskwatch.interpreter import RUNTIMES
from maskwatch.manifest import GoldenVector
from maskwatch.slots import admission
from maskwatch.slots import folder as disk
from maskwatch.slots.choice import Choice, Look
from maskwatch.slots.states import HEALTHY_FRAMES, TRIES, State
from maskwatch.slots.store import SLOTS, Slots
from maskwatch.trust import trust_of
from nobody import NOBODY
from slot_shelf import Shelf, make_bundle
from tiny_models import tiny_manifest

BUILT_IN = Choice(None, None, None)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(Slots(tmp_path / "slots", NOBODY))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The usual way


def test_where_nothing_was_installed_the_built_in_bundle_runs(shelf: Shelf) -> None:
    slots = shelf.slots
    assert (slots.read(), slots.look(), slots.choose()) == (State(), Look(State(), BUILT_IN), BUILT_IN)
    assert slots.start() == State()
    assert not shelf.folder.exists()
    assert Path("/var/lib/maskwatch/slots") == SLOTS


def test_a_model_comes_in_is_tried_and_stays(shelf: Shelf) -> None:
    data = make_bundle("1.0.0")
    state = shelf.slots.install(data, b"a signature")
    assert (state.a.state, state.a.name, state.a.version, state.a.signer) == ("verified", "tiny", "1.0.0", None)
    assert shelf.slots.choose() == BUILT_IN
    state = shelf.slots.activate()
    assert (state.active, state.fallback, state.tries_left, state.healthy_frames) == ("a", None, TRIES, HEALTHY_FRAMES)
    path = shelf.folder / "a" / "bundle.maskwatch"
    assert shelf.slots.choose() == Choice("a", path, state.a.sha256, True, HEALTHY_FRAMES)
    assert (path.read_bytes(), path.with_name("bundle.maskwatch.sig").read_bytes()) == (data, b"a signature")
    assert shelf.slots.start().tries_left == TRIES - 1
    state = shelf.slots.confirm("healthy")
    assert shelf.again().read() == state
    assert shelf.again().choose() == Choice("a", path, state.a.sha256)


def test_the_next_one_goes_to_the_other_slot_and_nothing_of_the_active_one_is_touched(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    path = shelf.folder / "a" / "bundle.maskwatch"
    before = path.stat()
    shelf.bring("2.0.0")
    assert (shelf.running(), path.stat()) == ("2.0.0", before)
    shelf.bring("3.0.0")
    assert (shelf.running(), shelf.slots.read().active) == ("3.0.0", "a")


def test_an_unsigned_bundle_does_not_inherit_a_signature(shelf: Shelf) -> None:
    shelf.slots.install(make_bundle("1.0.0"), b"a signature")
    shelf.install("2.0.0")
    assert set(tree(shelf.folder)) == {"a/bundle.maskwatch", "lock", "state.json"}


def test_progress_is_told(shelf: Shelf) -> None:
    told: list[str] = []
    shelf.slots.install(make_bundle("1.0.0"), None, progress=told.append)
    assert told == ["checking signature, hashes and schema", "running the golden vectors", "writing to slot a"]


def test_an_installation_that_is_repeated_has_nothing_to_do(shelf: Shelf) -> None:
    state = shelf.install("1.0.0")
    assert shelf.install("1.0.0") == state
    state = shelf.slots.activate()
    assert shelf.slots.activate() == state
    assert shelf.install("1.0.0") == state, "during its own trial too"
    state = shelf.slots.confirm()
    assert shelf.slots.confirm() == state
    assert shelf.install("1.0.0") == state


def test_a_bundle_is_installed_again_where_another_one_signed_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.install("1.0.0")
    monkeypatch.setattr(admission, "check_signature", lambda *_: "ops@example.org")
    state = shelf.slots.install(make_bundle("1.0.0"), b"a signature")
    assert state.a.signer == "ops@example.org"
    assert "a/bundle.maskwatch.sig" in tree(shelf.folder)


# Going back


def test_a_rollback_goes_to_the_model_before_and_says_why(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    shelf.try_out("2.0.0")
    state = shelf.slots.roll_back("it sees\nnothing")
    assert (shelf.running(), state.b.state, state.b.reason) == ("1.0.0", "failed", "it sees nothing")
    assert shelf.slots.roll_back("again") == state, "without a trial there is nothing to roll back"
    assert shelf.try_out("2.0.0").active == "b", "it may be tried once more"


def test_a_confirmed_model_is_left_only_by_who_says_so(shelf: Shelf) -> None:
    shelf.bring("1.0.0", "2.0.0")
    assert shelf.slots.roll_back("a late watcher").active == "b"
    assert shelf.slots.roll_back("by hand", confirmed=True).active == "a"
    assert shelf.slots.roll_back("by hand", confirmed=True).active is None
    assert shelf.slots.roll_back("by hand", confirmed=True).active is None
    assert shelf.running() is None


def test_who_names_a_bundle_changes_nothing_of_another_one(shelf: Shelf) -> None:
    """A daemon that ran 2.0.0 must not confirm 3.0.0, which it never saw."""
    shelf.bring("1.0.0")
    old = shelf.try_out("2.0.0").b.sha256
    shelf.slots.roll_back("worse")
    state = shelf.try_out("3.0.0")
    assert shelf.slots.confirm("healthy", sha256=old) == state
    assert shelf.slots.roll_back("late", sha256=old) == state
    with pytest.raises(TryAgainError, match="slot b is on trial"):
        shelf.slots.activate(sha256=old)
    assert shelf.slots.activate(sha256=state.b.sha256) == state
    assert not shelf.slots.confirm(sha256=state.b.sha256).trying


def test_who_names_a_bundle_activates_no_other_one(shelf: Shelf) -> None:
    mine = shelf.install("1.0.0").a.sha256
    shelf.install("2.0.0")
    with pytest.raises(OperatorError, match=r"no slot holds that bundle, verified .*: install it first"):
        shelf.slots.activate(sha256=mine)
    assert shelf.running() is None


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Slots.activate, r"no slot holds a bundle, verified \(slot a is failed\): install it first"),
        (Slots.confirm, "nothing is on trial: the built-in bundle is active"),
    ],
)
def test_there_must_be_something_to_do_it_to(shelf: Shelf, action: Callable[[Slots], State], words: str) -> None:
    with pytest.raises(OperatorError, match="slots: no such folder: install Maskwatch here, or a bundle, first"):
        action(shelf.slots)
    shelf.bring("1.0.0")
    shelf.slots.roll_back("by hand", confirmed=True)
    with pytest.raises(OperatorError, match=words):
        action(shelf.slots)


# A trial


def test_a_trial_that_is_never_confirmed_ends_after_so_many_starts(shelf: Shelf) -> None:
    """A model that crashes the daemon, a watchdog that bites, a power that fails: all look the same to a start."""
    shelf.bring("1.0.0")
    shelf.try_out("2.0.0")
    ran = []
    for _ in range(TRIES + 2):
        shelf.again().start()
        ran.append(shelf.running())
    assert ran == ["2.0.0"] * TRIES + ["1.0.0"] * 2
    assert shelf.slots.read().b.reason == f"not confirmed in {TRIES} starts"


def test_a_try_is_spent_before_the_model_is_loaded(shelf: Shelf) -> None:
    shelf.try_out("1.0.0")
    shelf.slots.start()
    assert shelf.again().read().tries_left == TRIES - 1


def test_a_start_without_a_trial_writes_nothing_and_waits_for_nobody(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    before = shelf.slots.state_path.stat()
    with disk.locked(shelf.folder):
        assert shelf.slots.start().active == "a"
    assert shelf.slots.state_path.stat() == before


def test_an_installation_during_a_trial_is_refused(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    state = shelf.try_out("2.0.0")
    with pytest.raises(TryAgainError, match="slot b is on trial: confirm it or roll it back first") as caught:
        shelf.install("3.0.0")
    assert caught.value.exit_code is ExitCode.TRY_AGAIN
    assert (shelf.slots.read(), shelf.running()) == (state, "2.0.0")


# What may not come in


def refused(shelf: Shelf, error: type[OperatorError], words: str, data: bytes, **more: object) -> None:
    """Refused with these words, and the door as it was."""
    shelf.bring("1.0.0")
    with pytest.raises(error, match=words) as caught:
        shelf.slots.install(data, None, origin=Path("new.maskwatch"), **more)  # type: ignore[arg-type]
    assert caught.value.exit_code is ExitCode.OPERATOR
    assert "\n" not in str(caught.value)
    assert shelf.running() == "1.0.0"
    assert shelf.slots.read().active == "a"


def test_a_bundle_made_for_a_newer_schema_is_refused_even_by_force(shelf: Shelf) -> None:
    words = "^new.maskwatch: manifest.json: made for schema 2; this Maskwatch reads 1: update Maskwatch on this machine"
    refused(shelf, BundleError, words, of_schema_2(make_bundle("2.0.0")), force=True)
    assert shelf.slots.read().b.state == "empty", "nothing was written"


def of_schema_2(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as bundle, zipfile.ZipFile(made, "w") as newer:
        for name in bundle.namelist():
            newer.writestr(name, bundle.read(name).replace(b'"schema_version": 1', b'"schema_version": 2'))
    return made.getvalue()


def test_a_damaged_bundle_is_refused(shelf: Shelf) -> None:
    refused(shelf, BundleError, "^new.maskwatch: damaged, or not a bundle", make_bundle("2.0.0")[:-100])
    assert shelf.slots.read().b.state == "empty"


def test_a_bundle_that_is_too_large_is_refused(shelf: Shelf) -> None:
    refused(shelf, BundleError, "^new.maskwatch: larger than 32 MiB", bytes(MAX_BUNDLE_BYTES + 1))


def test_a_bundle_made_for_another_runtime_is_refused(shelf: Shelf) -> None:
    """Its golden vectors are answered otherwise here."""
    golden = (*golden_of(shelf)[:1], GoldenVector("classifier.tflite", "one", "0" * 64))
    words = "new.maskwatch: classifier.tflite: golden vector one answered differently: the TFLite runtime here is not"
    refused(shelf, BundleError, words, make_bundle("2.0.0", golden=golden), force=True)
    assert shelf.slots.read().b.state == "empty", "nothing was written"


def test_what_is_refused_costs_no_fallback(shelf: Shelf) -> None:
    shelf.bring("1.0.0", "2.0.0")
    before = shelf.slots.read()
    golden = (*golden_of(shelf)[:1], GoldenVector("classifier.tflite", "one", "0" * 64))
    with pytest.raises(BundleError, match="answered differently"):
        shelf.slots.install(make_bundle("3.0.0", golden=golden), None)
    assert (shelf.slots.read(), before.fallback) == (before, "a")
    assert shelf.slots.roll_back("a reason", confirmed=True).active == "a"


def test_networks_that_a_door_can_make_nothing_of_are_refused(shelf: Shelf) -> None:
    """Golden vectors are of raw outputs; a manifest may still read them wrongly, which would show at the first face."""
    classifier = replace(tiny_manifest().classifier, output="probabilities")
    words = "new.maskwatch: pipeline: the classifier's output is .*, not .*: make the bundle anew"
    refused(shelf, BundleError, words, make_bundle("2.0.0", classifier=classifier))


def golden_of(shelf: Shelf) -> tuple[GoldenVector, ...]:
    shelf.folder.parent.joinpath("one.maskwatch").write_bytes(make_bundle("1.0.0"))
    golden = open_bundle(shelf.folder.parent / "one.maskwatch").manifest.golden
    return tuple(sorted(golden, key=lambda vector: vector.member, reverse=True))


def test_a_bundle_that_promises_nothing_is_refused(shelf: Shelf) -> None:
    words = "classifier.tflite: cannot be verified: the bundle has no golden vectors for it"
    refused(shelf, OperatorError, words, make_bundle("2.0.0", golden=golden_of(shelf)[:1]))


def test_where_no_network_runs_no_bundle_is_tried(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_bundle("2.0.0")
    shelf.bring("1.0.0")
    monkeypatch.setattr("maskwatch.interpreter.RUNTIMES", tuple(f"no_{name}" for name in RUNTIMES))
    with pytest.raises(OperatorError, match="networks: cannot be verified: no TFLite runtime: install"):
        shelf.slots.install(data, None)
    assert shelf.running() == "1.0.0"


def test_a_network_that_the_manifest_describes_wrongly_is_refused(shelf: Shelf) -> None:
    finder = tiny_manifest().finder
    assert finder is not None
    words = "finder.tflite: input 32×24 px, the manifest says 48×24: make the bundle anew"
    refused(shelf, BundleError, words, make_bundle("2.0.0", finder=replace(finder, width_px=48)))


def test_a_lower_version_is_refused_unless_forced(shelf: Shelf) -> None:
    words = "new.maskwatch: tiny 0.9.9 is older than 1.0.0, which this door has: --force installs it"
    refused(shelf, BundleError, words, make_bundle("0.9.9"))
    shelf.slots.install(make_bundle("0.9.9"), None, force=True)
    shelf.slots.activate()
    assert shelf.running() == "0.9.9"


def test_versions_are_numbers(shelf: Shelf) -> None:
    shelf.bring("1.9.0", "1.10.0")
    assert shelf.running() == "1.10.0"


def test_another_model_may_have_any_version(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    assert shelf.install("0.1.0", name="other").b.state == "verified"


def test_the_built_in_bundle_has_a_version_too(shelf: Shelf) -> None:
    manifest = open_bundle(default_bundle_path()).manifest
    with pytest.raises(BundleError, match=f"{manifest.name} 0.0.1 is older than {manifest.version}"):
        shelf.install("0.0.1", name=manifest.name)


def test_an_unsigned_bundle_is_refused_where_signatures_are_asked_for(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "allowed_signers").write_text("")
    slots = Slots(shelf.folder, trust_of(tmp_path / "allowed_signers"))
    with pytest.raises(BundleError, match=r"^new.maskwatch: not signed, and .* asks for a signature"):
        slots.install(make_bundle("1.0.0"), None, origin=Path("new.maskwatch"))
    assert not shelf.folder.exists()


def test_what_the_disk_gives_back_is_what_counts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that is worn out may take every byte and return others."""
    real = atomic.write_file

    def write(path: Path, content: bytes, *words: object) -> None:
        real(path, content[:-1] + b"?" if path.name == "bundle.maskwatch" else content, *words)  # type: ignore[arg-type]

    shelf.bring("1.0.0")
    monkeypatch.setattr(disk, "write_file", write)
    with pytest.raises(OperatorError, match="the disk gives back something else than was written"):
        shelf.install("2.0.0")
    assert (shelf.running(), shelf.slots.read().b.state) == ("1.0.0", "failed")


# Two at once, and no clock


def test_of_two_installations_at_once_one_waits_and_gives_up(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[BaseException] = []

    def second() -> None:
        try:
            shelf.again().install(make_bundle("2.0.0"), None)
        except TryAgainError as error:
            errors.append(error)

    def meanwhile(words: str) -> None:
        if words == "writing to slot a":
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()

    monkeypatch.setattr(disk, "LOCK_WAIT_S", 0.05)
    state = shelf.slots.install(make_bundle("1.0.0"), None, progress=meanwhile)
    assert (state.a.version, state.a.state, state.b.state) == ("1.0.0", "verified", "empty")
    (error,) = errors
    assert "another change is under way: try again when it is done" in str(error)


def test_who_died_holds_no_lock(shelf: Shelf) -> None:
    shelf.install("1.0.0")
    (shelf.folder / "lock").write_bytes(b"12345")
    assert shelf.slots.activate().trying


@pytest.mark.parametrize("now_s", [0.0, 4e9])
def test_what_time_it_is_makes_no_difference(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, now_s: float) -> None:
    """A Pi without a network starts in 1970."""
    monkeypatch.setattr(time, "time", lambda: now_s)
    shelf.bring("1.0.0")
    shelf.try_out("2.0.0")
    shelf.slots.start()
    shelf.slots.roll_back("worse")
    text = shelf.slots.state_path.read_text()
    other = Shelf(Slots(shelf.folder.with_name("other"), NOBODY))
    monkeypatch.undo()
    other.bring("1.0.0")
    other.try_out("2.0.0")
    other.slots.start()
    other.slots.roll_back("worse")
    assert other.slots.state_path.read_text() == text
