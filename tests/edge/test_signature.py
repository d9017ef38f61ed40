"""Signatures, made and checked by the real ssh-keygen."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import signature as module
from maskwatch.bundle import default_bundle_path, open_bundle
from maskwatch.errors import BundleError, ExitCode, MaskwatchError, OperatorError, SignatureError
from maskwatch.limits import MAX_SIGNATURE_BYTES
from maskwatch.signature import TIMESTAMP, check_signature, read_signature, sign
from maskwatch.trust import Trust, trust_of
from signing_keys import FOR_BUNDLES, LIMIT_S, allow, make_key, needs_ssh_keygen, public_key, signature_of, ssh_keygen

pytestmark = needs_ssh_keygen

DATA = b"what a bundle holds\n" * 50
AS_FILE = 'namespaces="file"'


@dataclass(frozen=True)
class Keys:
    """Three people with a key each, and what Maria signed."""

    maria: Path
    omar: Path
    eve: Path
    good: bytes


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    maria, omar, eve = (make_key(folder / name) for name in ("maria", "omar", "eve"))
    return Keys(maria, omar, eve, signature_of(DATA, maria))


@pytest.fixture
def trust(tmp_path: Path, keys: Keys) -> Trust:
    """Maria and Omar may sign; nothing is revoked."""
    allow(allow(tmp_path / "allowed_signers", "maria", keys.maria), "omar", keys.omar)
    return Trust(tmp_path / "allowed_signers", tmp_path / "revoked_keys")


def refusal(data: bytes, signature: bytes | None, trust: Trust, *, certain: bool = True) -> str:
    """Why a signature is refused; not `certain` where that says nothing about the signature itself."""
    with pytest.raises(OperatorError) as caught:
        check_signature(data, signature, trust)
    assert isinstance(caught.value, SignatureError) is certain
    assert caught.value.exit_code is ExitCode.OPERATOR
    assert str(caught.value).isprintable()
    return str(caught.value)


# What counts


def test_the_signer_is_named(keys: Keys, trust: Trust) -> None:
    assert check_signature(DATA, keys.good, trust) == "maria"
    assert check_signature(DATA, signature_of(DATA, keys.omar), trust) == "omar"
    assert check_signature(b"", signature_of(b"", keys.omar), trust) == "omar"


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds_sign_too(kind: str, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", kind)
    trust = Trust(allow(tmp_path / "allowed_signers", "nadia@example.org", key), tmp_path / "none")
    assert check_signature(DATA, signature_of(DATA, key), trust) == "nadia@example.org"


def test_where_nobody_is_trusted_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # not even ssh-keygen
    trust = Trust(tmp_path / "allowed_signers", tmp_path / "revoked_keys")
    assert check_signature(DATA, None, trust) is None
    assert check_signature(DATA, b"junk", trust) is None


def test_a_list_by_patterns_counts(keys: Keys, tmp_path: Path) -> None:
    trust = Trust(allow(tmp_path / "allowed", "*@example.org,root", keys.maria), tmp_path / "none")
    assert check_signature(DATA, keys.good, trust) == "*@example.org"


def test_a_key_that_is_listed_twice_counts_where_one_line_is_good(keys: Keys, tmp_path: Path) -> None:
    expired = 'namespaces="maskwatch-bundle",valid-before="20200101Z"'
    allowed = allow(allow(tmp_path / "allowed", "old", keys.maria, expired), "new", keys.maria)
    assert check_signature(DATA, keys.good, Trust(allowed, tmp_path / "none")) == "new"


# What is refused


def test_unsigned_is_refused(trust: Trust) -> None:
    assert refusal(DATA, None, trust).startswith(f"not signed, and {trust.allowed_signers} asks for a signature: ")


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_changed_data_is_refused(tmp_path_factory: pytest.TempPathFactory, keys: Keys, data: st.DataObject) -> None:
    trust = Trust(allow(tmp_path_factory.mktemp("trust") / "allowed", "maria", keys.maria), Path("/nonexistent"))
    changed = bytearray(DATA)
    changed[data.draw(st.integers(0, len(DATA) - 1))] ^= data.draw(st.integers(1, 255))
    variants = st.sampled_from([bytes(changed), DATA[:-1], DATA + b"\n", DATA + b"\0", b""])
    words = refusal(data.draw(variants), keys.good, trust)
    assert words.startswith("changed since it was signed, or that is another file's signature: ")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_signature_names_the_signer_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, data: st.DataObject
) -> None:
    """Some bytes of the armour mean nothing, such as its last line break; none makes another signer of it."""
    trust = Trust(allow(tmp_path_factory.mktemp("trust") / "allowed", "maria", keys.maria), Path("/nonexistent"))
    changed = bytearray(keys.good)
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=3)):
        changed[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(changed), len(changed) // 2, 40, 1, 0]))
    try:
        signer = check_signature(DATA, bytes(changed[:cut]), trust)
    except SignatureError:
        return
    assert signer == "maria"


@given(st.binary(max_size=MAX_SIGNATURE_BYTES + 10))
@settings(max_examples=25, deadline=None)
def test_random_bytes_are_no_signature(tmp_path_factory: pytest.TempPathFactory, keys: Keys, signature: bytes) -> None:
    trust = Trust(allow(tmp_path_factory.mktemp("trust") / "allowed", "maria", keys.maria), Path("/nonexistent"))
    assert "its signature is" in refusal(DATA, signature, trust)


def test_the_largest_signature_that_is_taken_fits_a_pipe_of_one_page(trust: Trust) -> None:
    """A pipe may have no more, where its user holds many; whoever writes on would wait for ever."""
    refusal(DATA, b"x" * MAX_SIGNATURE_BYTES, trust)
    assert f"larger than {MAX_SIGNATURE_BYTES} bytes" in refusal(DATA, b"x" * (MAX_SIGNATURE_BYTES + 1), trust)
    assert MAX_SIGNATURE_BYTES <= 4096


def test_a_signature_for_another_purpose_is_refused(keys: Keys, trust: Trust) -> None:
    for_git = signature_of(DATA, keys.maria, "git")
    assert refusal(DATA, for_git, trust).startswith("signed, but not as a bundle (namespace maskwatch-bundle): ")


def test_a_key_that_is_listed_for_another_purpose_is_refused(keys: Keys, tmp_path: Path) -> None:
    trust = Trust(allow(tmp_path / "allowed", "maria", keys.maria, AS_FILE), tmp_path / "none")
    assert f"a key that {tmp_path}/allowed lists for other things than bundles (SHA256:" in refusal(
        DATA, keys.good, trust
    )


def test_an_unknown_key_is_refused_with_its_fingerprint(keys: Keys, trust: Trust) -> None:
    words = refusal(DATA, signature_of(DATA, keys.eve), trust)
    fingerprint = ssh_keygen("-l", "-f", f"{keys.eve}.pub").decode().split()[1]
    assert words.startswith(f"signed with a key that {trust.allowed_signers} does not list ({fingerprint}): ")


@pytest.mark.parametrize(
    ("content", "certain"),
    [
        ("", True),
        ("# nobody\n", True),
        ("garbage that is no line of this file\n", False),
        ("maria ssh-ed25519 AAAA\n", False),
    ],
)
def test_a_list_of_nobody_trusts_nobody(content: str, certain: bool, keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "allowed").write_text(content)
    words = refusal(DATA, keys.good, Trust(tmp_path / "allowed", tmp_path / "none"), certain=certain)
    assert "does not list" in words
    assert words.endswith("whose line 1 is damaged: mend it") is not certain


@pytest.mark.parametrize(
    ("bounds", "words"),
    [('valid-before="20200101Z"', "lists as expired ("), ('valid-after="29990101Z"', "lists as not valid yet (")],
)
def test_a_key_outside_its_time_is_refused(bounds: str, words: str, keys: Keys, tmp_path: Path) -> None:
    allowed = allow(tmp_path / "allowed", "maria", keys.maria, f'namespaces="maskwatch-bundle",{bounds}')
    assert words in refusal(DATA, keys.good, Trust(allowed, tmp_path / "none"))


@pytest.mark.parametrize("form", ["plain", "KRL"])
def test_a_revoked_key_is_refused_and_others_are_not(form: str, keys: Keys, trust: Trust) -> None:
    if form == "plain":
        trust.revoked_keys.write_text(f"# lost\n{public_key(keys.eve)} eve\n{public_key(keys.maria)} maria\n")
    else:
        ssh_keygen("-q", "-k", "-f", trust.revoked_keys, f"{keys.maria}.pub")
    assert f"signed by maria with a key that {trust.revoked_keys} revokes (SHA256:" in refusal(DATA, keys.good, trust)
    assert check_signature(DATA, signature_of(DATA, keys.omar), trust) == "omar"


def test_a_damaged_list_of_revoked_keys_revokes_all(keys: Keys, trust: Trust) -> None:
    trust.revoked_keys.write_bytes(b"SSHKRL\n\0 and then nothing")
    assert "or that file is damaged" in refusal(DATA, keys.good, trust)
    trust.revoked_keys.unlink()
    trust.revoked_keys.symlink_to("nowhere")
    assert "revoked_keys cannot be read: No such file" in refusal(DATA, keys.good, trust, certain=False)


def test_a_trust_that_cannot_be_read_trusts_nobody(keys: Keys, tmp_path: Path) -> None:
    """Never: not there, so nothing is asked for."""
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        assert "cannot be read" in refusal(DATA, keys.good, Trust(tmp_path / name, tmp_path / "none"), certain=False)
    with pytest.raises(OperatorError, match="cannot be read: File name too long"):
        check_signature(DATA, keys.good, Trust(tmp_path / ("x" * 300), tmp_path / "none"))


# The clock


def test_a_clock_in_1970_brings_no_expired_key_back_and_refuses_no_good_one(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are judged by the time at which the built-in bundle was made, as no clock before it can be right."""
    made_at = datetime.fromisoformat(open_bundle(default_bundle_path()).manifest.made_at)
    day_before = (made_at - timedelta(days=1)).strftime(TIMESTAMP)
    minute_after = (made_at + timedelta(minutes=1)).strftime(TIMESTAMP)
    bounds = {
        "good": f'valid-after="{day_before}",valid-before="{minute_after}"',
        "over": f'valid-before="{day_before}"',
        "early": f'valid-after="{minute_after}"',
    }
    trusts = {
        name: Trust(allow(tmp_path / name, name, keys.maria, f'namespaces="maskwatch-bundle",{bound}'), tmp_path / "no")
        for name, bound in bounds.items()
    }
    monkeypatch.setattr(module.time, "time", lambda: 0.0)
    assert check_signature(DATA, keys.good, trusts["good"]) == "good"
    assert "lists as expired" in refusal(DATA, keys.good, trusts["over"])
    assert "lists as not valid yet" in refusal(DATA, keys.good, trusts["early"])
    monkeypatch.undo()
    assert "lists as expired" in refusal(DATA, keys.good, trusts["good"])
    assert check_signature(DATA, keys.good, trusts["early"]) == "early"


