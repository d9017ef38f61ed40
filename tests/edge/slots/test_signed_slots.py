"""A door that asks for signatures asks again before it runs a slot's bundle: whoever wrote to the folder meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from maskwatch import signature
from maskwatch.errors import OperatorError
from maskwatch.slots import folder as disk
from maskwatch.slots.state_file import to_json
from maskwatch.slots.states import State
from maskwatch.slots.store import Slots
from maskwatch.trust import trust_of
from signing_keys import FOR_BUNDLES, allow, make_key, needs_ssh_keygen, public_key, signature_of
from slot_shelf import make_bundle

pytestmark = needs_ssh_keygen


class SignedDoor:
    """Slots that have a confirmed bundle of maria's in each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = make_key(folder / "maria")
        self.trust = trust_of(folder / "allowed_signers")
        allow(self.trust.allowed_signers, "maria", self.key)
        self.bring("1.0.0")
        self.bring("2.0.0")

    @property
    def slots(self) -> Slots:
        """As another process finds them."""
        return Slots(self.folder / "slots", self.trust)

    def bring(self, version: str) -> None:
        data = make_bundle(version)
        self.slots.install(data, signature_of(data, self.key))
        self.slots.activate()
        self.slots.confirm()

    def signature_of_active(self) -> Path:
        active = self.slots.read().active
        assert active is not None
        return self.slots.folder / active / "bundle.maskwatch.sig"

    def forge(self) -> None:
        """What a member of the group could write: another model, and its SHA-256 where that stands."""
        data = make_bundle("6.6.6")
        state = self.slots.read()
        active = state.active
        assert active is not None
        disk.put(self.slots.folder / active / "bundle.maskwatch", data)
        slot = replace(state.slot(active), sha256=sha256(data).hexdigest(), version="6.6.6")
        disk.put(self.slots.state_path, to_json(replace(state, a=slot) if active == "a" else replace(state, b=slot)))

    def versions(self, state: State) -> tuple[str | None, str | None]:
        """Of what is active, and of what would run now."""
        choice = self.slots.choose()
        active = state.active_slot
        return active and active.version, None if choice.slot is None else state.slot(choice.slot).version


def _folder_for_signature(door: SignedDoor) -> None:
    path = door.signature_of_active()
    path.unlink()
    path.mkdir()


def _revoke(door: SignedDoor) -> None:
    door.trust.revoked_keys.write_text(public_key(door.key) + "\n")


def _trust_another(door: SignedDoor) -> None:
    door.trust.allowed_signers.write_text("")