@pytest.mark.parametrize(
    "options",
    [
        'valid-before="20200101Z"',
        f'{FOR_BUNDLES},valid-before="20200101Z"',
        f'valid-before="20200101Z",{FOR_BUNDLES}',
        f'VALID-AFTER="20100101Z",{FOR_BUNDLES},valid-before="20200101Z"',
        f'valid-after="20100101Z",valid-before="20200101Z",{FOR_BUNDLES}',
        f'{FOR_BUNDLES},valid-after="20100101Z",valid-before="20200101Z"',
        'valid-after="20100101Z",valid-before="20200101Z"',
        'valid-after="29990101"',
    ],
)
def test_without_dates_a_key_counts_whenever_it_is_valid(keys: Keys, tmp_path: Path, options: str) -> None:
    trust = trust_of(allow(tmp_path / "allowed_signers", "maria", keys.maria, options))
    assert "lists as" in refusal(DATA, keys.good, trust)
    assert check_signature(DATA, keys.good, trust, dates=False) == "maria"
    for data in (DATA + b"?", b""):
        with pytest.raises(SignatureError, match="changed since it was signed"):
            check_signature(data, keys.good, trust, dates=False)
    trust.revoked_keys.write_text(public_key(keys.maria) + "\n")
    with pytest.raises(SignatureError, match="revokes"):
        check_signature(DATA, keys.good, trust, dates=False)


# Without a working ssh-keygen


def test_a_missing_ssh_keygen_names_its_package(keys: Keys, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(OperatorError, match=r"^ssh-keygen is missing: install Debian's package openssh-client$"):
        check_signature(DATA, keys.good, trust)


def test_an_ssh_keygen_that_hangs_is_ended(keys: Keys, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = trust.allowed_signers.with_name("hanging")
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(module, "SSH_KEYGEN", str(hanging))
    monkeypatch.setattr(module, "CHECK_S", 0.1)
    with pytest.raises(OperatorError, match="was not done after 0 s"):
        check_signature(DATA, keys.good, trust)


# Signing


def test_a_signed_bundle_is_what_ssh_keygen_itself_verifies(keys: Keys, trust: Trust, tiny_bundle_path: Path) -> None:
    before = set(tiny_bundle_path.parent.iterdir())
    path = sign(tiny_bundle_path, keys.maria)
    assert path == Path(f"{tiny_bundle_path}.sig")
    assert set(tiny_bundle_path.parent.iterdir()) - before == {path}
    said = ssh_keygen(
        "-Y", "verify", "-f", trust.allowed_signers, "-I", "maria", "-n", "maskwatch-bundle", "-s", path,
        given=tiny_bundle_path.read_bytes(),
    )  # fmt: skip
    assert said.startswith(b'Good "maskwatch-bundle" signature for maria ')
    assert check_signature(tiny_bundle_path.read_bytes(), read_signature(tiny_bundle_path), trust) == "maria"


def test_signing_anew_replaces_the_signature(keys: Keys, trust: Trust, tiny_bundle_path: Path) -> None:
    sign(tiny_bundle_path, keys.maria)
    sign(tiny_bundle_path, keys.omar)
    assert check_signature(tiny_bundle_path.read_bytes(), read_signature(tiny_bundle_path), trust) == "omar"


def test_an_agent_signs_for_its_public_key(
    tmp_path: Path, trust: Trust, tiny_bundle_path: Path, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path / "held")
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    subprocess.run(["ssh-add", "-q", key], stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=True)
    key.unlink()
    sign(tiny_bundle_path, Path(f"{key}.pub"))
    allow(trust.allowed_signers, "held", key)
    assert check_signature(tiny_bundle_path.read_bytes(), read_signature(tiny_bundle_path), trust) == "held"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    socket = str(tmp_path / "agent")
    done = subprocess.run(["ssh-agent", "-a", socket], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    number = int(done.stdout.partition("SSH_AGENT_PID=")[2].partition(";")[0])
    yield socket
    os.kill(number, signal.SIGTERM)


def test_a_key_with_a_passphrase_asks_for_it(
    tmp_path: Path, trust: Trust, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSH's own way of asking without a terminal stands for somebody who types."""
    key = make_key(tmp_path / "locked", passphrase="open sesame")
    asking = tmp_path / "ask"
    asking.write_text("#!/bin/sh\necho open sesame\n")
    asking.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(asking))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    sign(tiny_bundle_path, key)
    allow(trust.allowed_signers, "locked", key)
    assert check_signature(tiny_bundle_path.read_bytes(), read_signature(tiny_bundle_path), trust) == "locked"
    asking.write_text("#!/bin/sh\necho wrong\n")
    with pytest.raises(OperatorError, match=f"^{key}: ssh-keygen does not sign with it: .*incorrect passphrase"):
        sign(tiny_bundle_path, key)


def test_a_key_that_cannot_sign_leaves_no_signature(tmp_path: Path, tiny_bundle_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_text("no key")
    junk.chmod(0o600)
    for key in (junk, tmp_path / "absent", tmp_path):
        with pytest.raises(OperatorError, match=f"^{key}: ssh-keygen does not sign with it: ") as caught:
            sign(tiny_bundle_path, key)
        assert str(caught.value).isprintable()
        assert read_signature(tiny_bundle_path) is None


def test_only_a_sound_bundle_is_signed(keys: Keys, tmp_path: Path, tiny_bundle_path: Path) -> None:
    tiny_bundle_path.write_bytes(tiny_bundle_path.read_bytes()[:-1])
    note = tmp_path / "note.txt"
    note.write_text("I owe you")
    for path in (tiny_bundle_path, note):
        with pytest.raises(BundleError, match=f"^{path}: "):
            sign(path, keys.maria)
        assert not Path(f"{path}.sig").exists()


def test_a_signature_that_cannot_be_written_is_said(keys: Keys, tiny_bundle_path: Path) -> None:
    Path(f"{tiny_bundle_path}.sig").mkdir()
    with pytest.raises(OperatorError, match=r"\.sig: cannot be written: Is a directory"):
        sign(tiny_bundle_path, keys.maria)


def test_no_room_for_the_copy_that_is_signed_is_said(
    keys: Keys, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OperatorError, match=r"\.sig: cannot be written: No space left on device"):
        sign(tiny_bundle_path, keys.maria)


def test_a_signature_that_cannot_be_read_is_said(tiny_bundle_path: Path) -> None:
    path = Path(f"{tiny_bundle_path}.sig")
    os.mkfifo(path)
    started = time.monotonic()
    with pytest.raises(MaskwatchError, match="not a file"):
        read_signature(tiny_bundle_path)
    assert time.monotonic() - started < 10
    path.unlink()
    path.mkdir()
    with pytest.raises(SignatureError, match="cannot be read: Is a directory"):
        read_signature(tiny_bundle_path)