ATTACKS: dict[str, tuple[Callable[[SignedDoor], object], str, str | None]] = {
    "another model": (SignedDoor.forge, "changed since it was signed", "1.0.0"),
    "no signature": (lambda door: door.signature_of_active().unlink(), "not signed, and", "1.0.0"),
    "a folder": (_folder_for_signature, "not signed", "1.0.0"),
    "rubbish": (lambda door: door.signature_of_active().write_bytes(b"?" * 100_000), "larger than 4096 bytes", "1.0.0"),
    "revoked": (_revoke, "revokes", None),
    "not trusted any more": (_trust_another, "does not list", None),
}
"""What is done, why the bundle is left then, and what runs instead."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_nobody_trusted_has_signed_is_not_run(tmp_path: Path, attack: str) -> None:
    door = SignedDoor(tmp_path)
    assert door.versions(door.slots.read()) == ("2.0.0", "2.0.0")
    act, reason, instead = ATTACKS[attack]
    act(door)
    assert reason in door.slots.choose().faults[0]
    state = door.slots.start()
    assert door.versions(state) == ("6.6.6" if attack == "another model" else "2.0.0", instead)
    assert state.b.state == "confirmed", "lists may be mended, and files too"


@pytest.mark.parametrize("attack", ["revoked", "not trusted any more"])
def test_what_counts_again_runs_again(tmp_path: Path, attack: str) -> None:
    door = SignedDoor(tmp_path)
    kept = door.trust.allowed_signers.read_bytes()
    ATTACKS[attack][0](door)
    assert door.versions(door.slots.start()) == ("2.0.0", None)
    door.trust.allowed_signers.write_bytes(kept)
    door.trust.revoked_keys.unlink(missing_ok=True)
    assert door.versions(door.slots.start()) == ("2.0.0", "2.0.0")


def test_to_install_it_again_with_a_signature_heals_it(tmp_path: Path) -> None:
    door = SignedDoor(tmp_path)
    before = door.slots.read()
    signature_file = door.signature_of_active()
    kept = signature_file.read_bytes()
    signature_file.unlink()
    state = door.slots.install(make_bundle("2.0.0"), kept)
    assert door.versions(state) == ("2.0.0", "2.0.0")
    assert replace(state, changes=before.changes) == before, "nothing else has changed"
    assert signature_file.read_bytes() == kept
    assert door.slots.install(make_bundle("2.0.0"), kept) == state


def test_a_trial_is_asked_too_and_before_it_begins(tmp_path: Path) -> None:
    door = SignedDoor(tmp_path)
    data = make_bundle("3.0.0")
    door.slots.install(data, signature_of(data, door.key))
    path = door.slots.folder / "a" / "bundle.maskwatch.sig"
    kept = path.rename(tmp_path / "kept")
    with pytest.raises(OperatorError, match="not signed"):
        door.slots.activate()
    assert door.slots.read().a.state == "verified"
    door.slots.install(data, kept.read_bytes())
    door.slots.activate()
    path.unlink()
    assert door.versions(door.slots.start()) == ("3.0.0", "2.0.0")


def test_a_door_that_begins_to_ask_leaves_what_is_not_signed(tmp_path: Path) -> None:
    trust = trust_of(tmp_path / "allowed_signers")
    slots = Slots(tmp_path / "slots", trust)
    data = make_bundle("1.0.0")
    slots.install(data, None)
    slots.activate()
    slots.confirm()
    assert slots.choose().slot == "a"
    key = make_key(tmp_path / "maria")
    allow(trust.allowed_signers, "maria", key)
    assert slots.choose().slot is None
    assert "not signed" in slots.choose().faults[0]
    state = slots.install(data, signature_of(data, key))
    assert (slots.choose().slot, state.a.signer, state.b.state) == ("a", "maria", "empty")


def test_a_signature_that_nobody_asked_for_counts_once_somebody_does(tmp_path: Path) -> None:
    key = make_key(tmp_path / "maria")
    trust = trust_of(tmp_path / "allowed_signers")
    slots = Slots(tmp_path / "slots", trust)
    data = make_bundle("1.0.0")
    slots.install(data, signature_of(data, key))
    slots.activate()
    allow(trust.allowed_signers, "maria", key)
    assert slots.choose().slot == "a"


def test_no_day_takes_a_model_away(tmp_path: Path) -> None:
    door = SignedDoor(tmp_path)
    allowed = door.trust.allowed_signers
    allowed.write_text(allowed.read_text().replace(FOR_BUNDLES, f'{FOR_BUNDLES},valid-before="20200101Z"'))
    assert door.versions(door.slots.start()) == ("2.0.0", "2.0.0")
    data = make_bundle("3.0.0")
    with pytest.raises(OperatorError, match="expired"):
        door.slots.install(data, signature_of(data, door.key))


OPENSSL = "#!/bin/sh\necho 'OpenSSL version mismatch. Built against 30000080, you have 30200000' >&2; exit 255\n"
KILLED = "#!/bin/sh\nkill -9 $$\n"
NO_LIBRARY = "#!/bin/sh\necho 'error while loading shared libraries: libcrypto.so.3' >&2; exit 127\n"

OBSTACLES = {
    "no ssh-keygen": "install Debian's package openssh-client",
    "OpenSSL": "ssh-keygen fails: OpenSSL version mismatch",
    "killed": "ssh-keygen fails: it does not say why",
    "no library": "ssh-keygen fails: error while loading shared libraries",
    "no list": "allowed_signers cannot be read",
    "a damaged list": "whose line 1 is damaged: mend it",
    "no list of revoked keys": "revoked_keys cannot be read",
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_where_nobody_can_tell_it_is_not_run_but_kept(
    tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = SignedDoor(tmp_path)
    allowed, revoked = door.trust.allowed_signers, door.trust.revoked_keys
    kept = allowed.read_bytes()
    if obstacle == "no list":
        allowed.unlink()
        allowed.mkdir()
    elif obstacle == "a damaged list":
        allowed.write_bytes(kept[:60])
    elif obstacle == "no list of revoked keys":
        revoked.mkdir()
    else:
        program = tmp_path / "ssh-keygen"
        if obstacle != "no ssh-keygen":
            program.write_text({"OpenSSL": OPENSSL, "killed": KILLED, "no library": NO_LIBRARY}[obstacle])
            program.chmod(0o755)
        monkeypatch.setattr(signature, "SSH_KEYGEN", str(program))
    choice = door.slots.choose()
    assert (choice.slot, choice.unsure, choice.unfit) == (None, True, ())
    assert OBSTACLES[obstacle].replace("ssh-keygen fails", f"{signature.SSH_KEYGEN} fails") in choice.faults[0]
    assert door.slots.start().active == "b"
    monkeypatch.undo()
    for path in (allowed, revoked):
        if path.is_dir():
            path.rmdir()
    allowed.write_bytes(kept)
    assert door.versions(door.slots.read()) == ("2.0.0", "2.0.0")
